/** What is different between the records of one key on two sides. */
import {
  DIGEST_COUNTERS,
  DIGEST_DB,
  DIGEST_FIELD_EXPIRY,
  DIGEST_HAS_COUNTERS,
  DIGEST_KIND,
  DIGEST_VALUE,
} from '../../kernels/abi.js'
import { KIND_NAMES } from '../../rdb/visitor.js'
import type { RecordTable } from './table.js'
import type { Difference, DifferenceKind } from './options.js'

export interface CompareOptions {
  ttlToleranceMs: number
  /** Keys on one side only whose time is past then are no difference. */
  nowMs: number
}

/** One key at a time; reused, and objects are made only for what is asked for. */
export class KeyComparison {
  /** What differs. */
  readonly kinds: DifferenceKind[] = []
  /** On one side only, and past its time. */
  isExpired = false
  readonly #options: CompareOptions
  #a!: RecordTable
  #b!: RecordTable
  #atA = -1
  #atB = -1

  constructor(options: CompareOptions) {
    this.#options = options
  }

  /** Offsets are -1 where the side lacks the key. */
  look(a: RecordTable, atA: number, b: RecordTable, atB: number): void {
    this.#a = a
    this.#atA = atA
    this.#b = b
    this.#atB = atB
    this.kinds.length = 0
    this.isExpired = false
    if (atA === -1) this.#lookAtOne(b, atB, 'missing-in-a')
    else if (atB === -1) this.#lookAtOne(a, atA, 'missing-in-b')
    else this.#lookAtBoth()
  }

  /** The key lies in memory that is used again. */
  describe(kind: DifferenceKind): Difference {
    const a = this.#a
    const b = this.#b
    const atA = this.#atA
    const atB = this.#atB
    const [side, at] = atA === -1 ? [b, atB] : [a, atA]
    const difference: Difference = {
      kind,
      db: side.word(at, DIGEST_DB),
      key: Buffer.from(side.nameOf(at)),
    }
    if (kind === 'type') {
      difference.a = KIND_NAMES[a.word(atA, DIGEST_KIND)]!
      difference.b = KIND_NAMES[b.word(atB, DIGEST_KIND)]!
    } else if (kind === 'ttl') {
      difference.a = shownExpiry(a.expiryOf(atA))
      difference.b = shownExpiry(b.expiryOf(atB))
    }
    return difference
  }

  #lookAtOne(side: RecordTable, at: number, kind: DifferenceKind): void {
    const expireAtMs = side.expiryOf(at)
    this.isExpired = expireAtMs !== -1 && expireAtMs <= this.#options.nowMs
    if (!this.isExpired) this.kinds.push(kind)
  }

  #lookAtBoth(): void {
    const { kinds } = this
    const a = this.#a
    const b = this.#b
    const atA = this.#atA
    const atB = this.#atB
    if (a.word(atA, DIGEST_KIND) !== b.word(atB, DIGEST_KIND)) {
      kinds.push('type')
    } else {
      if (!a.isSame(atA, b, atB, DIGEST_VALUE, 16)) kinds.push('value')
      if (!a.isSame(atA, b, atB, DIGEST_FIELD_EXPIRY, 8)) kinds.push('field-ttl')
      const areCounted =
        a.word(atA, DIGEST_HAS_COUNTERS) === 1 && b.word(atB, DIGEST_HAS_COUNTERS) === 1
      if (areCounted && !a.isSame(atA, b, atB, DIGEST_COUNTERS, 8)) kinds.push('stream-counters')
    }
    if (!this.#isSameExpiry(a.expiryOf(atA), b.expiryOf(atB))) kinds.push('ttl')
  }

  #isSameExpiry(a: number, b: number): boolean {
    if (a === -1 || b === -1) return a === b
    return Math.abs(a - b) <= this.#options.ttlToleranceMs
  }
}

function shownExpiry(expireAtMs: number): number | null {
  return expireAtMs === -1 ? null : expireAtMs
}
