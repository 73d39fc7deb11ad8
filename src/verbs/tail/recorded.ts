/**
 * `tail ARCHIVE|AOF`: the commands that were kept, over every base and gap, with the time and
 * the offset of each. The offset is what `--until offset:N` of other verbs takes: the state with
 * this command in it; one less is the state before it.
 */
import { join } from 'node:path'
import { AofParser, type AofPosition } from '../../aof/aof-parser.js'
import { isClusterArchive, NODES_FILE } from '../../archive/cluster-record.js'
import { momentOf } from '../../archive/moment.js'
import { MomentGate } from '../../archive/moment-gate.js'
import { openArchive, type ArchiveIncrement } from '../../archive/reader.js'
import { AbortedError, AofError, ProtocolError, UsageError } from '../../errors.js'
import type { CommandPlace } from '../../formats/command-format.js'
import { RdbParser } from '../../rdb/parser.js'
import { DEPTH } from '../../rdb/visitor.js'
import type { CommandDecoder } from '../../resp/decoder.js'
import { isArg } from '../../resp/command-table.js'
import { openInput, type ByteInput } from '../../source/source.js'
import { CommandView } from './command-view.js'
import { pathOf, readStored, type StoredSource } from '../../source/classify.js'
import type { RecordedTailCall, RecordedTailOptions, RecordedTailResult } from './options.js'
import { statOf } from '../../disk/stat.js'

const READ_BYTES = 256 << 10
/** Somebody who reads page by page. */
const PATIENCE_MS = 2 ** 31 - 1

/** Rejects with FileError, AofError, RdbError, UsageError, ProtocolError (no commands in there) or
 * AbortedError. */
export async function tailRecorded(
  source: string | StoredSource,
  options: RecordedTailOptions = {},
): Promise<RecordedTailResult> {
  return await new RecordedTail({ ...options, path: pathOf(readStored(source)) }).run()
}

class RecordedTail {
  readonly #options: RecordedTailCall
  readonly #view: CommandView
  readonly #gate: MomentGate
  readonly #place: CommandPlace = { replOffset: -1, dbnum: 0, unixMs: -1 }
  readonly #fromSeconds: number
  #unixSeconds = -1
  #firstSeconds = -1
  #isOver = false
  #failure: Error | undefined
  #commands = 0
  #gaps = 0
  #cutBytes = 0

  constructor(options: RecordedTailCall) {
    this.#options = options
    const { output } = options
    this.#view = new CommandView(
      output === undefined
        ? options
        : { ...options, output: { patienceMs: PATIENCE_MS, ...output } },
      (error) => {
        this.#failure ??= error
        this.#isOver = true
      },
    )
    this.#gate = new MomentGate(momentOf(options.until))
    this.#fromSeconds = options.fromMs === undefined ? -1 : Math.floor(options.fromMs / 1000)
  }

  async run(): Promise<RecordedTailResult> {
    const { path, stats, signal } = this.#options
    try {
      if (statOf(path)?.isDirectory() === true) await this.#archive()
      else await this.#file()
    } finally {
      await this.#view.finish(signal)
    }
    if (this.#failure !== undefined) throw this.#failure
    if (signal?.aborted === true) throw new AbortedError()
    const seconds = this.#firstSeconds < 0 ? 1 : this.#unixSeconds - this.#firstSeconds + 1
    const figures = this.#view.stats?.take(seconds * 1000)
    const { offset } = this.#gate
    if (figures !== undefined)
      stats?.onStats({ ...figures, replOffset: offset, lagBytes: undefined })
    return {
      path,
      commands: this.#view.shown,
      readCommands: this.#commands,
      hasReplOffsets: this.#gate.hasReplOffsets,
      endOffset: offset,
      gaps: this.#gaps,
      cutBytes: this.#cutBytes,
    }
  }

  async #archive(): Promise<void> {
    const { path } = this.#options
    if (statOf(join(path, NODES_FILE)) !== undefined) {
      // Else the dumps of a cluster.
      throw isClusterArchive(path) ? ofShards(path) : noCommands(path)
    }
    const archive = openArchive(path)
    for (const message of archive.problems) this.#options.onEvent?.({ event: 'warning', message })
    const { increments } = archive
    for (const [index, increment] of increments.entries()) {
      if (this.#isOver) return
      if (increment.isBehindGap) this.#gap(increment)
      const input = await openInput(increment.path, { signal: this.#options.signal })
      try {
        await this.#read(input, increment.startByteOffset, index === increments.length - 1)
      } finally {
        input.close()
      }
    }
  }

  async #file(): Promise<void> {
    const { path, stdin, signal } = this.#options
    const input = await openInput(path, { stdin, signal })
    try {
      if (input.kind === 'manifest') {
        await this.#archive()
        return
      }
      if (input.kind === 'unknown') {
        throw new AofError(
          'ERR_AOF_CORRUPT',
          { file: input.name, byteOffset: 0 },
          'neither an RDB nor an append-only file',
        )
      }
      await this.#read(input, 0, true)
      if (input.kind === 'aof' || input.kind === 'empty' || this.#commands > 0) return
      throw noCommands(input.name)
    } finally {
      input.close()
    }
  }

  #gap(increment: ArchiveIncrement): void {
    this.#gaps += 1
    const toReplOffset = increment.startReplOffset ?? 0
    const fromReplOffset = this.#gate.offset + 1
    this.#options.onEvent?.({ event: 'gap', fromReplOffset, toReplOffset })
  }

  /** One file: a snapshot at its head is passed over. */
  async #read(input: ByteInput, startByteOffset: number, isLast: boolean): Promise<void> {
    this.#gate.beginPart(startByteOffset)
    this.#place.dbnum = 0
    const isRdb = input.kind === 'rdb' || input.kind === 'vcs'
    const rdb = isRdb ? new RdbParser({ key: () => DEPTH.SKIP }, { file: input.name }) : undefined
    let rdbBytes = 0
    let parser = isRdb ? undefined : this.#parserOf(input, 0)
    await input.pump(
      (bytes) => {
        let chunk = bytes
        if (parser === undefined && rdb !== undefined) {
          const taken = rdb.push(chunk)
          rdbBytes += taken
          chunk = chunk.subarray(taken)
          if (chunk.length === 0) return undefined
          parser = this.#parserOf(input, rdbBytes)
        }
        parser?.push(chunk)
        this.#view.formatter?.flush()
        this.#view.output?.flush()
        if (this.#isOver) return false
        const waiting = this.#view.drain()
        return waiting === undefined ? undefined : waiting.then(() => !this.#isOver)
      },
      { signal: this.#options.signal, buffer: Buffer.allocUnsafeSlow(READ_BYTES) },
    )
    rdb?.end()
    const end = parser?.end()
    if (end === undefined || end.complete || this.#isOver) return
    if (!isLast) {
      throw new AofError(
        'ERR_AOF_TRUNCATED',
        { file: input.name, byteOffset: end.endByteOffset, reading: end.reading },
        'the file stops short, and is not the last one',
      )
    }
    this.#cutBytes = end.endByteOffset - end.validByteOffset
  }

  #parserOf(input: ByteInput, byteOffset: number): AofParser {
    const parser: AofParser = new AofParser(
      {
        command: (command, at) => {
          this.#command(command, at)
          if (this.#isOver) parser.stop()
        },
        timestamp: (seconds) => {
          if (!this.#gate.timestamp(seconds)) {
            this.#isOver = true
            parser.stop()
            return
          }
          this.#unixSeconds = seconds
          if (this.#firstSeconds < 0 && seconds >= this.#fromSeconds) this.#firstSeconds = seconds
        },
        annotation: (line, at) => this.#gate.annotation(line, at),
      },
      { file: input.name, byteOffset, unixSeconds: this.#unixSeconds },
    )
    return parser
  }

  #command(command: CommandDecoder, at: AofPosition): void {
    if (!this.#gate.command(at)) {
      this.#isOver = true
      return
    }
    this.#commands += 1
    const { unixSeconds } = at
    // The database counts for what follows, also where it was selected earlier.
    if (unixSeconds < this.#fromSeconds && !isArg(command, 0, 'SELECT')) {
      if (unixSeconds < 0) throw noTimes(this.#options.path)
      return
    }
    const place = this.#place
    place.dbnum = at.dbnum
    place.replOffset = this.#gate.offset
    place.unixMs = unixSeconds < 0 ? -1 : unixSeconds * 1000
    this.#view.take(command, place)
  }
}

function noTimes(path: string): UsageError {
  return new UsageError(`the commands in ${path} have no times: they have no "from"`, {
    hint: 'servers write times with aof-timestamp-enabled yes',
  })
}

function noCommands(name: string): ProtocolError {
  return new ProtocolError('ERR_NO_COMMANDS', `${name} is a snapshot: no commands follow it`, {
    hint: 'see what it holds with inspect or export',
  })
}

function ofShards(path: string): UsageError {
  return new UsageError(`${path} is the archive of a cluster: each shard has commands of its own`, {
    hint: `name the directory of one of its shards, such as those in ${path}`,
  })
}
