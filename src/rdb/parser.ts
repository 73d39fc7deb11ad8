/**
 * The RDB parser: bytes in, calls of an `RdbVisitor` out. See visitor.ts for what is told.
 */
import type { RdbFamily } from './types.js'
import type { RdbSummary, RdbVisitor } from './visitor.js'

export interface RdbParserOptions {
  /** For error messages. */
  file?: string | undefined
  /** Added to every byte offset told, where the RDB does not start at the first byte of a file. */
  baseByteOffset?: number | undefined
  /**
   * Checks every packed blob to the last byte at all depths (ELEMENTS always does), and looks for
   * duplicate keys. What `--check` is.
   */
  validate?: boolean | undefined
  /**
   * Makes errors of what servers tolerate: empty collections, an expiry without a key, duplicate
   * keys. Default: the value of `validate`.
   */
  strict?: boolean | undefined
  /** `verify` (default): a wrong checksum is an error. `report`: told in the summary. */
  checksum?: 'verify' | 'report' | 'ignore' | undefined
  /** Goes on behind damage where that is safe; `visitor.lost` is told what was lost. */
  salvage?: boolean | undefined
  /** Strings longer than this come in parts if the visitor has `stringPart`. Default 1 MiB. */
  wholeStringBytes?: number | undefined
}

export class RdbParser {
  readonly family: RdbFamily = 'redis'
  version = 0
  keysRead = 0
  /** True once the EOF opcode and the checksum have been read. */
  done = false

  constructor(visitor: RdbVisitor, options: RdbParserOptions = {}) {
    this.visitor = visitor
    this.options = options
  }

  protected readonly visitor: RdbVisitor
  protected readonly options: RdbParserOptions

  /** Where to read a file into to spare a copy: push a subarray of it that starts at its start. */
  get readBuffer(): Buffer {
    return Buffer.alloc(0)
  }

  /** Byte offset behind the RDB once `done`; the bytes consumed so far until then. */
  readonly byteOffset: number = 0

  /**
   * Takes the next bytes and calls the visitor for everything that is complete with them. Returns
   * how many of `chunk` belong to the RDB: all of them until its end was read, then the rest is
   * the caller's (in an AOF, its commands). Keeps no reference to `chunk`.
   *
   * Throws RdbError: corrupt or unsupported input. The parser cannot be used after that.
   */
  push(chunk: Uint8Array): number {
    return chunk.length
  }

  /** The input has ended. Throws RdbError `ERR_RDB_TRUNCATED` unless the RDB is complete. */
  end(): RdbSummary {
    return {
      family: this.family,
      version: this.version,
      checksum: 'absent',
      keysRead: this.keysRead,
      rdbBytes: 0,
      trailingBytes: 0,
      notices: {},
      lostRegions: 0,
      lostBytes: 0,
    }
  }
}

/**
 * One value as DUMP gives it and RESTORE takes it: `[KEY_META] type value`, version, checksum.
 * The visitor is called as for a file with this one key (no start, no end). The footer's version
 * decides the family: 80 and above Valkey, 12 to 79 Redis, up to 11 either. Throws RdbError.
 */
export function parseDumpPayload(
  payload: Uint8Array,
  visitor: RdbVisitor,
  options: DumpPayloadOptions = {},
): void {
  new RdbParser(visitor, { checksum: options.checksum === 'ignore' ? 'ignore' : 'verify' }).push(
    payload,
  )
}

export interface DumpPayloadOptions {
  /** Told as the header's key; not part of a payload. */
  key?: Uint8Array | undefined
  dbnum?: number | undefined
  /** `accept-zero` (default): a checksum of 0 counts as absent, as Redis 8.6 has it. */
  checksum?: 'accept-zero' | 'verify' | 'ignore' | undefined
  /** Limits of the footer are not looked at: the family to assume when the version is ≤ 11. */
  family?: RdbFamily | undefined
}
