/**
 * The numbers of the format: opcodes between keys and type bytes of values, one table for each
 * family. Redis and Valkey parted at RDB 12: 22, 23, 242 and 243 mean different things by the magic.
 * Source: rdb.h of both projects.
 */
import { KIND, type Kind } from './kinds.js'

export type RdbFamily = 'redis' | 'valkey'

/** Highest version this reader knows, by family. */
export const MAX_REDIS_VERSION = 15
export const MIN_VALKEY_VERSION = 80
export const MAX_VALKEY_VERSION = 81

export const OPCODE = {
  /** Seen in a development branch of Redis. */
  KEY_NOEVICT: 240,
  /** Valkey 81. */
  UPDATE: 242,
  /** Redis 15. */
  HASH_TEMPLATE: 242,
  /** Valkey 80. */
  SLOT_IMPORT: 243,
  /** Redis 13. */
  KEY_META: 243,
  SLOT_INFO: 244,
  FUNCTION2: 245,
  FUNCTION_PRE_GA: 246,
  MODULE_AUX: 247,
  IDLE: 248,
  FREQ: 249,
  AUX: 250,
  RESIZEDB: 251,
  EXPIRETIME_MS: 252,
  EXPIRETIME: 253,
  SELECTDB: 254,
  EOF: 255,
} as const

export const TYPE = {
  STRING: 0,
  LIST: 1,
  SET: 2,
  ZSET: 3,
  HASH: 4,
  ZSET_2: 5,
  MODULE_PRE_GA: 6,
  MODULE_2: 7,
  HASH_ZIPMAP: 9,
  LIST_ZIPLIST: 10,
  SET_INTSET: 11,
  ZSET_ZIPLIST: 12,
  HASH_ZIPLIST: 13,
  LIST_QUICKLIST: 14,
  STREAM: 15,
  HASH_LISTPACK: 16,
  ZSET_LISTPACK: 17,
  LIST_QUICKLIST_2: 18,
  STREAM_2: 19,
  SET_LISTPACK: 20,
  STREAM_3: 21,
  /** Redis 7.4-rc1, rc2. */
  HASH_METADATA_PRE_GA: 22,
  /** Valkey 9. */
  VALKEY_HASH_2: 22,
  /** Redis 7.4-rc1, rc2. */
  HASH_LISTPACK_EX_PRE_GA: 23,
  HASH_METADATA: 24,
  HASH_LISTPACK_EX: 25,
  STREAM_4: 26,
  STREAM_5: 27,
  ARRAY: 28,
  HASH_TEMPLATE_LISTPACK: 29,
  HASH_TEMPLATE_LISTPACK_REF: 30,
  HASH_TEMPLATE_ARRAY: 31,
  HASH_TEMPLATE_ARRAY_REF: 32,
  GCRA: 33,
} as const

/** One row: what a type byte means in a family. */
export interface RdbType {
  readonly typeByte: number
  readonly family: RdbFamily | 'both'
  /** Lower-case name after rdb.h, such as `hash-listpack-ex`. */
  readonly name: string
  readonly kind: Kind
  /**
   * How the value is packed in the file, in the words of OBJECT ENCODING where there is one:
   * `raw`, `linkedlist`, `hashtable`, `skiplist`, `zipmap`, `ziplist`, `intset`, `quicklist`,
   * `listpack`, `listpackex`, `stream`, `module`, `array`, `gcra`.
   */
  readonly encoding: string
  /** First RDB version of the family with it. */
  readonly since: number
  /** May stand in a DUMP payload: false for forms that refer to another record of their file. */
  readonly restorable: boolean
}

type Row = readonly [
  typeByte: number,
  name: string,
  kind: Kind,
  encoding: string,
  since: number,
  restorable?: boolean,
]

const SHARED: readonly Row[] = [
  [0, 'string', KIND.STRING, 'raw', 1],
  [1, 'list', KIND.LIST, 'linkedlist', 1],
  [2, 'set', KIND.SET, 'hashtable', 1],
  [3, 'zset', KIND.ZSET, 'skiplist', 1],
  [4, 'hash', KIND.HASH, 'hashtable', 1],
  [5, 'zset-2', KIND.ZSET, 'skiplist', 8],
  [6, 'module-pre-ga', KIND.MODULE, 'module', 8],
  [7, 'module-2', KIND.MODULE, 'module', 8],
  [9, 'hash-zipmap', KIND.HASH, 'zipmap', 2],
  [10, 'list-ziplist', KIND.LIST, 'ziplist', 2],
  [11, 'set-intset', KIND.SET, 'intset', 2],
  [12, 'zset-ziplist', KIND.ZSET, 'ziplist', 2],
  [13, 'hash-ziplist', KIND.HASH, 'ziplist', 4],
  [14, 'list-quicklist', KIND.LIST, 'quicklist', 7],
  [15, 'stream-listpacks', KIND.STREAM, 'stream', 9],
  [16, 'hash-listpack', KIND.HASH, 'listpack', 10],
  [17, 'zset-listpack', KIND.ZSET, 'listpack', 10],
  [18, 'list-quicklist-2', KIND.LIST, 'quicklist', 10],
  [19, 'stream-listpacks-2', KIND.STREAM, 'stream', 10],
  [20, 'set-listpack', KIND.SET, 'listpack', 11],
  [21, 'stream-listpacks-3', KIND.STREAM, 'stream', 11],
]

const REDIS_ONLY: readonly Row[] = [
  [22, 'hash-metadata-pre-ga', KIND.HASH, 'hashtable', 12],
  [23, 'hash-listpack-ex-pre-ga', KIND.HASH, 'listpackex', 12],
  [24, 'hash-metadata', KIND.HASH, 'hashtable', 12],
  [25, 'hash-listpack-ex', KIND.HASH, 'listpackex', 12],
  [26, 'stream-listpacks-4', KIND.STREAM, 'stream', 13],
  [27, 'stream-listpacks-5', KIND.STREAM, 'stream', 14],
  [28, 'array', KIND.ARRAY, 'array', 14],
  [29, 'hash-template-listpack', KIND.HASH, 'listpack', 15],
  [30, 'hash-template-listpack-ref', KIND.HASH, 'listpack', 15, false],
  [31, 'hash-template-array', KIND.HASH, 'array', 15],
  [32, 'hash-template-array-ref', KIND.HASH, 'array', 15, false],
  [33, 'gcra', KIND.GCRA, 'gcra', 14],
]

const VALKEY_ONLY: readonly Row[] = [[22, 'hash-2', KIND.HASH, 'hashtable', 80]]

function table(family: RdbFamily, own: readonly Row[]): readonly (RdbType | undefined)[] {
  const rows = new Array<RdbType | undefined>(256).fill(undefined)
  const add = (row: Row, of: RdbFamily | 'both'): void => {
    const [typeByte, name, kind, encoding, since, restorable = true] = row
    rows[typeByte] = { typeByte, family: of, name, kind, encoding, since, restorable }
  }
  for (const row of SHARED) add(row, 'both')
  for (const row of own) add(row, family)
  return rows
}

const REDIS_TYPES = table('redis', REDIS_ONLY)
const VALKEY_TYPES = table('valkey', VALKEY_ONLY)

/** 256 rows by type byte; undefined: no such type in this family. */
export function typeTable(family: RdbFamily): readonly (RdbType | undefined)[] {
  return family === 'redis' ? REDIS_TYPES : VALKEY_TYPES
}
