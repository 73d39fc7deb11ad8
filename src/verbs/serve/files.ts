/**
 * A file or an archive as a frozen master: which bytes are the snapshot, which ranges are the
 * commands behind it, and an id that the content alone decides.
 *
 * Everything is read once, and checked, before anybody is served: a bad snapshot would end a
 * replica's process, a bad stream would make it diverge. Nothing is copied but what has to be
 * unpacked.
 */
import { isShardDirectory } from '../../source/shards.js'
import { createHash, type Hash } from 'node:crypto'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { AofParser, type AofPosition, type AofVisitor } from '../../aof/aof-parser.js'
import { momentOf, type Moment, type Until } from '../../archive/moment.js'
import { MomentGate } from '../../archive/moment-gate.js'
import { openArchive } from '../../archive/reader.js'
import { DataFile } from '../../disk/data-file.js'
import { AofError, UsageError } from '../../errors.js'
import { Envelope } from '../../rdb/envelope.js'
import { FrozenLog, type StreamPart } from '../../serving/origin/frozen-log.js'
import { command } from '../../serving/clients/replies.js'
import { RdbScan, type RdbFacts } from '../../serving/origin/rdb-scan.js'
import type { FrozenFacts } from './options.js'
import { kindOf, openInput } from '../../source/source.js'
import { isPipe } from '../../source/stored-pipe.js'
import { statOf } from '../../disk/stat.js'

export interface ServeFilesOptions {
  /** A file, a manifest, a directory with one, or `-`. */
  path: string
  /** State of this moment: what came later is left out. */
  until?: Until
  stdin?: Readable | undefined
  identity?: string | undefined
  /** Where compressed input and stdin are unpacked to. */
  temporaryDir: string
  signal?: AbortSignal | undefined
  onProgress?: ((readBytes: number, totalBytes: number | undefined) => void) | undefined
}

const SELECT_0 = command('SELECT', '0')
const HASH_BYTES = 1 << 20

/** Throws RdbError, AofError, FileError, UsageError. */
export async function openFrozenSource(options: ServeFilesOptions): Promise<FrozenFacts> {
  const reader = new SourceReader(options)
  if (!(await isArchive(options))) {
    await reader.readPart(options.path, 0, true)
    return await reader.finish([])
  }
  const archive = openArchive(options.path)
  const { base, increments } = archive.at(reader.moment)
  if (base !== undefined) await reader.readPart(base.path, 0, increments.length === 0)
  for (const { path, startByteOffset } of increments) {
    await reader.readPart(path, startByteOffset, path === increments.at(-1)?.path)
  }
  return await reader.finish(archive.problems)
}

/** Of a dump that no commands follow. */
export function replidOf(contentId: string): string {
  return replidHash(contentId).digest('hex')
}

function replidHash(contentId = ''): Hash {
  return createHash('sha1').update(`rrep frozen\n${contentId}\n`)
}

/** A directory, or a manifest. */
async function isArchive({ path, stdin, identity }: ServeFilesOptions): Promise<boolean> {
  if (path === '-' || isShardDirectory(path)) return false
  if (statOf(path)?.isFile() !== true) {
    return statOf(path)?.isDirectory() === true
  }
  const input = await openInput(path, { stdin, identity })
  input.close()
  return input.kind === 'manifest'
}

class SourceReader {
  readonly moment: Moment
  readonly gate: MomentGate
  readonly #options: ServeFilesOptions
  #rdb: { facts: RdbFacts; path: string } | undefined
  readonly #stream: StreamPart[] = []
  #isAny = false
  /** Past the time that was asked for: later parts are left out. */
  #isOver = false
  #dbnum = -1
  #unixSeconds = -1
  #commands = 0
  #cutBytes = 0
  #cutFile: string | undefined
  #readBytes = 0

  constructor(options: ServeFilesOptions) {
    this.#options = options
    this.moment = momentOf(options.until)
    this.gate = new MomentGate(this.moment)
  }

  /** @param startByteOffset bytes of the files before it */
  async readPart(path: string, startByteOffset: number, isLast: boolean): Promise<void> {
    if (this.#isOver) return
    const { stdin, identity, signal, temporaryDir, onProgress } = this.#options
    const input = await openInput(path, { stdin, identity, signal })
    const isPacked = input.kind === 'vcs'
    const isFile =
      input.compression === 'none' && !isPacked && statOf(path)?.isFile() === true && !isPipe(path)
    // What cannot be read at any offset is written down first.
    const spool = isFile ? undefined : DataFile.create(join(temporaryDir, 'source'))
    this.gate.beginPart(startByteOffset)
    const part = new PartReader(this, spool?.path ?? path, isPacked)
    const take = (bytes: Buffer): number => {
      spool?.append(bytes)
      part.push(bytes)
      return bytes.length
    }
    // Valkey's envelope around the RDB; commands may stand behind it.
    const envelope = isPacked ? new Envelope(input.name, take) : undefined
    try {
      checkKind(input.kind, input.name)
      await input.pump(
        (chunk) => {
          const own = envelope?.push(chunk) ?? 0
          if (own < chunk.length) take(chunk.subarray(own))
          return true
        },
        { signal, onProgress: (bytes) => onProgress?.(this.#readBytes + bytes, input.sizeBytes) },
      )
      this.#readBytes += input.consumedBytes
    } finally {
      input.close()
      spool?.close()
    }
    part.end(isLast)
  }

  takeRdb(facts: RdbFacts, path: string): void {
    if (this.#isAny) {
      throw new AofError(
        'ERR_AOF_UNSUPPORTED',
        { file: path, byteOffset: 0 },
        'a snapshot behind commands cannot be served',
      )
    }
    const untilMs =
      this.moment !== 'end' && 'timeMs' in this.moment ? this.moment.timeMs : undefined
    if (untilMs !== undefined && facts.savedAtMs !== undefined && facts.savedAtMs > untilMs) {
      const savedAt = new Date(facts.savedAtMs).toISOString()
      throw new UsageError(`${path} was saved at ${savedAt}, after the moment asked for`, {
        hint: 'an older snapshot is needed to go back further',
      })
    }
    this.#isAny = true
    this.#rdb = { facts, path }
  }

  /** Commands of one part: ranges of its file, in order. */
  takeCommands(
    path: string,
    ranges: readonly { byteOffset: number; endByteOffset: number }[],
    state: { commands: number; dbnum: number; unixSeconds: number; isOver: boolean },
  ): void {
    this.#isOver = state.isOver
    this.#unixSeconds = state.unixSeconds
    this.#commands += state.commands
    this.#isAny = true
    if (ranges.length === 0) return
    // Every part begins in db 0, whatever the one before it, or the snapshot, ended in.
    if (this.#dbnum !== 0) this.#stream.push({ bytes: SELECT_0 })
    this.#dbnum = state.dbnum
    for (const { byteOffset, endByteOffset } of ranges) {
      this.#stream.push({ path, byteOffset, lengthBytes: endByteOffset - byteOffset })
    }
  }

  cut(path: string, bytes: number): void {
    this.#cutBytes += bytes
    this.#cutFile = path
  }

  get unixSeconds(): number {
    return this.#unixSeconds
  }

  async finish(problems: readonly string[]): Promise<FrozenFacts> {
    this.gate.refuseWithoutTimes(this.#options.path)
    const hash = replidHash(this.#rdb?.facts.contentId)
    const log = new FrozenLog(0, this.#stream)
    const buffer = Buffer.allocUnsafe(HASH_BYTES)
    try {
      for (let next = 1; next <= log.commandsEndReplOffset;) {
        const count = await log.read(next, buffer)
        hash.update(buffer.subarray(0, count))
        next += count
      }
    } finally {
      await log.close()
    }
    const rdb = this.#rdb
    return {
      source: {
        replid: hash.digest('hex'),
        snapshot:
          rdb === undefined
            ? undefined
            : {
                path: rdb.path,
                byteOffset: 0,
                lengthBytes: rdb.facts.rdbBytes,
                neededVersion: rdb.facts.neededVersion,
              },
        stream: this.#stream,
      },
      dump: rdb?.facts,
      rdb: rdb?.facts,
      commands: this.#commands,
      streamBytes: log.commandsEndReplOffset,
      cutBytes: this.#cutBytes,
      cutFile: this.#cutFile,
      problems,
      lastSeconds: this.#unixSeconds < 0 ? undefined : this.#unixSeconds,
    }
  }
}

/** One file: an RDB, commands, or the first and then the second. */
class PartReader implements AofVisitor {
  readonly #reader: SourceReader
  readonly #path: string
  readonly #ranges: { byteOffset: number; endByteOffset: number }[] = []
  #scan: RdbScan | undefined
  #parser: AofParser | undefined
  #isFirst = true
  #commands = 0
  #byteOffset = 0
  /** What is behind the RDB is no AOF: servers ignore it too. */
  #isIgnoring = false

  constructor(reader: SourceReader, path: string, isSurelyRdb: boolean) {
    this.#reader = reader
    this.#path = path
    if (isSurelyRdb) {
      this.#isFirst = false
      this.#scan = new RdbScan(path)
    }
  }

  push(chunk: Buffer): void {
    let rest = chunk
    if (this.#isFirst && chunk.length > 0) {
      this.#isFirst = false
      if (kindOf(chunk) === 'rdb') this.#scan = new RdbScan(this.#path)
    }
    if (this.#scan !== undefined) {
      const count = this.#scan.push(rest)
      this.#byteOffset += count
      if (!this.#scan.done) return
      this.#reader.takeRdb(this.#scan.facts(), this.#path)
      this.#scan = undefined
      rest = rest.subarray(count)
      if (rest.length === 0) return
    }
    if (this.#isIgnoring || rest.length === 0) return
    if (this.#parser === undefined) {
      if (this.#byteOffset > 0 && kindOf(rest) !== 'aof') {
        this.#isIgnoring = true
        return
      }
      this.#parser = new AofParser(this, {
        file: this.#path,
        byteOffset: this.#byteOffset,
        unixSeconds: this.#reader.unixSeconds,
      })
    }
    this.#parser.push(rest)
  }

  end(isLast: boolean): void {
    // Throws where the RDB stops before its end.
    this.#scan?.facts()
    const parser = this.#parser
    if (parser === undefined) return
    const end = parser.end()
    if (!end.complete && !isLast && !parser.stopped) {
      throw new AofError(
        'ERR_AOF_TRUNCATED',
        { file: this.#path, byteOffset: end.endByteOffset, reading: end.reading },
        'the file stops inside a command, and more files follow it',
      )
    }
    this.#clip(end.validByteOffset)
    if (!end.complete && !parser.stopped) {
      this.#reader.cut(this.#path, end.endByteOffset - end.validByteOffset)
    }
    this.#reader.takeCommands(this.#path, this.#ranges, {
      commands: this.#commands,
      dbnum: parser.position.dbnum,
      unixSeconds: parser.position.unixSeconds,
      isOver: parser.stopped,
    })
  }

  // ---- AofVisitor -----------------------------------------------------------------------------

  command(_command: unknown, at: AofPosition): void {
    if (!this.#reader.gate.command(at)) {
      this.#parser?.stop()
      return
    }
    this.#commands += 1
    const last = this.#ranges.at(-1)
    if (last?.endByteOffset === at.byteOffset) last.endByteOffset = at.endByteOffset
    else this.#ranges.push({ byteOffset: at.byteOffset, endByteOffset: at.endByteOffset })
  }

  timestamp(unixSeconds: number): void {
    if (!this.#reader.gate.timestamp(unixSeconds)) this.#parser?.stop()
  }

  annotation(line: Buffer, at: AofPosition): void {
    this.#reader.gate.annotation(line, at)
  }

  /** Leaves out a transaction that has no end. */
  #clip(endByteOffset: number): void {
    for (let last = this.#ranges.at(-1); last !== undefined; last = this.#ranges.at(-1)) {
      if (last.byteOffset >= endByteOffset) this.#ranges.pop()
      else {
        last.endByteOffset = Math.min(last.endByteOffset, endByteOffset)
        return
      }
    }
  }
}

function checkKind(kind: string, name: string): void {
  if (kind === 'rdb' || kind === 'aof' || kind === 'vcs') return
  if (kind === 'empty') {
    throw new AofError('ERR_AOF_TRUNCATED', { file: name, byteOffset: 0 }, 'the file is empty')
  }
  throw new AofError(
    'ERR_AOF_UNSUPPORTED',
    { file: name, byteOffset: 0 },
    'neither an RDB nor an append-only file',
  )
}
