/**
 * Single values as DUMP gives and RESTORE takes them:
 *
 *   [KEY_META record] TYPE VALUE · u16le RDB version · u64le CRC64 of everything before
 *
 * There is no magic. The version tells the family: 80 and above Valkey, 12 to 79 Redis; up to 11
 * both write the same.
 */
import { Buffer } from 'node:buffer'
import { Crc64 } from '../kernels/crc64.js'
import { Core } from './core.js'
import { dumpStep, payloadEndStep, setVersion } from './records.js'
import { MIN_VALKEY_VERSION, type RdbFamily } from './numbers.js'
import type { RdbVisitor } from './visitor.js'

const FOOTER_BYTES = 10

export interface DumpPayloadOptions {
  /** Told as the header's key; not part of a payload. */
  key?: Uint8Array | undefined
  dbnum?: number | undefined
  /** Told in the header as well, -1 for none: a RESTORE has them beside its payload. */
  idleSeconds?: number | undefined
  freq?: number | undefined
  /** `accept-zero` (default): a checksum of 0 counts as absent, as Redis 8.6 has it. */
  checksum?: 'accept-zero' | 'verify' | 'ignore' | undefined
  /** The family to assume where the version is 11 or lower. Default `redis`. */
  family?: RdbFamily | undefined
  /** Walks packed blobs at every depth; see RdbParserOptions. */
  validate?: boolean | undefined
}

/**
 * Parses one payload. The visitor is called as for a file with this one key, without start and end.
 * Throws RdbError: bad checksum, corrupt, or bytes between value and footer.
 */
export function parseDumpPayload(
  payload: Uint8Array,
  visitor: RdbVisitor,
  options: DumpPayloadOptions = {},
): void {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length)
  const validate = options.validate ?? false
  const core = new Core(
    visitor,
    {},
    {
      file: undefined,
      baseByteOffset: 0,
      validate,
      walkBlobs: validate,
      checkOnly: false,
      strict: validate,
      checksum: 'ignore',
      wholeStringBytes: Number.POSITIVE_INFINITY,
      timeShiftMs: 0,
    },
    dumpStep,
    payloadEndStep,
  )
  core.reading = 'footer'
  const footer = bytes.length - FOOTER_BYTES
  if (footer < 1) {
    throw core.error('ERR_RDB_TRUNCATED', 'a DUMP payload ends in 10 bytes of footer', bytes.length)
  }
  checkFooter(core, bytes, footer, options.checksum ?? 'accept-zero')
  const version = bytes.readUInt16LE(footer)
  const foreign = version >= MIN_VALKEY_VERSION ? 'valkey' : 'redis'
  setVersion(core, version <= 11 ? (options.family ?? 'redis') : foreign, version)
  core.header.dbnum = options.dbnum ?? 0
  core.header.idleSeconds = options.idleSeconds ?? -1
  core.header.freq = options.freq ?? -1
  if (options.key !== undefined) {
    const key = Buffer.from(options.key.buffer, options.key.byteOffset, options.key.length)
    core.header.key.point(key, 0, key.length)
  }
  const consumed = core.feed(bytes.subarray(0, footer))
  if (!core.done) core.input.finish(core.run)
  if (!core.done) {
    throw core.error('ERR_RDB_TRUNCATED', 'the value does not end before the footer', footer)
  }
  if (consumed !== footer) {
    throw core.corruptAt(`${footer - consumed} bytes between the value and the footer`, consumed)
  }
}

function checkFooter(
  core: Core,
  bytes: Buffer,
  footer: number,
  mode: 'accept-zero' | 'verify' | 'ignore',
): void {
  if (mode === 'ignore') return
  const crcAt = footer + 2
  if (mode === 'accept-zero' && bytes.readBigUInt64LE(crcAt) === 0n) return
  const crc = new Crc64()
  crc.update(bytes, 0, crcAt)
  if (!crc.matches(bytes, crcAt)) {
    throw core.corruptAt('the checksum of a DUMP payload does not match', crcAt)
  }
}
