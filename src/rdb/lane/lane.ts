/**
 * The lane of a consumer: its road past the events of visitor.ts, for consumers that have kernels.
 * Where the input lies in the memory of a kernel, whole stretches of it are offered to the lane
 * before they are read. It takes what it can and leaves the rest, always at the border of a record
 * or an element, and must come to what the events would have brought its consumer to: the events are
 * the reference, a lane is faster and never different.
 *
 *   new RdbParser(visitor, { lane })
 */
import { ELEMENTS_PAIRS, ELEMENTS_SCORES, ELEMENTS_STRINGS, SHAPES } from '../../kernels/abi.js'
import type { ByteKernel } from '../../kernels/kernel.js'
import type { Kind } from '../kinds.js'

/** Bytes in the memory of a kernel. ONE object, reused. */
export class Stretch {
  kernel!: ByteKernel
  /** Addresses. */
  start = 0
  end = 0
  /** To be set by who takes some: where the rest begins, */
  takenTo = 0
  /** and of elements: their strings once decoded, in bytes, */
  stringBytes = 0
  /** the longest of these, */
  largestBytes = 0
  /** and whether one was compressed. */
  compressed = false
}

/** What a stretch of elements consists of. */
export const ELEMENTS = {
  /** STR each. */
  STRINGS: ELEMENTS_STRINGS,
  /** Two STR each. */
  PAIRS: ELEMENTS_PAIRS,
  /** STR and f64le each. */
  SCORES: ELEMENTS_SCORES,
} as const
export type Elements = (typeof ELEMENTS)[keyof typeof ELEMENTS]

export type PackedFormat = 'listpack' | 'intset'

/** All methods may be left out. */
export interface RdbLane {
  /**
   * Records of strings in db `dbnum`, perhaps with attributes, and then anything. Returns how many
   * keys were taken; they get no call of `key` or `keyEnd`. Not offered with `validate`.
   */
  readonly stringRecords?: ((stretch: Stretch, dbnum: number) => number) | undefined
  /** The same from records of any type on. Who has this is not asked for `stringRecords`. */
  readonly anyRecords?: ((stretch: Stretch, dbnum: number) => number) | undefined
  /** Elements of the key at hand, at most `count`, at ELEMENTS depth. Returns how many were taken. */
  readonly elements?: ((stretch: Stretch, what: Elements, count: number) => number) | undefined
  /**
   * A whole listpack or intset of the key at hand, checked already, at ELEMENTS depth: all of it is
   * taken or nothing. Its bytes are valid during the call.
   */
  readonly packedValue?: ((stretch: Stretch, format: PackedFormat) => boolean) | undefined
  /**
   * In place of `key` and `keyEnd` for batches of plain string records, where the kernel can take
   * them apart at once: for consumers that want no more of a string than this. Not with `validate`
   * or `salvage`.
   */
  readonly strings?: ((batch: StringBatch) => void) | undefined
  /** What `StringBatch.separators` tells of. Default `:`. */
  readonly separatorByte?: number | undefined
  /**
   * For consumers that only add up something for each string of a collection: what that is by
   * length. Runs of them are then told as one, and only what has no weight by `plain`.
   */
  readonly weights?: StringWeighing | undefined
}

/** A consumer and its lane, for who makes a parser for it. */
export interface WithLane {
  readonly lane?: RdbLane | undefined
}

export interface StringWeighing {
  /** Asked once a kind; undefined: each string is told by `plain`. */
  ofKind(kind: Kind): PlainWeights | undefined
  /** So many strings, whole elements, and what they weigh together. */
  add(strings: number, weight: number): void
}

export interface PlainWeights {
  /** By length; with `pairs` by the lengths of field and value together. At most 512 are used. */
  readonly byLength: Float64Array
  /** Hashes: one weight for field and value. Those whose field has 32 bytes or more have none. */
  readonly pairs: boolean
}

/**
 * String records, in file order: up to thousands at once. ONE object, reused; valid during
 * the call. Idle times and frequencies are not told.
 */
export interface StringBatch {
  readonly count: number
  readonly dbnum: number
  /** `KeyHeader.index` of the first. */
  readonly firstIndex: number
  /** Keys are bytes[keyStart(index), keyEnd(index)). */
  readonly bytes: Buffer
  keyStart(index: number): number
  keyEnd(index: number): number
  /** Which of the key's first 32 bytes are `separatorByte`: the lowest bit is for the first. */
  separators(index: number): number
  /**
   * How many of the first 16 bytes from `keyStart` are those of the key before, also
   * behind the end of a shorter key; 0 for the first.
   */
  commonBytes(index: number): number
  /**
   * One number below STRING_SHAPES for the integer, HyperLogLog and expiry flags and both lengths
   * together; STRING_SHAPES or more where a length is above 127.
   */
  shape(index: number): number
  /** Length once decoded. */
  valueBytes(index: number): number
  isInteger(index: number): boolean
  isHyperLogLog(index: number): boolean
  isCompressed(index: number): boolean
  hasExpiry(index: number): boolean
  /** Unix ms, or -1 for none. */
  expireAtMs(index: number): number
}

/** Three forms, with and without expiry, 128 lengths of keys and of values. */
export const STRING_SHAPES = SHAPES
