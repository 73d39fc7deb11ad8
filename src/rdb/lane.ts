/**
 * Shortcuts past the events of visitor.ts, for visitors that have kernels of their own: where the
 * input lies in the memory of a kernel, whole stretches of it are offered before they are read. A
 * visitor takes what it can and leaves the rest, always at the border of a record or an element; it
 * must come to what the events would have brought it to. All methods may be left out, and a visitor
 * that wants every event leaves them out.
 */
import type { ByteKernel } from '../kernels/kernel.js'

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
export const ROW = {
  /** STR each. */
  STRINGS: 0,
  /** Two STR each. */
  PAIRS: 1,
  /** STR and f64le each. */
  SCORES: 2,
} as const
export type Row = (typeof ROW)[keyof typeof ROW]

export type PackedFormat = 'listpack' | 'intset'

export interface StretchVisitor {
  /**
   * Records of strings in db `dbnum`, perhaps with attributes, and then anything. Returns how many
   * keys were taken; they get no call of `key` or `keyEnd`. Not offered with `validate`.
   */
  stringRecords?: ((stretch: Stretch, dbnum: number) => number) | undefined
  /** The same from records of any type on. Who has this is not asked for `stringRecords`. */
  anyRecords?: ((stretch: Stretch, dbnum: number) => number) | undefined
  /** Elements of the key at hand, at most `count`, at ELEMENTS depth. Returns how many were taken. */
  elementRow?: ((stretch: Stretch, row: Row, count: number) => number) | undefined
  /**
   * A whole listpack or intset of the key at hand, checked already, at ELEMENTS depth: all of it is
   * taken or nothing. Its bytes are valid during the call.
   */
  packedValue?: ((stretch: Stretch, format: PackedFormat) => boolean) | undefined
}
