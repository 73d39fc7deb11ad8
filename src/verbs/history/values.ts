/**
 * What a key was, behind each of some commands.
 *
 * No interpreter of our own: an archive is made of the key alone (its record in the base, the commands that
 * touch it, and those of the keys that these read), with a COPY of the key behind each command that is asked
 * for; a scratch server applies it, and the copies are read.
 */
import { Buffer } from 'node:buffer'
import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { openArchive } from '../../archive/reader.js'
import { makeTemporaryDir, removeTemporaryDir } from '../../disk/temporary-dir.js'
import { writeAll } from '../../disk/write-all.js'
import { ProtocolError, UsageError } from '../../errors.js'
import { ControlClient } from '../../net/control.js'
import { encodeCommand } from '../../resp/encoder.js'
import type { CommandDecoder } from '../../resp/decoder.js'
import { statOf } from '../../disk/stat.js'
import { exportKeys } from '../export/run.js'
import { inspect } from '../inspect/run.js'
import { buildState } from '../keys/built-state.js'
import { tailRecorded } from '../tail/recorded.js'
import type { HistoryOptions, HistoryValue, UndoOptions, UndoResult } from './options.js'
import { dbsNamedBy, TouchLook, type KeyName } from './touch.js'

/** A scratch server's last: nothing of a source is in it. */
const COPIES_DB = 16_383
/** Of keys that the key's commands read, and theirs. */
const MAX_KEYS = 1000
const BEFORE_ALL = 'base'

/** By offset; null: it was not there. Those before the last gap are not in it. */
export async function valuesOf(
  path: string,
  wanted: KeyName,
  offsets: readonly number[],
  options: HistoryOptions,
): Promise<ReadonlyMap<number, HistoryValue | null>> {
  const found = new Map<number, HistoryValue | null>()
  if (offsets.length === 0) return found
  const directory = makeTemporaryDir('rrep-history-')
  try {
    const made = await makeOwnArchive(path, wanted, new Set(offsets), directory, options)
    for (const offset of made.copied) found.set(offset, null)
    if (made.copied.length === 0) return found
    await exportKeys(made.directory, {
      ...{ format: 'jsonl', filter: { dbs: [COPIES_DB] }, strings: 'text' },
      ...{ withServer: options.withServer, signal: options.signal },
      output: linesTo((line) => {
        const { key, type, value, expireAt } = JSON.parse(line) as HistoryValue & { key: string }
        if (key !== BEFORE_ALL) found.set(Number(key), { type, value, expireAt })
      }),
    })
    return found
  } finally {
    removeTemporaryDir(directory)
  }
}

/** What makes the key what it was before a command. Prints nothing, changes nothing. */
export async function undo(
  path: string,
  wanted: KeyName,
  options: UndoOptions,
): Promise<UndoResult> {
  const directory = makeTemporaryDir('rrep-history-')
  try {
    const before = await lastTouchBefore(path, wanted, options)
    const offsets = before === undefined ? [] : [before]
    const made = await makeOwnArchive(path, wanted, new Set(offsets), directory, options)
    if (before !== undefined && made.copied.length === 0) {
      throw new UsageError(
        `what the key was at offset ${before} is not known: a gap lies behind it`,
      )
    }
    const { signal, withServer } = options
    const state = await buildState({ path: made.directory, withServer, signal })
    try {
      const client = await ControlClient.open(
        { ...state.server.settings, address: { ...state.server.settings.address, db: COPIES_DB } },
        signal,
      )
      try {
        const name = before === undefined ? BEFORE_ALL : String(before)
        const payload = (await client.callBuffer('DUMP', name)) as Buffer | null
        const { db, key } = wanted
        const server = state.server.description
        if (payload === null) return undoOf(db, server, ['DEL', key])
        const at = Number(await client.call('PEXPIRETIME', name))
        const expireAt = at > 0 ? at - state.shiftMs : 0
        const words = ['RESTORE', key, String(expireAt), payload, 'REPLACE', 'ABSTTL']
        return undoOf(db, server, words)
      } finally {
        client.close()
      }
    } finally {
      await state.server.stop()
    }
  } finally {
    removeTemporaryDir(directory)
  }
}

function undoOf(db: number, server: string, words: readonly (string | Buffer)[]): UndoResult {
  const resp = Buffer.concat([encodeCommand('SELECT', String(db)), encodeCommand(...words)])
  return { db, server, resp, command: words.map((word) => Buffer.from(word)) }
}

async function lastTouchBefore(
  path: string,
  wanted: KeyName,
  { offset, signal }: UndoOptions,
): Promise<number | undefined> {
  const look = new TouchLook()
  let last: number | undefined
  let isThere = false
  await tailRecorded(path, {
    signal,
    onCommand: (command, place) => {
      const info = look.infoOf(command, place)
      if (!look.touches(info, command, place.dbnum, wanted)) return
      if (place.replOffset < offset) last = place.replOffset
      else if (place.replOffset === offset) isThere = true
    },
  })
  if (isThere as boolean) return last
  throw new UsageError(`no command that touched the key ends at offset ${offset}`, {
    hint: 'the offsets are those that its history shows',
  })
}

interface OwnArchive {
  directory: string
  /** Offsets behind which a copy was made. */
  copied: readonly number[]
}

async function makeOwnArchive(
  path: string,
  wanted: KeyName,
  offsets: ReadonlySet<number>,
  parent: string,
  options: Pick<HistoryOptions, 'signal' | 'withServer'>,
): Promise<OwnArchive> {
  const { names, fromOffset } = await namesNeeded(path, wanted, options)
  const directory = join(parent, 'own')
  mkdirSync(directory, { mode: 0o700 })
  const base = baseOf(path, fromOffset)
  const dbs = new Set<number>([wanted.db])
  if (base !== undefined) {
    const filter = { match: [...names.values()].map(asGlob) }
    const call = { filter, baseOnly: true, signal: options.signal }
    for (const [db] of (await inspect(base, call)).databases) dbs.add(db)
    await exportKeys(base, { ...call, format: 'rdb', output: join(directory, 'own.base.rdb') })
  }
  const fd = openSync(join(directory, 'own.incr.aof'), 'wx', 0o600)
  const copied: number[] = []
  try {
    const writer = new OwnStream(fd, wanted, dbs)
    writer.copy(BEFORE_ALL)
    const look = new TouchLook()
    await tailRecorded(path, {
      signal: options.signal,
      onCommand: (command, place) => {
        const info = look.infoOf(command, place)
        const { replOffset, dbnum } = place
        const isWanted = info.isWrite && (isOfAll(info.name) || hasName(look, info, command, names))
        if (replOffset <= fromOffset || !isWanted) return
        writer.write(info.name, command, Math.max(0, dbnum), place.unixMs)
        if (!offsets.has(replOffset)) return
        writer.copy(String(replOffset))
        copied.push(replOffset)
      },
    })
    writer.flush()
  } finally {
    closeSync(fd)
  }
  const parts = ['file own.incr.aof seq 1 type i']
  if (base !== undefined) parts.unshift('file own.base.rdb seq 1 type b')
  writeFileSync(join(directory, 'own.aof.manifest'), `${parts.join('\n')}\n`, { mode: 0o600 })
  return { directory, copied }
}

/** The key, and what its commands read, and what theirs read: by name, whatever the database. */
async function namesNeeded(
  path: string,
  { key }: KeyName,
  { signal }: Pick<HistoryOptions, 'signal'>,
): Promise<{ names: ReadonlyMap<string, Buffer>; fromOffset: number }> {
  const names = new Map([[key.toString('latin1'), key]])
  let fromOffset = -1
  for (let before = 0; before < names.size;) {
    before = names.size
    const look = new TouchLook()
    await tailRecorded(path, {
      signal,
      onCommand: (command, place) => {
        const info = look.infoOf(command, place)
        if (!info.isWrite || !hasName(look, info, command, names)) return
        for (const at of look.keysOf(info, command)) {
          const name = Buffer.from(command.arg(at))
          names.set(name.toString('latin1'), name)
        }
      },
      onEvent: (event) => {
        if (event.event === 'gap') fromOffset = Math.max(fromOffset, event.toReplOffset)
      },
    })
    if (names.size > MAX_KEYS) {
      throw new ProtocolError(
        'ERR_NOT_SUPPORTED',
        `the key's commands read more than ${MAX_KEYS} others: its values are not found`,
      )
    }
  }
  return { names, fromOffset }
}

/** What stands before the first command that is read, as a source; undefined: nothing does. */
function baseOf(path: string, fromOffset: number): string | undefined {
  if (statOf(path)?.isDirectory() !== true) return undefined
  const archive = openArchive(path)
  const window = archive.windows.at(-1)
  if (window === undefined || window.isWithoutBase) return undefined
  const { fromReplOffset } = window
  const moment =
    archive.kind === 'server' || fromReplOffset === undefined
      ? 'end'
      : { replOffset: Math.max(fromReplOffset, fromOffset) }
  return archive.at(moment).base?.path
}

function isOfAll(name: string): boolean {
  return ['FLUSHALL', 'FLUSHDB', 'SWAPDB'].includes(name)
}

function hasName(
  look: TouchLook,
  info: Parameters<TouchLook['keysOf']>[0],
  command: CommandDecoder,
  names: ReadonlyMap<string, Buffer>,
): boolean {
  return look.keysOf(info, command).some((at) => names.has(command.arg(at).toString('latin1')))
}

/** The commands of a few keys as an append-only file. */
class OwnStream {
  readonly #fd: number
  readonly #wanted: KeyName
  readonly #dbs: Set<number>
  readonly #held: Buffer[] = []
  #heldBytes = 0
  #db = -1
  #seconds = -1

  constructor(fd: number, wanted: KeyName, dbs: Set<number>) {
    this.#fd = fd
    this.#wanted = wanted
    this.#dbs = dbs
  }

  write(name: string, command: CommandDecoder, dbnum: number, unixMs: number): void {
    for (const db of [dbnum, ...dbsNamedBy(name, command)]) this.#dbs.add(db)
    const seconds = Math.floor(unixMs / 1000)
    if (seconds > 0 && seconds !== this.#seconds) {
      this.#seconds = seconds
      this.#put(Buffer.from(`#TS:${seconds}\r\n`))
    }
    if (name === 'FLUSHALL') {
      // The copies stay.
      for (const db of this.#dbs) {
        this.#select(db)
        this.#put(encodeCommand('FLUSHDB'))
      }
      return
    }
    this.#select(dbnum)
    this.#put(Buffer.from(command.bytes.subarray(command.start, command.end)))
  }

  copy(name: string): void {
    const { db, key } = this.#wanted
    this.#select(db)
    this.#put(encodeCommand('COPY', key, name, 'DB', String(COPIES_DB)))
  }

  flush(): void {
    for (const each of this.#held) writeAll(this.#fd, each)
    this.#held.length = 0
    this.#heldBytes = 0
  }

  #select(db: number): void {
    if (db === this.#db) return
    this.#db = db
    this.#put(encodeCommand('SELECT', String(db)))
  }

  #put(bytes: Buffer): void {
    this.#held.push(bytes)
    this.#heldBytes += bytes.length
    if (this.#heldBytes > 1 << 20) this.flush()
  }
}

function asGlob(name: Buffer): Buffer {
  return Buffer.from(name.toString('latin1').replaceAll(/[[\]*?\\^]/g, '\\$&'), 'latin1')
}

function linesTo(take: (line: string) => void): Writable {
  let rest = ''
  return new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      const lines = (rest + chunk.toString('utf8')).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) if (line !== '') take(line)
      done()
    },
  })
}
