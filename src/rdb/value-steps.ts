/** Which step reads the value of which type byte. */
import type { Step } from './core.js'
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
import { TYPE, type RdbFamily } from './type-table.js'

function table(own: readonly (readonly [number, Step])[]): readonly (Step | undefined)[] {
  const steps = new Array<Step | undefined>(256).fill(undefined)
  for (const [typeByte, step] of [...SHARED, ...own]) steps[typeByte] = step
  return steps
}

const SHARED: readonly (readonly [number, Step])[] = [
  [TYPE.STRING, stringValue],
  [TYPE.LIST, listValue],
  [TYPE.SET, setValue],
  [TYPE.ZSET, zsetTextValue],
  [TYPE.HASH, hashValue],
  [TYPE.ZSET_2, zsetBinaryValue],
  [TYPE.MODULE_2, moduleValue],
  [TYPE.HASH_ZIPMAP, hashZipmapValue],
  [TYPE.LIST_ZIPLIST, listZiplistValue],
  [TYPE.SET_INTSET, setIntsetValue],
  [TYPE.ZSET_ZIPLIST, zsetZiplistValue],
  [TYPE.HASH_ZIPLIST, hashZiplistValue],
  [TYPE.LIST_QUICKLIST, quicklistValue],
  [TYPE.STREAM, streamValue],
  [TYPE.HASH_LISTPACK, hashListpackValue],
  [TYPE.ZSET_LISTPACK, zsetListpackValue],
  [TYPE.LIST_QUICKLIST_2, quicklist2Value],
  [TYPE.STREAM_2, streamValue],
  [TYPE.SET_LISTPACK, setListpackValue],
  [TYPE.STREAM_3, streamValue],
]

const REDIS_STEPS = table([
  [TYPE.HASH_METADATA_PRE_GA, hashMetadataPreGaValue],
  [TYPE.HASH_LISTPACK_EX_PRE_GA, hashListpackExPreGaValue],
  [TYPE.HASH_METADATA, hashMetadataValue],
  [TYPE.HASH_LISTPACK_EX, hashListpackExValue],
  [TYPE.STREAM_4, streamValue],
  [TYPE.STREAM_5, streamValue],
  [TYPE.ARRAY, arrayValue],
  [TYPE.HASH_TEMPLATE_LISTPACK, templateValue],
  [TYPE.HASH_TEMPLATE_LISTPACK_REF, templateListpackRefValue],
  [TYPE.HASH_TEMPLATE_ARRAY, templateValue],
  [TYPE.HASH_TEMPLATE_ARRAY_REF, templateArrayRefValue],
  [TYPE.GCRA, gcraValue],
])

const VALKEY_STEPS = table([[TYPE.VALKEY_HASH_2, valkeyHash2Value]])

/** 256 rows by type byte; undefined: this family has no such type, or it cannot be read. */
export function valueSteps(family: RdbFamily): readonly (Step | undefined)[] {
  return family === 'redis' ? REDIS_STEPS : VALKEY_STEPS
}
