/**
 * Looks through what one shard sends, as it comes, for slots that arrive: then the others are asked at
 * once where they are. It looks for the words only: one that stands in a value costs a question, and what
 * it does not see is asked for when it is played.
 */
import { Buffer } from 'node:buffer'
import type { StreamSpool } from '../live/stream-spool.js'
import type { Barriers } from './barriers.js'

const WORDS = ['RESTORE-ASKING', 'SYNCSLOTS'].map((word) => Buffer.from(word))
const LONGEST = Math.max(...WORDS.map(({ length }) => length))
const READ_BYTES = 256 << 10

export class Arrivals {
  readonly #spool: StreamSpool
  readonly #barriers: Barriers
  /** The end of what came before, and the begin of what comes now: a word may lie in both. */
  readonly #seam = Buffer.alloc(2 * LONGEST)
  #seamLength = 0

  constructor(spool: StreamSpool, barriers: Barriers) {
    this.#spool = spool
    this.#barriers = barriers
  }

  /** The stream begins with the next byte that comes. */
  begin(): void {
    this.#barriers.forget()
    this.#seamLength = 0
  }

  /** What lies in the spool from there on and was not asked for is looked at first. */
  goOn(replOffset: number): void {
    this.#seamLength = 0
    const buffer = Buffer.allocUnsafe(READ_BYTES)
    for (let at = Math.max(replOffset, this.#barriers.known - LONGEST); ;) {
      const count = this.#spool.read(at, buffer)
      if (count === 0) return
      at += count
      this.#look(buffer, 0, count, at)
    }
  }

  /** Called when they are in the spool. */
  received(bytes: Buffer, start: number, end: number): void {
    this.#look(bytes, start, end, this.#spool.nextReplOffset)
  }

  #look(bytes: Buffer, start: number, end: number, nextReplOffset: number): void {
    const seam = this.#seam
    const length = this.#seamLength
    const more = Math.min(end - start, LONGEST - 1)
    bytes.copy(seam, length, start, start + more)
    const both = length + more
    if (has(seam, 0, both) || has(bytes, start, end)) this.#barriers.arrived(nextReplOffset)
    const kept = Math.min(LONGEST - 1, length + end - start)
    if (end - start >= kept) bytes.copy(seam, 0, end - kept, end)
    else seam.copyWithin(0, both - kept, both)
    this.#seamLength = kept
  }
}

function has(bytes: Buffer, start: number, end: number): boolean {
  const part = bytes.subarray(start, end)
  return WORDS.some((word) => part.includes(word))
}
