/** A dump in parts: each key in the one that its name says, what stands between keys in all. */
import { Buffer } from 'node:buffer'
import type { RdbLane } from '../../rdb/lane/lane.js'
import { forwardElementsTo, forwardFileToAll } from '../../rdb/forward.js'
import { type Depth, type KeyHeader, type RdbVisitor, type Slice } from '../../rdb/visitor.js'
import type { Loss, LossCounts } from '../../servers/loss.js'
import type { KeyFormatRun, KeyPlace } from '../key-format.js'

export const NO_KEY: Slice = { bytes: Buffer.alloc(0), start: 0, end: 0 }

/** What writes one of the parts. */
export interface SplitPart extends RdbVisitor {
  readonly keyLosses: LossCounts
  readonly fileLosses: LossCounts
  readonly functions: number
  readonly rawWithElements: boolean
  /** A key that goes there; `place` undefined: it is not wanted. */
  take(header: KeyHeader, place: KeyPlace | undefined): Depth
  keyEnd(header: KeyHeader): void
  rawValue(bytes: Buffer, start: number, end: number): void
  packed(blobBytes: number): void
}

/** Where a key goes that is wanted; false: it is not. */
export function isPlaced(run: KeyFormatRun, header: KeyHeader, place: KeyPlace): boolean {
  if (!run.wanted(header)) return false
  place.key = header.key
  place.dbnum = header.dbnum
  place.expireAtMs = header.hasExpiry ? header.expireAtMs : undefined
  return run.place?.(header, place) !== false
}

/** Keys by the part that they are in, what stands between them into all. */
export class SplitKeys implements RdbVisitor {
  readonly lane: RdbLane = {}
  readonly #run: KeyFormatRun
  readonly #partOf: (key: Slice) => number
  readonly #parts: readonly SplitPart[]
  readonly #place: KeyPlace = { key: NO_KEY, dbnum: 0, expireAtMs: undefined }
  #part: SplitPart

  constructor(
    run: KeyFormatRun,
    { partOf }: NonNullable<KeyFormatRun['split']>,
    parts: readonly SplitPart[],
  ) {
    this.#run = run
    this.#partOf = partOf
    this.#parts = parts
    this.#part = parts[0]!
    Object.assign(
      this,
      forwardElementsTo(() => this.#part),
      forwardFileToAll(parts),
    )
  }

  /** Of what stands between keys each part lacks the same. */
  get losses(): LossCounts {
    const sum: LossCounts = { ...this.#parts[0]!.fileLosses }
    for (const { keyLosses } of this.#parts) {
      for (const [loss, times] of Object.entries(keyLosses) as [Loss, number][]) {
        sum[loss] = (sum[loss] ?? 0) + times
      }
    }
    return sum
  }

  get functions(): number {
    return this.#parts[0]!.functions
  }

  get rawWithElements(): boolean {
    return this.#part.rawWithElements
  }

  key(header: KeyHeader): Depth {
    const isIn = isPlaced(this.#run, header, this.#place)
    if (isIn) this.#part = this.#parts[this.#partOf(this.#place.key)]!
    return this.#part.take(header, isIn ? this.#place : undefined)
  }

  keyEnd(header: KeyHeader): void {
    this.#part.keyEnd(header)
  }

  rawValue(bytes: Buffer, start: number, end: number): void {
    this.#part.rawValue(bytes, start, end)
  }

  packed(blobBytes: number): void {
    this.#part.packed(blobBytes)
  }
}
