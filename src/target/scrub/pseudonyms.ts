/**
 * Text in place of text: of the same length and shape (digits stay digits, letters letters of their case,
 * UTF-8 stays UTF-8, punctuation and white space stay as they are), chosen by a secret.
 *
 * The same text gives the same under one secret, and two different texts never give the same, however
 * short: what is put in place is a permutation of all texts of one shape, a Feistel network whose halves
 * are moved by HMAC-SHA256 of each other. So sets keep their members and names of keys stay apart.
 * Who has the secret can go back; who has not can try out, for short values, what is likely.
 */
import { Buffer } from 'node:buffer'
import { createCipheriv, createHmac } from 'node:crypto'
import { shapeOf, type Shape } from './shape.js'

/** Longer text is taken in pieces, each moved by all before it too. */
export const PIECE_BYTES = 1 << 16
/** Half the bytes are moved in each. Few bytes have few texts: they are mixed more often. */
const [ROUNDS, ROUNDS_OF_SHORT] = [4, 10]
const SHORT = 16
const BYTES_FOR_DIGIT = 2
const NO_CHAIN = Buffer.alloc(0)

export class Pseudonyms {
  readonly #secret: Buffer

  constructor(secret: string | Uint8Array) {
    this.#secret = Buffer.from(secret)
  }

  /** A new buffer. */
  of(text: Uint8Array): Buffer {
    if (text.length <= PIECE_BYTES) return this.piece(text, NO_CHAIN)
    const out = Buffer.allocUnsafe(text.length)
    let chain: Buffer = NO_CHAIN
    for (let at = 0; at < text.length; at += PIECE_BYTES) {
      const piece = text.subarray(at, at + PIECE_BYTES)
      this.piece(piece, chain).copy(out, at)
      chain = this.chain(chain, piece)
    }
    return out
  }

  /** One piece behind those that `chain` stands for. */
  piece(text: Uint8Array, chain: Buffer): Buffer {
    const out = Buffer.from(text)
    const shape = shapeOf(out)
    const count = shape.at.length
    if (count === 0) return out
    if (count === 1) {
      this.#shuffle(out, shape, chain)
      return out
    }
    const rounds = count < SHORT ? ROUNDS_OF_SHORT : ROUNDS
    for (let round = 0; round < rounds; round += 1) this.#moveHalf(out, shape, round, chain)
    return out
  }

  /** What the next piece is moved by, beside itself. */
  chain(before: Buffer, piece: Uint8Array): Buffer {
    return this.#hmac('chain').update(before).update(piece).digest()
  }

  /** Every second byte is moved by all the others. */
  #moveHalf(out: Buffer, { at, first, radix }: Shape, round: number, chain: Buffer): void {
    const from = round % 2
    const others = Buffer.from(out)
    for (let index = from; index < at.length; index += 2) others[at[index]!] = first[index]!
    const moves = this.#stream(round, others, chain, Math.ceil((at.length - from) / 2))
    let move = 0
    for (let index = from; index < at.length; index += 2) {
      const byte = at[index]!
      const digit = out[byte]! - first[index]! + moves.readUInt16LE(move)
      out[byte] = first[index]! + (digit % radix[index]!)
      move += BYTES_FOR_DIGIT
    }
  }

  /** A single byte has no other half: its class is put in an order by the secret. */
  #shuffle(out: Buffer, { at, first, radix }: Shape, chain: Buffer): void {
    const [byte, lowest, count] = [at[0]!, first[0]!, radix[0]!]
    const digit = out[byte]! - lowest
    const others = Buffer.from(out)
    others[byte] = lowest
    const moves = this.#stream(0, others, chain, count)
    const order = Array.from({ length: count }, (_, index) => index)
    for (let index = count - 1; index > 0; index -= 1) {
      const other = moves.readUInt16LE(index * BYTES_FOR_DIGIT) % (index + 1)
      const kept = order[index]!
      order[index] = order[other]!
      order[other] = kept
    }
    out[byte] = lowest + order[digit]!
  }

  #stream(round: number, others: Buffer, chain: Buffer, digits: number): Buffer {
    const key = this.#hmac(`round ${round}`).update(chain).update(others).digest()
    const bytes = digits * BYTES_FOR_DIGIT
    if (bytes <= key.length) return key
    return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(bytes))
  }

  #hmac(purpose: string): ReturnType<typeof createHmac> {
    return createHmac('sha256', this.#secret).update(`rrep scrub, ${purpose}\0`)
  }
}
