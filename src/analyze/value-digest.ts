/**
 * A digest of every key's value that depends on the value alone: not on its encoding, not on the
 * version of the file, not on the order in which a set, hash or sorted set is stored.
 *
 * Elements are hashed to 128 bits by a kernel under a secret of the run (kernels/assembly/digest.ts),
 * most of them in whole stretches. Ordered things are chained, unordered ones added up. What older
 * versions do not store (a stream's counters) and the expiry of fields have lanes of their own, so
 * that they can be compared where both sides have them. Not part of it: delivery and seen times of
 * consumers, idle time and frequency, the graph of a vector set.
 */
import { DIGEST_NAME_BYTES, DIGEST_RECORD_BYTES, LISTPACK_HEAD_BYTES } from '../kernels/abi.js'
import { Buffer } from 'node:buffer'
import type { KernelExports } from '../kernels/kernel.js'
import { parseScore } from '../rdb/values/score.js'
import {
  ELEMENTS,
  type Elements,
  type PackedFormat,
  type RdbLane,
  type Stretch,
} from '../rdb/lane/lane.js'
import {
  DEPTH,
  KIND,
  type Depth,
  type ElementVisitor,
  type KeyHeader,
  type RdbVisitor,
  type Slice,
  type StreamConsumer,
  type StreamGroup,
  type StreamId,
  type StreamMeta,
  type U64,
} from '../rdb/visitor.js'
import { type DigestKernel } from './digest-kernel.js'
import { VECTOR_PART, VECTOR_SET_MODULE, VectorSetParts } from './vector-set.js'

/** Where in the chain of a value something stands, so that parts cannot be taken for others. */
const TAG = {
  ENTRY: 1,
  FIELD: 2,
  LAST_ID: 3,
  GROUP: 4,
  PENDING: 5,
  CONSUMER: 6,
  OWNED: 7,
  NACKED: 8,
  COUNTERS: 9,
  GROUP_READ: 10,
  IDMP: 11,
  ITEM: 12,
} as const

/** What is put aside in the kernel. */
const KEPT = { GROUP: 0, CONSUMER: 1, PRODUCER: 2 } as const

const NOTHING: Slice = { bytes: Buffer.alloc(0), start: 0, end: 0 }

/** Behind a listpack's header. */

export interface DigestOptions {
  kernel: DigestKernel
  /** Times from here on carry this constant: it is taken off. Default: none do. */
  shiftMs?: number | undefined
  /** Asked for each key; false: it is left out. Default: all are wanted. */
  wanted?: ((header: KeyHeader, expireAtMs: number) => boolean) | undefined
  /**
   * Where digests go: to the sums of the bucket of their key, or, of keys in buckets whose byte in
   * `kernel.suspects` is 1, one by one as a record and the name.
   */
  to: Buffer | ((record: Buffer, at: number, name: Slice) => void)
}

export class KeyDigests implements RdbVisitor, ElementVisitor {
  readonly lane: RdbLane
  readonly #options: DigestOptions
  readonly #kernel: DigestKernel
  readonly #exports: KernelExports
  /** Address of the sums, or 0. */
  readonly #sums: number
  readonly #shiftMs: number
  readonly #name: { bytes: Buffer; start: number; end: number } = {
    bytes: Buffer.alloc(0),
    start: 0,
    end: 0,
  }
  #isWanted = true
  #hasCounters = false
  #kind = 0
  #isVectorSet = false
  #hasAttribute = false
  readonly #vectorSet = new VectorSetParts()

  constructor(options: DigestOptions) {
    this.#options = options
    this.#kernel = options.kernel
    this.#exports = options.kernel.exports
    this.#sums = Buffer.isBuffer(options.to) ? options.to.byteOffset : 0
    this.#shiftMs = options.shiftMs ?? Number.POSITIVE_INFINITY
    this.lane = {
      stringRecords:
        options.wanted === undefined
          ? (stretch, dbnum) => this.#takeRecords(stretch, dbnum)
          : undefined,
      elements: (stretch, what, count) => this.#takeElements(stretch, what, count),
      packedValue: (stretch, format) => this.#takePacked(stretch, format),
    }
  }

  key(header: KeyHeader): Depth {
    const bucket = this.#kernel.key(header.key, header.dbnum)
    this.#kind = header.kind
    this.#isVectorSet = header.kind === KIND.MODULE && header.moduleName === VECTOR_SET_MODULE
    if (this.#isVectorSet) this.#vectorSet.begin()
    this.#hasCounters = false
    const isHere = this.#sums !== 0 || this.#kernel.suspects[bucket] === 1
    this.#isWanted =
      isHere && this.#options.wanted?.(header, this.#unshifted(header.expireAtMs)) !== false
    return this.#isWanted ? DEPTH.ELEMENTS : DEPTH.SKIP
  }

  keyEnd(header: KeyHeader): void {
    if (!this.#isWanted) return
    const exports = this.#exports
    const sums = this.#sums
    const { key, kind, dbnum } = header
    const expireAtMs = this.#unshifted(header.expireAtMs)
    if (sums !== 0) {
      exports.digestSum(sums, kind, expireAtMs, key.end - key.start)
      return
    }
    const { output } = this.#kernel
    const counted = this.#hasCounters ? 1 : 0
    const nameBytes = key.end - key.start
    exports.digestRecord(output.byteOffset, dbnum, nameBytes, kind, counted, expireAtMs)
    this.#tell(output, 0, key)
  }

  stringValue(value: Slice): void {
    this.#string(value)
    this.#exports.digestAdd()
  }

  stringBegin(totalBytes: number): void {
    this.#exports.digestBegin()
    this.#exports.digestPartsBegin(totalBytes)
  }

  stringPart(part: Slice): void {
    this.#kernel.part(part.bytes, part.start, part.end)
  }

  stringEnd(): void {
    this.#exports.digestPartsEnd()
    this.#exports.digestAdd()
  }

  listElement(element: Slice): void {
    this.#string(element)
    this.#exports.digestChain()
  }

  setMember(member: Slice): void {
    this.#string(member)
    this.#exports.digestAdd()
  }

  zsetMember(member: Slice, score: number): void {
    this.#string(member)
    this.#number(score)
    this.#exports.digestAdd()
  }

  hashField(field: Slice, value: Slice, expireAtMs: number): void {
    this.#string(field)
    this.#kernel.string(value)
    this.#exports.digestAdd()
    if (expireAtMs === -1) return
    this.#string(field)
    this.#number(this.#unshifted(expireAtMs))
    this.#exports.digestAddTime()
  }

  streamEntry(id: StreamId): void {
    this.#begin(TAG.ENTRY)
    this.#id(id)
    this.#exports.digestChain()
  }

  streamField(field: Slice, value: Slice): void {
    this.#begin(TAG.FIELD)
    this.#kernel.string(field)
    this.#kernel.string(value)
    this.#exports.digestChain()
  }

  streamMeta(meta: StreamMeta): void {
    this.#begin(TAG.LAST_ID)
    this.#id(meta.lastId)
    this.#exports.digestChain()
    this.#hasCounters = meta.hasExtended
    if (!meta.hasExtended) return
    this.#begin(TAG.COUNTERS)
    this.#id(meta.maxDeletedId)
    this.#u64(meta.entriesAdded)
    this.#exports.digestAddCounters()
  }

  streamGroup(group: StreamGroup): void {
    this.#begin(TAG.GROUP)
    this.#kernel.string(group.name)
    this.#exports.digestKeep(KEPT.GROUP)
    this.#id(group.lastId)
    this.#exports.digestAdd()
    if (!group.hasEntriesRead) return
    this.#beginInGroup(TAG.GROUP_READ)
    this.#u64(group.entriesRead)
    this.#exports.digestAddCounters()
  }

  streamGroupPending(id: StreamId, _deliveryTimeMs: number, deliveryCount: number): void {
    this.#beginInGroup(TAG.PENDING)
    this.#id(id)
    this.#number(deliveryCount)
    this.#exports.digestAdd()
  }

  streamConsumer(consumer: StreamConsumer): void {
    this.#beginInGroup(TAG.CONSUMER)
    this.#kernel.string(consumer.name)
    this.#exports.digestKeep(KEPT.CONSUMER)
    this.#exports.digestAdd()
  }

  streamConsumerPending(id: StreamId): void {
    this.#begin(TAG.OWNED)
    this.#exports.digestKept(KEPT.CONSUMER)
    this.#id(id)
    this.#exports.digestAdd()
  }

  streamNacked(id: StreamId): void {
    this.#beginInGroup(TAG.NACKED)
    this.#id(id)
    this.#exports.digestAdd()
  }

  streamProducer(producerId: Slice): void {
    this.#string(producerId)
    this.#exports.digestKeep(KEPT.PRODUCER)
  }

  streamProducerId(iid: Slice, entryId: StreamId): void {
    this.#begin(TAG.IDMP)
    this.#exports.digestKept(KEPT.PRODUCER)
    this.#kernel.string(iid)
    this.#id(entryId)
    this.#exports.digestAddCounters()
  }

  moduleSigned(value: U64): void {
    if (this.#isVectorSet) {
      const part = this.#vectorSet.number(value)
      if (part === VECTOR_PART.GRAPH) return
      if (part === VECTOR_PART.RANGE) {
        this.#u64(value)
        this.#exports.digestAdd()
        return
      }
    }
    this.#begin(TAG.ITEM)
    this.#u64(value)
    this.#exports.digestChain()
  }

  moduleUnsigned(value: U64): void {
    this.moduleSigned(value)
  }

  moduleFloat(value: number): void {
    this.moduleDouble(value)
  }

  moduleDouble(value: number): void {
    this.#begin(TAG.ITEM)
    this.#exports.digestNumber(value)
    this.#exports.digestChain()
  }

  moduleString(value: Slice): void {
    const part = this.#isVectorSet ? this.#vectorSet.string() : VECTOR_PART.HEAD
    if (part === VECTOR_PART.NAME) {
      this.#string(value)
      // An element without an attribute is the same whether others have one or not.
      this.#hasAttribute = false
      return
    }
    if (part === VECTOR_PART.ATTRIBUTE || part === VECTOR_PART.VECTOR) {
      if (part === VECTOR_PART.ATTRIBUTE) this.#hasAttribute = true
      else if (!this.#hasAttribute) this.#kernel.string(NOTHING)
      this.#kernel.string(value)
      return
    }
    this.#string(value)
    this.#exports.digestChain()
  }

  arrayElement(index: U64, value: Slice): void {
    this.#string(value)
    this.#u64(index)
    this.#exports.digestAdd()
  }

  gcra(value: U64): void {
    this.moduleSigned(value)
  }

  // These only begin and end what the other events tell whole.
  streamGroupEnd(): void {}
  streamIdmp(): void {}
  streamIdmpEnd(): void {}
  arrayMeta(): void {}

  #takeElements(stretch: Stretch, what: Elements, count: number): number {
    const kernel = this.#kernel
    const exports = this.#exports
    if (stretch.kernel !== kernel.kernel) return 0
    const taken = exports.digestElements(
      stretch.start,
      stretch.end,
      count,
      what,
      this.#isChained,
      kernel.kernel.stagingAddress,
    )
    stretch.takenTo = exports.runInputTo()
    stretch.stringBytes = exports.runStringBytes()
    stretch.largestBytes = exports.runLargest()
    stretch.compressed = exports.runCompressed() !== 0
    return taken
  }

  #takePacked(stretch: Stretch, format: PackedFormat): boolean {
    const kernel = this.#kernel
    const exports = this.#exports
    const kind = this.#kind
    const { start, end } = stretch
    if (stretch.kernel !== kernel.kernel) return false
    if (format === 'intset') {
      exports.digestIntset(start, end - start)
      return true
    }
    const what =
      kind === KIND.ZSET ? ELEMENTS.SCORES : kind === KIND.HASH ? ELEMENTS.PAIRS : ELEMENTS.STRINGS
    const stop = end - 1
    let at = start + LISTPACK_HEAD_BYTES
    while (exports.digestListpack(at, stop, what, this.#isChained) === 0) {
      const scoreAt = exports.digestScoreAt()
      const scoreEnd = scoreAt + exports.digestScoreSize()
      this.#number(parseScore(kernel.kernel.memory, scoreAt, scoreEnd))
      exports.digestAdd()
      at = exports.runInputTo()
    }
    return true
  }

  /** Returns how many keys were taken. */
  #takeRecords(stretch: Stretch, dbnum: number): number {
    const kernel = this.#kernel
    const exports = this.#exports
    const sums = this.#sums
    const shiftMs = this.#shiftMs
    if (stretch.kernel !== kernel.kernel) return 0
    const { output, suspects } = kernel
    let taken = 0
    stretch.takenTo = stretch.start
    for (;;) {
      const more = exports.digestRecords(
        stretch.takenTo,
        stretch.end,
        kernel.kernel.stagingAddress,
        dbnum,
        shiftMs,
        sums,
        suspects.byteOffset,
        output.byteOffset,
        output.byteOffset + output.length,
      )
      if (more === 0) return taken
      taken += more
      stretch.takenTo = exports.runInputTo()
      // Sums are where they belong; of records there may be more than fitted.
      if (sums !== 0) return taken
      this.#tellRecords(exports.runOutputTo() - output.byteOffset)
    }
  }

  #tellRecords(end: number): void {
    const kernel = this.#kernel
    const name = this.#name
    const { output } = kernel
    name.bytes = output
    let at = 0
    while (at < end) {
      name.start = at + DIGEST_RECORD_BYTES
      name.end = name.start + output.readUInt32LE(at + DIGEST_NAME_BYTES)
      this.#tell(output, at, name)
      at = name.end
    }
  }

  #tell(record: Buffer, at: number, name: Slice): void {
    const { to } = this.#options
    if (!Buffer.isBuffer(to)) to(record, at, name)
  }

  get #isChained(): number {
    return this.#kind === KIND.LIST ? 1 : 0
  }

  #unshifted(timeMs: number): number {
    return timeMs >= this.#shiftMs ? timeMs - this.#shiftMs : timeMs
  }

  /** An element that begins with a string. */
  #string(slice: Slice): void {
    this.#exports.digestBegin()
    this.#kernel.string(slice)
  }

  #begin(tag: number): void {
    this.#exports.digestBegin()
    this.#exports.digestHalves(0, tag)
  }

  #beginInGroup(tag: number): void {
    this.#begin(tag)
    this.#exports.digestKept(KEPT.GROUP)
  }

  #id(id: StreamId): void {
    this.#u64(id.ms)
    this.#u64(id.seq)
  }

  #u64(value: U64): void {
    this.#exports.digestHalves(value.high, value.low)
  }

  /** Servers take -0 and 0 for equal, and some forms turn one into the other. */
  #number(value: number): void {
    this.#exports.digestNumber(value === 0 ? 0 : value)
  }
}
