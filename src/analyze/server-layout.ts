/**
 * How servers lay out a value in memory, by family and version: sizes of the fixed structures and
 * which of the ways of accounting MEMORY USAGE has. Sizes are bytes on 64-bit machines.
 *
 * Sources: the structs and `objectComputeSize` of redis 7.0.15, 7.2.6, 7.4.1 and valkey 8.0.1;
 * measured with MEMORY USAGE on redis 7.0.15, 8.0.6, 8.6.3 and valkey 8.1.1, 9.1.2.
 */
import type { WriterVersion } from './encoding.js'

export interface ServerLayout {
  readonly writer: WriterVersion
  /** The key is part of the value's object: no entry, no string of its own. */
  readonly keysEmbedded: boolean
  /** What an object with key and short value inside needs beside them. */
  readonly embeddedObjectBytes: number
  /** Valkey 8.0: the key is part of the dict entry. */
  readonly keyInEntry: boolean
  /** Collections are Valkey's hashtable (buckets of 7), not the dict of chained entries. */
  readonly bucketTables: boolean
  /** MEMORY USAGE asks for lengths, not for allocations: Redis 8.2 and later. */
  readonly countsRequests: boolean
  /** Sets of text are tables from their first member on, and grow: before 7.2. */
  readonly setsGrow: boolean
  /** Members of a set need an entry only where they share a slot. */
  readonly setsWithoutValues: boolean
  /** Fields and values of a hash table share one allocation. */
  readonly hashEntries: boolean
  /** Members of a sorted set are inside their skiplist node. */
  readonly embeddedMembers: boolean
  /** A table of a set or hash, or the two structs of a sorted set, without entries. */
  readonly setTableBytes: number
  readonly hashTableBytes: number
  readonly zsetBytes: number
  /** An entry of a chained dict. */
  readonly entryBytes: number
  readonly quicklistBytes: number
  readonly quicklistNodeBytes: number
  readonly streamBytes: number
  /** Radix trees are measured, not estimated at 244 bytes a node. */
  readonly exactRadixTrees: boolean
  readonly streamConsumerBytes: number
  /** A stream's last node is allocated so large in advance; 0: it is not, or not counted. */
  readonly streamNodeAheadBytes: number
}

/** A robj: type, encoding, lru, reference count, pointer. */
export const OBJECT_BYTES = 16
/** From this length of key on room for an expiry is kept in the object. */
export const KEY_WITH_EXPIRY_ROOM = 128

export function serverLayout(writer: WriterVersion): ServerLayout {
  const { family, version } = writer
  const valkey = family === 'valkey'
  const buckets = valkey && version >= 801
  const requests = !valkey && version >= 802
  const embeddedMembers = valkey ? version >= 901 : version >= 806
  // dict: two tables of 40 bytes before 7.0.
  const dict = !valkey && version < 700 ? 96 : 56
  // zset + zskiplist + header node of 32 levels (64 before 5.0.?: 32 in all that matter) + dict.
  const skiplist = requests ? 16 + 688 + dict : buckets ? 16 + 32 + 640 + 80 : 16 + 32 + 640 + dict
  return {
    writer,
    keysEmbedded: version >= (valkey ? 801 : 802),
    embeddedObjectBytes: valkey && version >= 901 ? 8 : OBJECT_BYTES,
    keyInEntry: valkey && version === 800,
    bucketTables: buckets,
    countsRequests: requests,
    setsGrow: !valkey && version < 702,
    setsWithoutValues: version >= 702,
    hashEntries: valkey ? version >= 801 : version >= 804,
    embeddedMembers,
    setTableBytes: buckets ? (version >= 900 ? 80 : 72) : dict,
    hashTableBytes: buckets ? (version >= 900 ? 88 : 72) : dict,
    zsetBytes: buckets && version >= 901 ? 16 + 528 + 80 : skiplist,
    entryBytes: 24,
    quicklistBytes: !valkey && version < 600 ? 32 : 40,
    quicklistNodeBytes: !valkey && version < 500 ? 32 : 40,
    streamBytes: requests ? 160 : valkey || version >= 700 ? 80 : 48,
    exactRadixTrees: requests || buckets,
    streamConsumerBytes: valkey || version >= 702 ? 32 : 24,
    streamNodeAheadBytes: requests || (!valkey && version < 602) ? 0 : 4096,
  }
}

/** Bytes of an sds string as allocated: header, text, final zero. */
export function sdsBytes(length: number): number {
  if (length < 32) return length + 2
  if (length < 256) return length + 4
  if (length < 65536) return length + 6
  return length < 4294967296 ? length + 10 : length + 18
}
