/**
 * The RDB parser: bytes in, calls of an `RdbVisitor` out (visitor.ts says what is told). Reads
 * every version of both families, at the depth that the visitor chooses for each key, from chunks
 * cut anywhere; also inside Valkey's LZ4 envelope (byte offsets then count the unpacked RDB).
 * Synchronous; memory does not grow with the file or with the size of a collection.
 *
 *   const parser = new RdbParser({ key: (header) => DEPTH.SKIP, keyEnd: … })
 *   for (const chunk of chunks) parser.push(chunk)
 *   const summary = parser.end()
 */
import type { RdbLane } from './lane/lane.js'
import { Buffer } from 'node:buffer'
import { RdbError } from '../errors.js'
import { Core } from './core.js'
import type { KeyWatch } from './duplicates.js'
import { Envelope } from './envelope.js'
import { magicStep, recordStep, startAt, type RdbPlace } from './records.js'
import { Salvage } from './salvage.js'
import type { RdbFamily } from './numbers.js'
import type { RdbSummary, RdbVisitor } from './visitor.js'

export type { RdbPlace } from './records.js'

export interface RdbParserOptions {
  /** For error messages. */
  file?: string | undefined
  /** Added to every byte offset told, where the RDB does not start at the first byte of a file. */
  baseByteOffset?: number | undefined
  /**
   * Checks every packed blob to the last byte at all depths (ELEMENTS always does), every LZF
   * string, and looks for duplicate keys (all up to 2^15 keys, beyond
   * that a sample that thins out, by a 64-bit hash). What `--check` is.
   */
  validate?: boolean | undefined
  /**
   * Walks packed blobs at all depths, so that `largestElementBytes` is always known, without
   * looking for duplicate keys. `validate` does that too.
   */
  walkBlobs?: boolean | undefined
  /**
   * The visitor's `key` and `keyEnd` are not called: all keys are stepped over, rows of small
   * strings at the speed of memory. For runs that only want errors, notices and the summary.
   */
  checkOnly?: boolean | undefined
  /**
   * Makes errors of what servers tolerate: empty collections, an expiry without a key, duplicate
   * keys. Default: the value of `validate`.
   */
  strict?: boolean | undefined
  /** `verify` (default): a wrong checksum is an error. `report`: told in the summary. */
  checksum?: 'verify' | 'report' | 'ignore' | undefined
  /**
   * Goes on behind damage where that is safe (see salvage.ts); `visitor.lost` is told what was
   * lost. Of a key that it names, whatever was told so far is incomplete: there is no keyEnd.
   * Implies `validate`, and a wrong checksum is reported, not thrown.
   */
  salvage?: boolean | undefined
  /** Strings longer than this come in parts if the visitor has `stringPart`. Default 1 MiB. */
  wholeStringBytes?: number | undefined
  /** All times in the file carry this constant, in ms: visitors are told them without it. */
  timeShiftMs?: number | undefined
  /** @internal The visitor's road by kernels (lane.ts). */
  lane?: RdbLane | undefined
  /** @internal Begins at a record in the middle: others read what is in front of it, also of the checksum. */
  startAt?: RdbPlace | undefined
  /** @internal With `validate`: who is asked whether a key comes twice, where that goes beyond this parser. */
  keys?: KeyWatch | undefined
}

const WHOLE_STRING_BYTES = 1 << 20

export class RdbParser {
  readonly #core: Core
  readonly #envelope: Envelope
  #trailingBytes = 0
  #failure: Error | undefined = undefined

  constructor(visitor: RdbVisitor, options: RdbParserOptions = {}) {
    const salvage = options.salvage ?? false
    const validate = salvage || (options.validate ?? false)
    this.#core = new Core(
      visitor,
      options.lane ?? {},
      {
        file: options.file,
        baseByteOffset: options.baseByteOffset ?? 0,
        validate,
        checkOnly: options.checkOnly === true && !salvage,
        walkBlobs: validate || options.walkBlobs === true,
        strict: salvage || (options.strict ?? validate),
        // Behind damage no checksum can match.
        checksum:
          salvage && options.checksum !== 'ignore' ? 'report' : (options.checksum ?? 'verify'),
        wholeStringBytes: options.wholeStringBytes ?? WHOLE_STRING_BYTES,
        timeShiftMs: options.timeShiftMs ?? 0,
      },
      magicStep,
      recordStep,
      options.keys,
    )
    this.#envelope = new Envelope(options.file, (bytes) =>
      this.#core.done ? 0 : this.#core.feed(bytes),
    )
    if (options.startAt !== undefined) {
      startAt(this.#core, options.startAt)
      // There is none in the middle.
      this.#envelope.flush()
    }
    if (salvage) this.#core.salvage = new Salvage(recordStep)
  }

  /** By the magic; `redis` until it was read. */
  get family(): RdbFamily {
    return this.#core.header.family
  }

  /** 0 until the magic was read. */
  get version(): number {
    return this.#core.version
  }

  /** Keys that were read to their end. */
  get keysRead(): number {
    return this.#core.keysRead
  }

  /** By name, so far. */
  get notices(): Readonly<Record<string, number>> {
    return this.#core.notices
  }

  /** True once the EOF opcode and the checksum have been read. */
  get done(): boolean {
    return this.#core.done
  }

  /** Length of the RDB once `done`; the bytes read so far until then. */
  get byteOffset(): number {
    return this.#core.input.byteOffset
  }

  /**
   * Takes the next bytes and calls the visitor for everything that is complete with them. Returns
   * how many of `chunk` belong to the RDB: all of them until its end was read, then the rest is
   * the caller's (in an AOF, its commands). Keeps no reference to `chunk`.
   *
   * Throws RdbError: corrupt or unsupported input. The parser cannot be used after that.
   */
  push(chunk: Uint8Array): number {
    if (this.#failure !== undefined) throw this.#failure
    const bytes = Buffer.isBuffer(chunk)
      ? chunk
      : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)
    try {
      const taken = this.#envelope.push(bytes)
      this.#trailingBytes += bytes.length - taken
      return taken
    } catch (error) {
      throw this.#fail(error as Error)
    }
  }

  #cutEnvelope(): RdbError {
    return new RdbError(
      'ERR_RDB_TRUNCATED',
      { file: this.#core.options.file, byteOffset: this.#envelope.endsAt, reading: 'envelope' },
      'the input ends inside the compressed RDB',
    )
  }

  #fail(error: Error): Error {
    this.#failure = error
    return error
  }

  /**
   * @internal No more will come, though the RDB goes on: what needs no further byte is done. False: the
   * bytes end within a record.
   */
  endBetweenRecords(): boolean {
    const { input, run } = this.#core
    input.finish(run)
    return !this.#core.inValue && this.#core.header.byteOffset < 0 && input.pos === input.end
  }

  /**
   * The input has ended. Throws RdbError `ERR_RDB_TRUNCATED`, with the offset where the bytes stop,
   * unless the RDB is complete. With `salvage` a missing end is told as lost instead: look at
   * `lostRegions` of the summary.
   */
  end(): RdbSummary {
    if (this.#failure !== undefined) throw this.#failure
    const core = this.#core
    const { salvage } = core
    this.#envelope.flush()
    if (salvage !== undefined) salvage.isFinal = true
    if (!core.done) core.input.finish(core.run)
    if (!core.done) {
      const error = this.#envelope.endsAt >= 0 ? this.#cutEnvelope() : truncated(core)
      if (salvage === undefined || core.version === 0) throw this.#fail(error)
      salvage.loseRest(core, error)
      core.checksum = 'unchecked'
    }
    const summary: RdbSummary = {
      family: core.header.family,
      version: core.version,
      checksum: core.checksum,
      crc64: core.storedCrc64,
      keysRead: core.keysRead,
      rdbBytes: core.done ? core.input.byteOffset : core.input.received,
      trailingBytes: this.#trailingBytes,
      notices: core.notices,
      lostRegions: salvage?.lostRegions ?? 0,
      lostBytes: salvage?.lostBytes ?? 0,
    }
    core.visitor.end?.(summary)
    return summary
  }
}

function truncated(core: Core): RdbError {
  const { received } = core.input
  return core.error(
    'ERR_RDB_TRUNCATED',
    received === 0 ? 'the input is empty' : 'the input ends before the RDB does',
    received,
  )
}
