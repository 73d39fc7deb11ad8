/**
 * The bytes a key takes in the memory of the server that wrote the file, as its MEMORY USAGE key
 * SAMPLES 0 would say: object, key, and everything below, in the allocator's size classes. The
 * share of the databases' own tables is told apart (`tableBytes`), as the servers do.
 *
 * Fed during the walk of a value (`packed`, `plain`: sizes only), asked at its end. What the file
 * does not say is taken as in a server at rest: tables fully rehashed, strings without slack,
 * skiplist levels at their mean.
 */
import type { PlainWeights } from '../rdb/lane/lane.js'
import { KIND, type KeyHeader, type Kind, type ValueStats } from '../rdb/visitor.js'
import { allocated } from './allocator.js'
import { ENCODING, type Encoding, type WriterVersion } from './encoding.js'
import {
  KEY_WITH_EXPIRY_ROOM,
  OBJECT_BYTES,
  sdsBytes,
  serverLayout,
  type ServerLayout,
} from './server-layout.js'

/** Field and value of a hash share an allocation up to so many bytes. */
const HASH_ENTRY_BYTES = 128
/** Lengths of field and value together, from which on they do not fit. */
const EMBEDDED_PAIR_BYTES = HASH_ENTRY_BYTES - 6 + 1
/** Skiplist levels: each further one with a probability of 1/4. */
const LEVEL_SHARES = [0.75, 0.1875, 0.046875, 0.01171875, 0.00390625] as const
const LEVEL_BYTES = 16
/** Entries a bucket of Valkey's hashtable holds. */
const BUCKET_ENTRIES = 7
const BUCKET_BYTES = 64
/** Each insertion moves a slot of the former table: at so many members a slot all are moved. */
const REHASHED_SHARE = 0.815
const RADIX_NODE_BYTES = 244
const STREAM_ID_BYTES = 16
const NACK_BYTES = 24
const GROUP_BYTES = 40
/** Names of consumers are not told when values are only skipped. */
const CONSUMER_NAME_BYTES = 12
/** An expiry of a hash field in Redis: time, flags, pointer to the next. */
const FIELD_EXPIRY_BYTES = 16
const LISTPACK_EX_BYTES = 32

export class MemoryModel {
  readonly layout: ServerLayout
  /** Sums over the value at hand. */
  #packedSum = 0
  #lastPacked = 0
  #nodes = 0
  #plainSum = 0
  #plainCount = 0
  /** Length of a hash's field until its value comes; -1: none. */
  #fieldLength = -1
  #kind: number = KIND.STRING
  /** What an entry's allocation has to spare. */
  readonly #entrySlack: number
  /** `skiplistNode` of short members. */
  readonly #nodeBytes = new Float64Array(512)

  constructor(writer: WriterVersion) {
    this.layout = serverLayout(writer)
    this.#entrySlack = allocated(this.layout.entryBytes) - this.layout.entryBytes
    for (let length = 0; length < this.#nodeBytes.length; length += 1) {
      this.#nodeBytes[length] = this.#skiplistNode(length)
    }
  }

  begin(header: KeyHeader): void {
    this.#kind = header.kind
    this.#packedSum = 0
    this.#lastPacked = 0
    this.#nodes = 0
    this.#plainSum = 0
    this.#plainCount = 0
    this.#fieldLength = -1
  }

  /** A blob of so many bytes. */
  packed(blobBytes: number): void {
    const bytes = this.blobMemory(blobBytes)
    this.#packedSum += bytes
    this.#lastPacked = bytes
    this.#nodes += 1
  }

  /** What a blob takes. */
  blobMemory(blobBytes: number): number {
    return this.layout.countsRequests ? blobBytes : allocated(blobBytes)
  }

  /** A string outside of blobs; of a hash fields and values in turn. */
  plain(length: number): void {
    this.#plainCount += 1
    switch (this.#kind) {
      case KIND.ZSET:
        this.#plainSum +=
          length < this.#nodeBytes.length ? this.#nodeBytes[length]! : this.#skiplistNode(length)
        return
      case KIND.HASH:
        if (!this.layout.hashEntries) {
          this.#plainSum += this.#string(length)
        } else if (this.#fieldLength < 0) {
          this.#fieldLength = length
        } else {
          this.#plainSum += this.#hashEntry(this.#fieldLength, length)
          this.#fieldLength = -1
        }
        return
      case KIND.LIST:
        // A node of its own, the element without listpack framing.
        this.packed(length)
        return
      default:
        this.#plainSum += this.#string(length)
    }
  }

  /** What `plain` adds for each string of a kind, by length; see `StringWeighing`. */
  plainWeights(kind: Kind): PlainWeights | undefined {
    switch (kind) {
      case KIND.ZSET:
        return { byLength: this.#nodeBytes, pairs: false }
      case KIND.SET:
        return { byLength: byLength((length) => this.#string(length)), pairs: false }
      case KIND.HASH:
        if (!this.layout.hashEntries) {
          return { byLength: byLength((length) => this.#string(length)), pairs: false }
        }
        // Short fields have a header of two bytes: only the sum of both lengths counts.
        return {
          byLength: byLength((both) => this.#hashEntry(0, both)).subarray(0, EMBEDDED_PAIR_BYTES),
          pairs: true,
        }
      default:
        return undefined
    }
  }

  /** Whole elements, of which the weights are known. */
  plainRun(strings: number, weight: number): void {
    this.#plainCount += strings
    this.#plainSum += weight
  }

  /** Bytes of the key at hand: value, key, object, entry. To be called in `keyEnd`. */
  bytes(header: KeyHeader, stats: ValueStats, encoding: Encoding): number {
    const keyLength = header.key.end - header.key.start
    if (header.kind === KIND.STRING) {
      return this.stringKey(keyLength, header.hasExpiry, stats.stringBytes, encoding)
    }
    const value = this.#value(header, stats, encoding)
    return value + this.#keyAndObject(keyLength, header.hasExpiry, encoding)
  }

  /** The same of a string, by its sizes alone. */
  stringKey(keyLength: number, hasExpiry: boolean, length: number, encoding: Encoding): number {
    const { layout } = this
    if (encoding === ENCODING.EMBSTR) {
      if (layout.keysEmbedded) {
        const object = layout.embeddedObjectBytes + (hasExpiry ? 8 : 0)
        return allocated(object + 1 + sdsBytes(keyLength) + length + 4)
      }
      return (
        allocated(OBJECT_BYTES + length + 4) + this.#keyAndObject(keyLength, hasExpiry, encoding)
      )
    }
    const value = encoding === ENCODING.INT ? 0 : this.#string(length)
    return value + this.#keyAndObject(keyLength, hasExpiry, encoding)
  }

  /** The tables of a database: of its keys and of their expiries. */
  tableBytes(keys: number, expires: number): number {
    if (this.layout.bucketTables) return this.#buckets(keys) + this.#buckets(expires)
    const entries = this.layout.keysEmbedded ? 0 : this.layout.entryBytes * expires
    return slots(keys) + slots(expires) + entries
  }

  /**
   * What the key adds to INFO's used_memory_dataset, less `bytes`: the servers leave entries of
   * the main table and 16 bytes an object out of it, and MEMORY USAGE is not exact: it takes 24
   * bytes for an entry that is allocated 32, knows nothing of sets without values (7.2), and
   * guesses at radix trees. To be called in `keyEnd`.
   */
  datasetDelta(header: KeyHeader, stats: ValueStats, encoding: Encoding): number {
    const { layout } = this
    if (layout.keysEmbedded) return -OBJECT_BYTES
    const { elements } = stats
    const slack = this.#entrySlack
    let delta = this.stringDelta(header.hasExpiry)
    if (header.kind === KIND.STRING) return delta
    if (encoding === ENCODING.SKIPLIST) delta += elements * slack
    else if (encoding === ENCODING.HASHTABLE) {
      delta +=
        header.kind === KIND.SET && layout.setsWithoutValues
          ? chainedEntries(elements) * 16 - elements * layout.entryBytes
          : elements * slack
    } else if (header.kind === KIND.STREAM) {
      delta += this.#radixTrees(stats, true) - this.#radixTrees(stats, false)
    }
    return delta
  }

  /** `datasetDelta` of any string. */
  stringDelta(hasExpiry: boolean): number {
    const { layout } = this
    const entrySlack = this.#entrySlack
    if (layout.keysEmbedded) return -OBJECT_BYTES
    return entrySlack - layout.entryBytes - OBJECT_BYTES + (hasExpiry ? entrySlack : 0)
  }

  #keyAndObject(keyLength: number, hasExpiry: boolean, encoding: Encoding): number {
    const { layout } = this
    if (layout.keysEmbedded) {
      const expiry = hasExpiry || keyLength >= KEY_WITH_EXPIRY_ROOM ? 8 : 0
      return allocated(OBJECT_BYTES + expiry + 1 + sdsBytes(keyLength))
    }
    const key = layout.keyInEntry
      ? allocated(17 + sdsBytes(keyLength))
      : layout.entryBytes + allocated(sdsBytes(keyLength))
    // An embedded string's object is part of the value's allocation.
    return encoding === ENCODING.EMBSTR ? key : key + OBJECT_BYTES
  }

  #value(header: KeyHeader, stats: ValueStats, encoding: Encoding): number {
    const { layout } = this
    switch (encoding) {
      case ENCODING.RAW:
        return allocated(stats.serializedBytes)
      case ENCODING.LISTPACK:
      case ENCODING.ZIPLIST:
      case ENCODING.INTSET:
      case ENCODING.ZIPMAP:
        return this.#packedSum
      case ENCODING.LISTPACKEX:
        return this.#packedSum + LISTPACK_EX_BYTES
      case ENCODING.QUICKLIST:
        return layout.quicklistBytes + this.#nodes * layout.quicklistNodeBytes + this.#packedSum
      case ENCODING.LINKEDLIST:
        // list, and for each element a node of three pointers and an object.
        return 48 + this.#plainOrPacked() + this.#plainCount * (24 + OBJECT_BYTES)
      case ENCODING.SKIPLIST:
        return layout.zsetBytes + this.#table(stats.elements) + this.#plainSum
      case ENCODING.HASHTABLE:
        return header.kind === KIND.SET
          ? layout.setTableBytes +
              this.#table(stats.elements) +
              this.#plainSum +
              (layout.setsGrow ? oldSlots(stats.elements) : 0)
          : layout.hashTableBytes +
              this.#table(stats.elements) +
              this.#plainSum +
              stats.fieldsWithExpiry * (layout.bucketTables ? 8 : FIELD_EXPIRY_BYTES)
      case ENCODING.STREAM:
      case ENCODING.UNKNOWN:
        return this.#stream(stats)
      default:
        return allocated(Math.max(8, stats.serializedBytes)) + this.#plainSum
    }
  }

  #plainOrPacked(): number {
    return this.#plainSum + this.#packedSum
  }

  #stream(stats: ValueStats): number {
    const { layout } = this
    let bytes =
      layout.streamBytes + this.#packedSum + this.#radixTrees(stats, layout.exactRadixTrees)
    if (this.#nodes > 0 && layout.streamNodeAheadBytes > this.#lastPacked) {
      bytes += layout.streamNodeAheadBytes - this.#lastPacked
    }
    const { streamGroups: groups, streamConsumers: consumers, streamPending: pending } = stats
    if (groups > 0) {
      bytes +=
        groups * GROUP_BYTES +
        pending * NACK_BYTES +
        consumers * (layout.streamConsumerBytes + CONSUMER_NAME_BYTES)
      // Redis 8.2 measures everything of a group: its own tree of consumers, its name.
      if (layout.countsRequests) bytes += groups * 130 + pending * 90
    }
    return Math.round(bytes)
  }

  /** Of entries, and of pending ones by group and by consumer: measured or as estimated. */
  #radixTrees(stats: ValueStats, exact: boolean): number {
    const { streamGroups: groups, streamConsumers: consumers, streamPending: pending } = stats
    const tree = exact ? radixTreeBytes : radixTreeEstimate
    let bytes = tree(this.#nodes)
    if (groups > 0) bytes += groups * tree(pending / groups)
    if (consumers > 0) bytes += consumers * tree(pending / consumers)
    return bytes
  }

  /** Slots and entries of a collection's table. */
  #table(elements: number): number {
    if (this.layout.bucketTables) return this.#buckets(elements)
    return slots(Math.max(4, elements)) + elements * this.layout.entryBytes
  }

  #buckets(entries: number): number {
    if (entries === 0) return 0
    const count = 2 ** Math.ceil(Math.log2(Math.max(1, entries / BUCKET_ENTRIES)))
    const chained = count === 1 ? 0 : count * overflowShare(entries / count)
    return BUCKET_BYTES * Math.round(count + chained)
  }

  #string(length: number): number {
    // Headers of one byte have no room to remember what was allocated.
    if (this.layout.countsRequests && length < 32) return length + 2
    return allocated(sdsBytes(length))
  }

  #hashEntry(field: number, value: number): number {
    const embedded = sdsBytes(field) + value + 4
    if (embedded <= HASH_ENTRY_BYTES) {
      return this.layout.countsRequests ? embedded : allocated(embedded)
    }
    const own = 8 + Math.max(sdsBytes(field), field + 4)
    return (this.layout.countsRequests ? own : allocated(own)) + this.#string(value)
  }

  #skiplistNode(member: number): number {
    const { layout } = this
    let base = 40
    let apart = 0
    if (layout.embeddedMembers) {
      base = (layout.bucketTables ? 33 : 32) + sdsBytes(member)
    } else {
      apart = this.#string(member)
    }
    let mean = apart
    for (let level = 0; level < LEVEL_SHARES.length; level += 1) {
      mean += LEVEL_SHARES[level]! * allocated(base + level * LEVEL_BYTES)
    }
    return mean
  }
}

function byLength(weight: (length: number) => number): Float64Array {
  return Float64Array.from({ length: 512 }, (_, length) => weight(length))
}

/** A tree whose keys are stream ids, which differ in the middle of their 16 bytes. Measured. */
function radixTreeBytes(keys: number): number {
  if (keys === 0) return 40
  return keys <= 1 ? 80 : 56 + 58.4 * keys
}

/** The same as `streamRadixTreeMemoryUsage` guesses it. */
function radixTreeEstimate(keys: number): number {
  const nodes = keys === 0 ? 1 : keys <= 1 ? 2 : 2 * keys + 2
  return keys * STREAM_ID_BYTES + nodes * RADIX_NODE_BYTES
}

/** Members of a set that share their slot: the others need no entry. */
function chainedEntries(members: number): number {
  if (members === 0) return 0
  const count = slots(Math.max(4, members)) / 8
  return members - count * (1 - Math.exp(-members / count))
}

/** Sets that grew member by member still have their former table until it has been emptied. */
function oldSlots(members: number): number {
  const bytes = slots(Math.max(4, members))
  return members > 4 && members * 8 < bytes * REHASHED_SHARE ? bytes / 2 : 0
}

function slots(entries: number): number {
  return entries === 0 ? 0 : 8 * 2 ** Math.ceil(Math.log2(entries))
}

/** Share of buckets that have more entries than they hold, at so many on average (Poisson). */
function overflowShare(mean: number): number {
  let term = Math.exp(-mean)
  let fits = term
  for (let count = 1; count <= BUCKET_ENTRIES; count += 1) {
    term *= mean / count
    fits += term
  }
  return Math.max(0, 1 - fits)
}
