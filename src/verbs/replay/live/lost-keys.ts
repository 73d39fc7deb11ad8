/**
 * Keys that are not what they should be: those that writes touched which a failover lost. Which they
 * are is read from the part of the stream that is taken back; what a command does that names no keys
 * (FLUSHALL, a script) cannot be put right by keys.
 */
import { Buffer } from 'node:buffer'
import { isArg, KeyPositions, type CommandTable } from '../../../resp/command-table.js'
import { integerArg } from '../../../resp/command-args.js'
import { CommandDecoder, RESP } from '../../../resp/decoder.js'
import { RreplayUnwrapper } from '../../../resp/rreplay.js'
import { isChatter } from '../../../replication/lost-writes.js'
import type { SpoolRepair, StreamSpool } from './stream-spool.js'

const READ_BYTES = 256 << 10
/** Above this a new load is the better way. */
const MOST_KEYS = 100_000

/** Names by database; as latin1, a character a byte. */
export class KeySet {
  size = 0
  readonly #dbs = new Map<number, Set<string>>()

  static of(keys: SpoolRepair['keys'] = []): KeySet {
    const set = new KeySet()
    for (const [db, names] of keys) {
      for (const name of names) set.add(db, Buffer.from(name, 'base64').toString('latin1'))
    }
    return set
  }

  has(db: number, name: string): boolean {
    return this.#dbs.get(db)?.has(name) === true
  }

  add(db: number, name: string): void {
    const names = this.#dbs.get(db) ?? new Set()
    this.#dbs.set(db, names)
    if (names.has(name)) return
    names.add(name)
    this.size += 1
  }

  *[Symbol.iterator](): Generator<[db: number, name: string]> {
    for (const [db, names] of this.#dbs) for (const name of names) yield [db, name]
  }

  get kept(): SpoolRepair['keys'] {
    return [...this.#dbs].map(([db, names]) => [
      db,
      [...names].map((name) => Buffer.from(name, 'latin1').toString('base64')),
    ])
  }
}

/** Which keys a command touches, in which database. */
export class TouchedKeys {
  readonly #table: CommandTable
  readonly #positions = new KeyPositions()
  readonly found: [db: number, name: string][] = []

  constructor(table: CommandTable) {
    this.#table = table
  }

  /** False: what it does is about more than the keys it names. */
  find(command: CommandDecoder, db: number): boolean {
    this.found.length = 0
    if (isChatter(command)) return true
    const info = this.#table.findOrAdd(command.bytes, command.args[0]!, command.args[1]!)
    const isScript = info.name.startsWith('EVAL') || info.name.startsWith('FCALL')
    if (isScript || info.name === 'SWAPDB' || RreplayUnwrapper.wraps(command)) return false
    const count = this.#positions.find(info, command)
    if (count === 0) return false
    for (let k = 0; k < count; k += 1) {
      const i = this.#positions.positions[k]!
      this.found.push([db, nameAt(command, i)])
    }
    this.#inOtherDb(info.name, command)
    return true
  }

  #inOtherDb(verb: string, command: CommandDecoder): void {
    if (verb === 'MOVE' && command.argc > 2) {
      this.found.push([integerArg(command, 2), nameAt(command, 1)])
    } else if (verb === 'COPY') {
      for (let i = 3; i + 1 < command.argc; i += 1) {
        if (isArg(command, i, 'DB'))
          this.found.push([integerArg(command, i + 1), nameAt(command, 2)])
      }
    }
  }
}

export interface StreamPart {
  fromReplOffset: number
  /** Last byte of it. */
  toReplOffset: number
  /** Selected at its begin. */
  dbnum: number
}

/** Undefined: as many as there are; else why they cannot be put right by keys. */
export interface Collected {
  writes: number
  problem: string | undefined
}

/** All keys of the part go into the set. */
export function collectKeys(
  spool: StreamSpool,
  part: StreamPart,
  table: CommandTable,
  keys: KeySet,
): Collected {
  const touched = new TouchedKeys(table)
  const result: Collected = { writes: 0, problem: undefined }
  eachCommand(spool, part, (command, db) => {
    if (isChatter(command)) return
    result.writes += 1
    if (!touched.find(command, db)) result.problem ??= nameAt(command, 0).toUpperCase()
    for (const [at, name] of touched.found) keys.add(at, name)
    if (keys.size > MOST_KEYS) result.problem ??= `more than ${MOST_KEYS} keys`
  })
  return result
}

/** Keys that share a command of the part with one of the set join it. Returns how many did. */
export function widenKeys(
  spool: StreamSpool,
  part: StreamPart,
  table: CommandTable,
  keys: KeySet,
): number {
  const touched = new TouchedKeys(table)
  const before = keys.size
  eachCommand(spool, part, (command, db) => {
    touched.find(command, db)
    const { found } = touched
    if (found.length < 2 || !found.some(([at, name]) => keys.has(at, name))) return
    for (const [at, name] of found) keys.add(at, name)
  })
  return keys.size - before
}

function eachCommand(
  spool: StreamSpool,
  { fromReplOffset, toReplOffset, dbnum }: StreamPart,
  onCommand: (command: CommandDecoder, db: number) => void,
): void {
  const decoder = new CommandDecoder({ oldMasters: true })
  const buffer = Buffer.allocUnsafe(READ_BYTES)
  let db = dbnum
  for (let at = fromReplOffset; at <= toReplOffset;) {
    const count = spool.read(at, buffer.subarray(0, Math.min(READ_BYTES, toReplOffset - at + 1)))
    if (count === 0) return
    at += count
    decoder.feed(buffer, 0, count)
    for (let status = decoder.next(); status !== RESP.MORE; status = decoder.next()) {
      if (status === RESP.BAD) return
      if (status !== RESP.COMMAND) continue
      if (isArg(decoder, 0, 'SELECT') && decoder.argc > 1) db = integerArg(decoder, 1)
      onCommand(decoder, db)
    }
  }
}

function nameAt(command: CommandDecoder, i: number): string {
  const { bytes, args } = command
  return Buffer.from(bytes.subarray(args[2 * i], args[2 * i + 1])).toString('latin1')
}
