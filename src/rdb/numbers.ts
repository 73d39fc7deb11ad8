/**
 * The numbers of the format: opcodes between keys and type bytes of values. Redis and Valkey parted at RDB 12: 22, 23, 242 and 243 mean different things by
 * the magic. Which step reads which type stands in type-table.ts. Source: rdb.h of both projects.
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
  /** A release has it: false for what only builds of a development branch wrote. */
  readonly released: boolean
  /** A hash whose fields may carry times of expiry. */
  readonly fieldTimes: boolean
}

/** Before the first key. */
export const NO_TYPE: RdbType = {
  typeByte: 0,
  family: 'both',
  name: '',
  kind: KIND.STRING,
  encoding: '',
  since: 1,
  restorable: true,
  released: true,
  fieldTimes: false,
}
