/**
 * OBJECT ENCODING of a key in the memory of the server that wrote the file, told from the form of
 * its value there. Packed forms name themselves; what the file does not say follows from the
 * version: how long a string may be to share its object's allocation, and since when a list of one
 * packed node is a plain listpack.
 *
 * A string's history is not in the file: one that was made by APPEND, SETRANGE or SETBIT is `raw`
 * until the server is restarted, and is told here as what it is after that. (HyperLogLogs, which
 * are always made so, are known by their first bytes.)
 */
import { versionOfRdb } from '../../servers/rdb-version.js'
import { serverVersionNumber } from '../../servers/version.js'
import type { RdbFamily } from '../numbers.js'
import type { KeyHeader, RdbStart, Slice, ValueStats } from '../visitor.js'

/** Longest decimal text of a signed 64-bit number. */
export const MAX_INTEGER_CHARS = 20
const MINUS = 45
const DIGIT_0 = 48
const DIGIT_9 = 57
const MAX_POSITIVE = '9223372036854775807'
const MAX_NEGATIVE = '9223372036854775808'

/** Versions as major * 10,000 + minor * 100 + patch. */
const SINCE = {
  EMBSTR: 30000,
  EMBSTR_44: 30200,
  STREAM_NAMED: 60000,
  LIST_LISTPACK: 70200,
  /** Key and value share one allocation of 64 bytes. */
  REDIS_KEY_EMBEDDED: 80200,
  VALKEY_KEY_EMBEDDED: 80100,
  /** … of 128 bytes. */
  VALKEY_KEY_EMBEDDED_128: 90000,
} as const

export const HLL_MAGIC_BYTES = 4
export const HLL_MIN_BYTES = 16

export type StringEncoding = 'int' | 'embstr' | 'raw'

export class ObjectEncoding {
  #family: RdbFamily = 'redis'
  #version = 0

  start(start: RdbStart): void {
    this.#family = start.family
    this.#version = versionOfRdb(start.version)
  }

  /** An AUX field; those that name the server count. */
  aux(name: Slice, value: Slice): void {
    const field = name.bytes.toString('latin1', name.start, name.end)
    if (field !== 'redis-ver' && field !== 'valkey-ver') return
    const version = serverVersionNumber(value.bytes.toString('latin1', value.start, value.end))
    // Without one the file's version says more.
    if (version === undefined) return
    this.#family = field === 'redis-ver' ? 'redis' : 'valkey'
    this.#version = version
  }

  string(header: KeyHeader, value: Slice): StringEncoding {
    const { bytes, start, end } = value
    if (end - start <= MAX_INTEGER_CHARS && isInteger(bytes, start, end)) return 'int'
    if (isHyperLogLog(bytes, start, end)) return 'raw'
    return this.longString(header, end - start)
  }

  /** A string that is no integer. */
  longString(header: KeyHeader, lengthBytes: number): StringEncoding {
    const keyBytes = header.key.end - header.key.start
    return this.isEmbedded(keyBytes, header.hasExpiry, lengthBytes) ? 'embstr' : 'raw'
  }

  /** Is a string that is no integer `embstr`? */
  isEmbedded(keyBytes: number, hasExpiry: boolean, lengthBytes: number): boolean {
    return lengthBytes <= this.embstrLimit(keyBytes, hasExpiry)
  }

  /** True where a list's encoding is known only when all of it has been seen. */
  get listsVary(): boolean {
    return this.#version >= SINCE.LIST_LISTPACK
  }

  list(header: KeyHeader, stats: ValueStats): string {
    const { encoding } = header.type
    if (encoding !== 'quicklist' || !this.listsVary) return encoding
    return stats.packedBlobs === 1 && stats.plainStrings === 0 ? 'listpack' : 'quicklist'
  }

  /** Of all other kinds. */
  other(header: KeyHeader): string {
    const { encoding } = header.type
    if (encoding === 'stream' && this.#version < SINCE.STREAM_NAMED) return 'unknown'
    return encoding === 'module' ? 'raw' : encoding
  }

  /** Measured with servers of each generation: lengths beyond are `raw`. */
  embstrLimit(keyBytes: number, hasExpiry: boolean): number {
    const version = this.#version
    if (this.#family === 'redis' && version >= SINCE.REDIS_KEY_EMBEDDED) return 41 - keyBytes
    if (this.#family === 'valkey' && version >= SINCE.VALKEY_KEY_EMBEDDED_128) {
      return (keyBytes < 32 ? 113 : 111) - keyBytes - (hasExpiry ? 8 : 0)
    }
    if (this.#family === 'valkey' && version >= SINCE.VALKEY_KEY_EMBEDDED) {
      return (hasExpiry && keyBytes <= 33 ? 33 : 41) - keyBytes
    }
    if (version >= SINCE.EMBSTR_44) return 44
    return version >= SINCE.EMBSTR ? 39 : -1
  }
}

/** `HYLL`. */
export function hasHyperLogLogMagic(bytes: Uint8Array, at: number): boolean {
  return (
    bytes[at] === 0x48 && bytes[at + 1] === 0x59 && bytes[at + 2] === 0x4c && bytes[at + 3] === 0x4c
  )
}

export function isHyperLogLog(bytes: Uint8Array, start: number, end: number): boolean {
  return end - start >= HLL_MIN_BYTES && hasHyperLogLogMagic(bytes, start)
}

/** Canonical decimal text of a signed 64-bit number. */
export function isInteger(bytes: Uint8Array, start: number, end: number): boolean {
  const negative = bytes[start] === MINUS
  const first = negative ? start + 1 : start
  const digits = end - first
  if (digits === 0 || digits > 19) return false
  const lead = bytes[first]!
  if (lead === DIGIT_0 ? digits > 1 || negative : lead < DIGIT_0 || lead > DIGIT_9) return false
  for (let at = first + 1; at < end; at += 1) {
    const byte = bytes[at]!
    if (byte < DIGIT_0 || byte > DIGIT_9) return false
  }
  if (digits < 19) return true
  const limit = negative ? MAX_NEGATIVE : MAX_POSITIVE
  for (let at = 0; at < 19; at += 1) {
    const difference = bytes[first + at]! - limit.charCodeAt(at)
    if (difference !== 0) return difference < 0
  }
  return true
}
