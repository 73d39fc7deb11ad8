/**
 * The digests of src/kernels/assembly/digest.ts, written plainly and from its description: for values
 * made of strings, members with scores, and pairs. What is no such value has none here.
 */
import { DEPTH, KIND, type Depth, type KeyHeader, type Slice } from '../../src/rdb/visitor.js'

const MASK = (1n << 64n) - 1n

interface Lanes {
  a: bigint
  b: bigint
}

export interface PlainRecord {
  db: number
  name: string
  kind: number
  expireAtMs: number
  value: [bigint, bigint]
  /** Of db and name. */
  nameDigest: bigint
}

export class PlainDigests {
  readonly records: PlainRecord[] = []
  private readonly words: bigint[]
  private value: Lanes = { a: 0n, b: 0n }
  private element: Lanes = { a: 0n, b: 0n }
  private nameDigest = 0n

  /**
   * @param secret 64 bytes: what both lanes start with, two odd factors for each, and one for each
   * by which lengths and dbs are multiplied
   */
  constructor(secret: Buffer) {
    this.words = Array.from({ length: 8 }, (_, index) => secret.readBigUInt64LE(8 * index))
  }

  key(header: KeyHeader): Depth {
    this.begin()
    this.string(header.key)
    this.nameDigest = (this.element.a + BigInt(header.dbnum) * this.apart(6)) & MASK
    this.value = { a: 0n, b: 0n }
    return DEPTH.ELEMENTS
  }

  keyEnd({ key, dbnum, kind, expireAtMs }: KeyHeader): void {
    if (kind > KIND.HASH) return
    this.records.push({
      db: dbnum,
      name: key.bytes.toString('latin1', key.start, key.end),
      kind,
      expireAtMs,
      value: [this.value.a, this.value.b],
      nameDigest: this.nameDigest,
    })
  }

  stringValue(value: Slice): void {
    this.begin()
    this.string(value)
    this.add()
  }

  listElement(element: Slice): void {
    this.begin()
    this.string(element)
    const { value } = this
    const scattered = this.scattered()
    value.a = this.stepA(value.a, scattered.a)
    value.b = this.stepB(value.b, scattered.b)
  }

  setMember(member: Slice): void {
    this.stringValue(member)
  }

  zsetMember(member: Slice, score: number): void {
    this.begin()
    this.string(member)
    const bits = Buffer.alloc(8)
    bits.writeDoubleLE(Object.is(score, -0) ? 0 : score)
    this.word(bits.readBigUInt64LE())
    this.add()
  }

  hashField(field: Slice, value: Slice): void {
    this.begin()
    this.string(field)
    this.string(value)
    this.add()
  }

  private begin(): void {
    this.element = { a: this.words[0]!, b: this.words[1]! }
  }

  private string({ bytes, start, end }: Slice): void {
    const size = BigInt(end - start)
    this.element.a ^= (size * this.apart(6)) & MASK
    this.element.b ^= (size * this.apart(7)) & MASK
    // Bytes that fill no word are in one of their own, if need be none of them.
    const padded = Buffer.alloc(8 * Math.floor((end - start) / 8) + 8)
    bytes.copy(padded, 0, start, end)
    for (let at = 0; at < padded.length; at += 8) this.word(padded.readBigUInt64LE(at))
  }

  private apart(index: number): bigint {
    return this.words[index]! | 1n
  }

  private word(word: bigint): void {
    const { element } = this
    element.a = this.stepA(element.a, word)
    element.b = this.stepB(element.b, word)
  }

  private add(): void {
    const { value } = this
    const scattered = this.scattered()
    value.a = (value.a + scattered.a) & MASK
    value.b = (value.b + scattered.b) & MASK
  }

  private scattered(): { a: bigint; b: bigint } {
    const { element, words } = this
    return {
      a: this.scatter(element.a, words[2]!, words[3]!),
      b: this.scatter(element.b, words[4]!, words[5]!),
    }
  }

  private scatter(lane: bigint, first: bigint, second: bigint): bigint {
    let bits = ((lane ^ (lane >> 32n)) * (second | 1n)) & MASK
    bits = ((bits ^ (bits >> 29n)) * (first | 1n)) & MASK
    return bits ^ (bits >> 32n)
  }

  private stepA(lane: bigint, word: bigint): bigint {
    return this.scramble(lane ^ word, this.words[2]!, this.words[3]!)
  }

  private stepB(lane: bigint, word: bigint): bigint {
    return this.scramble(lane ^ turned(word, 29n), this.words[4]!, this.words[5]!)
  }

  private scramble(lane: bigint, first: bigint, second: bigint): bigint {
    return (turned((lane * (first | 1n)) & MASK, 32n) * (second | 1n)) & MASK
  }
}

function turned(word: bigint, bits: bigint): bigint {
  return ((word << bits) | (word >> (64n - bits))) & MASK
}
