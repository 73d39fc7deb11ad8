/**
 * The type table: a row for each type byte, one table for each family. It is the one place where a
 * type of value is made known:
 *
 *   number · name · kind · encoding · since (RDB version) · step · what is special
 *
 * A new type is a number in numbers.ts, a row here, and its step in types/. What else it needs the
 * compiler names: a new kind breaks every exhaustive switch over kinds, a new event every
 * ElementVisitor (visitor.ts). The kernels pass only what they know (kernels/assembly/records.ts, restores.ts) and leave the
 * rest to the step.
 */
import type { Step, TypeRow } from './core.js'
import { KIND, type Kind } from './kinds.js'
import type { RdbFamily, RdbType } from './numbers.js'
import {
  hashMetadataPreGaValue,
  hashMetadataValue,
  hashValue,
  listValue,
  setValue,
  valkeyHash2Value,
  zsetBinaryValue,
  zsetTextValue,
} from './types/collections.js'
import { moduleValue } from './types/module.js'
import {
  hashListpackExPreGaValue,
  hashListpackExValue,
  hashListpackValue,
  hashZiplistValue,
  hashZipmapValue,
  listZiplistValue,
  quicklist2Value,
  quicklistValue,
  setIntsetValue,
  setListpackValue,
  zsetListpackValue,
  zsetZiplistValue,
} from './types/packed-values.js'
import {
  arrayValue,
  gcraValue,
  templateArrayRefValue,
  templateListpackRefValue,
  templateValue,
} from './types/redis-newest.js'
import { streamValue } from './types/stream.js'
import { stringValue } from './types/string.js'

type Row = readonly [
  typeByte: number,
  name: string,
  kind: Kind,
  encoding: string,
  since: number,
  /** undefined: known by name only. */
  step: Step | undefined,
  special?: Partial<Pick<RdbType, 'restorable' | 'released' | 'fieldTimes'>>,
]

const SHARED: readonly Row[] = [
  [0, 'string', KIND.STRING, 'raw', 1, stringValue],
  [1, 'list', KIND.LIST, 'linkedlist', 1, listValue],
  [2, 'set', KIND.SET, 'hashtable', 1, setValue],
  [3, 'zset', KIND.ZSET, 'skiplist', 1, zsetTextValue],
  [4, 'hash', KIND.HASH, 'hashtable', 1, hashValue],
  [5, 'zset-2', KIND.ZSET, 'skiplist', 8, zsetBinaryValue],
  [6, 'module-pre-ga', KIND.MODULE, 'module', 8, undefined, { released: false }],
  [7, 'module-2', KIND.MODULE, 'module', 8, moduleValue],
  [9, 'hash-zipmap', KIND.HASH, 'zipmap', 2, hashZipmapValue],
  [10, 'list-ziplist', KIND.LIST, 'ziplist', 2, listZiplistValue],
  [11, 'set-intset', KIND.SET, 'intset', 2, setIntsetValue],
  [12, 'zset-ziplist', KIND.ZSET, 'ziplist', 2, zsetZiplistValue],
  [13, 'hash-ziplist', KIND.HASH, 'ziplist', 4, hashZiplistValue],
  [14, 'list-quicklist', KIND.LIST, 'quicklist', 7, quicklistValue],
  [15, 'stream-listpacks', KIND.STREAM, 'stream', 9, streamValue],
  [16, 'hash-listpack', KIND.HASH, 'listpack', 10, hashListpackValue],
  [17, 'zset-listpack', KIND.ZSET, 'listpack', 10, zsetListpackValue],
  [18, 'list-quicklist-2', KIND.LIST, 'quicklist', 10, quicklist2Value],
  [19, 'stream-listpacks-2', KIND.STREAM, 'stream', 10, streamValue],
  [20, 'set-listpack', KIND.SET, 'listpack', 11, setListpackValue],
  [21, 'stream-listpacks-3', KIND.STREAM, 'stream', 11, streamValue],
]

const REDIS_ONLY: readonly Row[] = [
  [
    22,
    'hash-metadata-pre-ga',
    KIND.HASH,
    'hashtable',
    12,
    hashMetadataPreGaValue,
    { fieldTimes: true },
  ],
  [
    23,
    'hash-listpack-ex-pre-ga',
    KIND.HASH,
    'listpackex',
    12,
    hashListpackExPreGaValue,
    { fieldTimes: true },
  ],
  [24, 'hash-metadata', KIND.HASH, 'hashtable', 12, hashMetadataValue, { fieldTimes: true }],
  [25, 'hash-listpack-ex', KIND.HASH, 'listpackex', 12, hashListpackExValue, { fieldTimes: true }],
  [26, 'stream-listpacks-4', KIND.STREAM, 'stream', 13, streamValue],
  [27, 'stream-listpacks-5', KIND.STREAM, 'stream', 14, streamValue],
  [28, 'array', KIND.ARRAY, 'array', 14, arrayValue],
  [29, 'hash-template-listpack', KIND.HASH, 'listpack', 15, templateValue],
  [
    30,
    'hash-template-listpack-ref',
    KIND.HASH,
    'listpack',
    15,
    templateListpackRefValue,
    { restorable: false },
  ],
  [31, 'hash-template-array', KIND.HASH, 'array', 15, templateValue],
  [
    32,
    'hash-template-array-ref',
    KIND.HASH,
    'array',
    15,
    templateArrayRefValue,
    { restorable: false },
  ],
  [33, 'gcra', KIND.GCRA, 'gcra', 14, gcraValue, { released: false }],
]

const VALKEY_ONLY: readonly Row[] = [
  [22, 'hash-2', KIND.HASH, 'hashtable', 80, valkeyHash2Value, { fieldTimes: true }],
]

function table(family: RdbFamily, own: readonly Row[]): readonly (TypeRow | undefined)[] {
  const rows = new Array<TypeRow | undefined>(256).fill(undefined)
  const add = (row: Row, of: RdbFamily | 'both'): void => {
    const [typeByte, name, kind, encoding, since, step, special] = row
    rows[typeByte] = {
      typeByte,
      family: of,
      name,
      kind,
      encoding,
      since,
      restorable: true,
      released: true,
      fieldTimes: false,
      ...special,
      step,
    }
  }
  for (const row of SHARED) add(row, 'both')
  for (const row of own) add(row, family)
  return rows
}

const REDIS_TYPES = table('redis', REDIS_ONLY)
const VALKEY_TYPES = table('valkey', VALKEY_ONLY)

/** 256 rows by type byte; undefined: no such type in this family. */
export function typeTable(family: RdbFamily): readonly (TypeRow | undefined)[] {
  return family === 'redis' ? REDIS_TYPES : VALKEY_TYPES
}
