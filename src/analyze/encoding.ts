/**
 * OBJECT ENCODING by number, for counting: the rules are those of `rdb/object-encoding.ts`, told
 * here from sizes alone, without looking at a value.
 */
import { ObjectEncoding } from '../rdb/values/object-encoding.js'
import { versionOfRdb } from '../servers/rdb-version.js'
import type { RdbFamily } from '../rdb/numbers.js'
import { KIND, type KeyHeader, type RdbStart, type Slice, type ValueStats } from '../rdb/visitor.js'

/** The server that wrote a file: 7.2 is 702, 8.10 is 810. Valkey counts its own versions. */
export interface WriterVersion {
  readonly family: RdbFamily
  readonly version: number
}

/** Indices into ENCODING_NAMES: counting by encoding needs no look-up by text. */
export const ENCODING = {
  INT: 0,
  EMBSTR: 1,
  RAW: 2,
  LINKEDLIST: 3,
  ZIPLIST: 4,
  QUICKLIST: 5,
  LISTPACK: 6,
  LISTPACKEX: 7,
  INTSET: 8,
  HASHTABLE: 9,
  ZIPMAP: 10,
  SKIPLIST: 11,
  STREAM: 12,
  ARRAY: 13,
  GCRA: 14,
  UNKNOWN: 15,
} as const
export type Encoding = (typeof ENCODING)[keyof typeof ENCODING]

export const ENCODING_NAMES: readonly string[] = [
  'int',
  'embstr',
  'raw',
  'linkedlist',
  'ziplist',
  'quicklist',
  'listpack',
  'listpackex',
  'intset',
  'hashtable',
  'zipmap',
  'skiplist',
  'stream',
  'array',
  'gcra',
  'unknown',
]

const BY_NAME = new Map(ENCODING_NAMES.map((name, index) => [name, index as Encoding]))

/** Development builds call themselves 255.255.255 or 999.999.999. */
const NO_REAL_MAJOR = 99

export class MemoryEncoding {
  readonly #rules = new ObjectEncoding()
  #family: RdbFamily = 'redis'
  #version = 0

  start(start: RdbStart): void {
    this.#rules.start(start)
    this.#family = start.family
    this.#version = Math.floor(versionOfRdb(start.version) / 100)
  }

  /** To be given every AUX field: one of them names the server. */
  aux(name: Slice, value: Slice): void {
    this.#rules.aux(name, value)
    const field = name.bytes.toString('latin1', name.start, Math.min(name.end, name.start + 16))
    if (field !== 'redis-ver' && field !== 'valkey-ver') return
    const text = value.bytes.toString('latin1', value.start, Math.min(value.end, value.start + 32))
    const found = /^(\d+)\.(\d+)/.exec(text)
    if (found === null || Number(found[1]) >= NO_REAL_MAJOR) return
    this.#family = field === 'redis-ver' ? 'redis' : 'valkey'
    this.#version = Number(found[1]) * 100 + Math.min(99, Number(found[2]))
  }

  /** As far as it is known: AUX fields stand before the keys. */
  get writer(): WriterVersion {
    return { family: this.#family, version: this.#version }
  }

  /** To be called in `keyEnd`. Allocates nothing. */
  of(header: KeyHeader, stats: ValueStats): Encoding {
    switch (header.kind) {
      case KIND.STRING:
        if (stats.isInteger) return ENCODING.INT
        if (stats.isHyperLogLog) return ENCODING.RAW
        return this.text(header.key.end - header.key.start, header.hasExpiry, stats.stringBytes)
      case KIND.LIST:
        return BY_NAME.get(this.#rules.list(header, stats)) ?? ENCODING.UNKNOWN
      default:
        return BY_NAME.get(this.#rules.other(header)) ?? ENCODING.UNKNOWN
    }
  }

  /** Of a string that is neither integer nor HyperLogLog. */
  text(keyLength: number, hasExpiry: boolean, length: number): Encoding {
    return this.#rules.isEmbedded(keyLength, hasExpiry, length) ? ENCODING.EMBSTR : ENCODING.RAW
  }
}
