/**
 * A digest of every key's value that depends on the value alone: not on its encoding, not on the
 * version of the file, not on the order in which a set, hash or sorted set is stored.
 *
 * Elements are hashed to 64 bits (two lanes of 32, after MurmurHash3, seeded per run so that
 * nobody can prepare values that collide); long strings by CRC64. Ordered things are chained,
 * unordered ones added up. What older versions do not store (a stream's counters) and the expiry
 * of fields have lanes of their own, so that they can be compared where both sides have them.
 * Not part of it: delivery and seen times of consumers, idle time and frequency.
 */
import { Buffer } from 'node:buffer'
import { Crc64 } from '../bytes/crc64.js'
import {
  DEPTH,
  type Depth,
  type KeyHeader,
  type RdbVisitor,
  type Slice,
  type StreamConsumer,
  type StreamGroup,
  type StreamId,
  type StreamMeta,
  type U64,
} from '../rdb/visitor.js'

/** From here on a string's CRC64 stands for it: the kernel is many times as fast. */
const CRC_MIN_BYTES = 2048

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

/** ONE object, reused: the digest of the key at hand. All lanes are signed 32-bit numbers. */
export interface KeyDigest {
  /** Of db and name. */
  nameHigh: number
  nameLow: number
  /** Unix ms, without the constant that `DigestOptions.shiftMs` says; -1: none. */
  expireAtMs: number
  valueHigh: number
  valueLow: number
  /** Of the expiries of fields; 0 where there are none. */
  fieldExpiry: number
  /** Of a stream's counters and remembered ids; compare only where both have them. */
  counters: number
  hasCounters: boolean
}

export interface DigestOptions {
  /** The same for both sides of a comparison. */
  seed: number
  /** Times from here on carry this constant: it is taken off. Default: none do. */
  shiftMs?: number | undefined
  /** False: the value is skipped and `done` not called. The digest holds only the name. */
  wanted?: (digest: KeyDigest, header: KeyHeader) => boolean
  done: (digest: KeyDigest, header: KeyHeader) => void
}

export class KeyDigests implements RdbVisitor {
  private readonly options: DigestOptions
  private readonly digest: KeyDigest = {
    nameHigh: 0,
    nameLow: 0,
    expireAtMs: -1,
    valueHigh: 0,
    valueLow: 0,
    fieldExpiry: 0,
    counters: 0,
    hasCounters: false,
  }
  private readonly seed: number
  private readonly shiftMs: number
  private readonly crc = new Crc64()
  private readonly crcBytes = Buffer.alloc(8)
  private readonly double = new Float64Array(1)
  private readonly doubleWords = new Int32Array(this.double.buffer)
  /** Result of the last hash. */
  private high = 0
  private low = 0
  private isWanted = true
  private consumerHigh = 0
  private consumerLow = 0
  private groupHigh = 0
  private groupLow = 0
  private producerHigh = 0
  private producerLow = 0

  constructor(options: DigestOptions) {
    this.options = options
    this.seed = options.seed | 0
    this.shiftMs = options.shiftMs ?? Number.POSITIVE_INFINITY
  }

  key(header: KeyHeader): Depth {
    const { digest } = this
    this.hash(header.key)
    this.mix(header.dbnum)
    digest.nameHigh = this.high
    digest.nameLow = this.low
    digest.expireAtMs = this.unshifted(header.expireAtMs)
    digest.valueHigh = 0
    digest.valueLow = 0
    digest.fieldExpiry = 0
    digest.counters = 0
    digest.hasCounters = false
    this.isWanted = this.options.wanted?.(digest, header) !== false
    return this.isWanted ? DEPTH.ELEMENTS : DEPTH.SKIP
  }

  keyEnd(header: KeyHeader): void {
    if (this.isWanted) this.options.done(this.digest, header)
  }

  stringValue(value: Slice): void {
    this.hash(value)
    this.add()
  }

  stringBegin(): void {
    this.crc.reset()
  }

  stringPart(part: Slice): void {
    this.crc.update(part.bytes, part.start, part.end)
  }

  stringEnd(): void {
    this.takeCrc()
    this.add()
  }

  listElement(element: Slice): void {
    this.hash(element)
    this.chain()
  }

  setMember(member: Slice): void {
    this.hash(member)
    this.add()
  }

  zsetMember(member: Slice, score: number): void {
    this.hash(member)
    // Servers compare -0 and 0 as equal, and some forms turn one into the other.
    this.double[0] = score === 0 ? 0 : score
    this.mix(this.doubleWords[0]!)
    this.mix(this.doubleWords[1]!)
    this.add()
  }

  hashField(field: Slice, value: Slice, expireAtMs: number): void {
    this.hash(field)
    const { high, low } = this
    this.hash(value)
    this.mix(high)
    this.mix(low)
    this.add()
    if (expireAtMs === -1) return
    this.high = high
    this.low = low
    this.double[0] = this.unshifted(expireAtMs)
    this.mix(this.doubleWords[0]!)
    this.mix(this.doubleWords[1]!)
    this.digest.fieldExpiry = (this.digest.fieldExpiry + this.low) | 0
  }

  streamEntry(id: StreamId): void {
    this.begin(TAG.ENTRY)
    this.mixId(id)
    this.chain()
  }

  streamField(field: Slice, value: Slice): void {
    this.hash(field)
    const { high, low } = this
    this.hash(value)
    this.mix(high)
    this.mix(low)
    this.mix(TAG.FIELD)
    this.chain()
  }

  streamMeta(meta: StreamMeta): void {
    this.begin(TAG.LAST_ID)
    this.mixId(meta.lastId)
    this.chain()
    this.digest.hasCounters = meta.hasExtended
    if (!meta.hasExtended) return
    this.begin(TAG.COUNTERS)
    this.mixId(meta.maxDeletedId)
    this.mixU64(meta.entriesAdded)
    this.addCounters()
  }

  streamGroup(group: StreamGroup): void {
    this.hash(group.name)
    this.groupHigh = this.high
    this.groupLow = this.low
    this.mix(TAG.GROUP)
    this.mixId(group.lastId)
    this.add()
    if (!group.hasEntriesRead) return
    this.beginInGroup(TAG.GROUP_READ)
    this.mixU64(group.entriesRead)
    this.addCounters()
  }

  streamGroupPending(id: StreamId, _deliveryTimeMs: number, deliveryCount: number): void {
    this.beginInGroup(TAG.PENDING)
    this.mixId(id)
    this.mix(deliveryCount)
    this.add()
  }

  streamConsumer(consumer: StreamConsumer): void {
    this.hash(consumer.name)
    this.consumerHigh = this.high
    this.consumerLow = this.low
    this.mix(TAG.CONSUMER)
    this.mix(this.groupHigh)
    this.mix(this.groupLow)
    this.add()
  }

  streamConsumerPending(id: StreamId): void {
    this.beginInGroup(TAG.OWNED)
    this.mix(this.consumerHigh)
    this.mix(this.consumerLow)
    this.mixId(id)
    this.add()
  }

  streamNacked(id: StreamId): void {
    this.beginInGroup(TAG.NACKED)
    this.mixId(id)
    this.add()
  }

  streamProducer(producerId: Slice): void {
    this.hash(producerId)
    this.producerHigh = this.high
    this.producerLow = this.low
  }

  streamProducerId(iid: Slice, entryId: StreamId): void {
    this.hash(iid)
    this.mix(TAG.IDMP)
    this.mix(this.producerHigh)
    this.mix(this.producerLow)
    this.mixId(entryId)
    this.addCounters()
  }

  moduleSigned(value: U64): void {
    this.begin(TAG.ITEM)
    this.mixU64(value)
    this.chain()
  }

  moduleUnsigned(value: U64): void {
    this.moduleSigned(value)
  }

  moduleFloat(value: number): void {
    this.moduleDouble(value)
  }

  moduleDouble(value: number): void {
    this.begin(TAG.ITEM)
    this.double[0] = value
    this.mix(this.doubleWords[0]!)
    this.mix(this.doubleWords[1]!)
    this.chain()
  }

  moduleString(value: Slice): void {
    this.hash(value)
    this.chain()
  }

  arrayElement(index: U64, value: Slice): void {
    this.hash(value)
    this.mixU64(index)
    this.add()
  }

  gcra(value: U64): void {
    this.moduleSigned(value)
  }

  private unshifted(timeMs: number): number {
    return timeMs >= this.shiftMs ? timeMs - this.shiftMs : timeMs
  }

  /** Order counts. */
  private chain(): void {
    const { digest } = this
    digest.valueHigh = (Math.imul(rotate(digest.valueHigh, 13), 5) + this.high + 0x52dce729) | 0
    digest.valueLow = (Math.imul(rotate(digest.valueLow, 11), 9) + this.low + 0x38495ab5) | 0
    digest.valueHigh = (digest.valueHigh ^ Math.imul(digest.valueLow, 0x2545f491)) | 0
  }

  /** Order does not count. */
  private add(): void {
    const { digest } = this
    digest.valueHigh = (digest.valueHigh + this.high) | 0
    digest.valueLow = (digest.valueLow + this.low) | 0
  }

  private addCounters(): void {
    this.digest.counters = (this.digest.counters + this.low) | 0
  }

  private begin(tag: number): void {
    this.high = this.seed
    this.low = ~this.seed
    this.mix(tag)
  }

  private beginInGroup(tag: number): void {
    this.begin(tag)
    this.mix(this.groupHigh)
    this.mix(this.groupLow)
  }

  private mixId(id: StreamId): void {
    this.mixU64(id.ms)
    this.mixU64(id.seq)
  }

  private mixU64(value: U64): void {
    this.mix(value.high)
    this.mix(value.low)
  }

  /** Goes on with one more word, spread over both lanes. */
  private mix(word: number): void {
    this.high = scramble(Math.imul(this.high, 31) ^ word ^ this.low)
    this.low = scramble((this.low + Math.imul(word, 0x9e3779b1)) ^ rotate(this.high, 16))
  }

  private takeCrc(): void {
    this.crc.writeTo(this.crcBytes, 0)
    this.begin(0)
    this.mix(this.crcBytes.readInt32LE(0))
    this.mix(this.crcBytes.readInt32LE(4))
  }

  private hash(slice: Slice): void {
    const { bytes, start, end } = slice
    const length = end - start
    if (length >= CRC_MIN_BYTES) {
      this.crc.reset()
      this.crc.update(bytes, start, end)
      this.takeCrc()
      return
    }
    let high = this.seed
    let low = ~this.seed
    let at = start
    for (const whole = end - (length & 3); at < whole; at += 4) {
      const word =
        bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
      let k = Math.imul(word, 0xcc9e2d51)
      k = Math.imul((k << 15) | (k >>> 17), 0x1b873593)
      high ^= k
      high = (Math.imul((high << 13) | (high >>> 19), 5) + 0xe6546b64) | 0
      k = Math.imul(word, 0x85ebca6b)
      k = Math.imul((k << 16) | (k >>> 16), 0xc2b2ae35)
      low ^= k
      low = (Math.imul((low << 15) | (low >>> 17), 5) + 0x561ccd1b) | 0
    }
    let rest = 0
    for (let shift = 0; at < end; at += 1, shift += 8) rest |= bytes[at]! << shift
    this.high = scramble(high ^ Math.imul(rest, 0xcc9e2d51) ^ length)
    this.low = scramble(low ^ Math.imul(rest, 0x85ebca6b) ^ rotate(this.high, 7))
  }
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits))
}

/** The finalizer of MurmurHash3: every bit of the input moves every bit of the output. */
function scramble(value: number): number {
  let mixed = value ^ (value >>> 16)
  mixed = Math.imul(mixed, 0x85ebca6b)
  mixed ^= mixed >>> 13
  mixed = Math.imul(mixed, 0xc2b2ae35)
  return mixed ^ (mixed >>> 16)
}
