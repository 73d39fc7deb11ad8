/**
 * The bytes under the parser's cursor.
 *
 * Chunks are read in place. Only what is left unread of one is kept. It is put in front of the next
 * where that has headroom; elsewhere it is joined with the first bytes of the next until the reader
 * stands in that one, and so on. Memory follows the largest thing that has to be seen whole, and
 * grows with bytes that came, never with a length that is claimed.
 *
 * A read that finds too few bytes throws `NEED_MORE`; the caller goes back (`goBack`). A skip
 * may go beyond `end`: those bytes are dropped when they come.
 */
import { Buffer } from 'node:buffer'
import { kernelOf, type ByteKernel } from '../../kernels/kernel.js'

class NeedMoreError extends Error {}

/** Thrown without a stack of its own: one object for all. */
export const NEED_MORE: Error = new NeedMoreError('more bytes are needed')

/** Joined to what is left of a chunk at first, and at most; all else is read in place. */
const MIN_BRIDGE_BYTES = 1024
const MAX_BRIDGE_BYTES = 16384
const CARRY_BYTES = 16384
const KEEP_CARRY_BYTES = 4 << 20

const EMPTY = Buffer.alloc(0)

export class ChunkInput {
  buf: Buffer = EMPTY
  pos = 0
  end = 0
  committed = 0
  /** Offset of buf[0] from the start of the RDB; negative where old bytes have been dropped. */
  base = 0
  /** Bytes taken so far. */
  received = 0
  /** Whose memory `buf` is in, if it is that of a kernel. */
  kernel: ByteKernel | undefined = undefined

  #carry: Buffer = EMPTY
  #viewedMemory: ArrayBufferLike | undefined = undefined
  #viewedKernel: ByteKernel | undefined = undefined
  /** Bytes from `committed` on without which the step at hand cannot go on. */
  #wanted = 0

  get byteOffset(): number {
    return this.base + this.pos
  }

  /** The first byte that comes is this one. */
  startAt(byteOffset: number): void {
    this.received = byteOffset
    this.base = byteOffset
  }

  commit(): void {
    this.committed = this.pos
  }

  /**
   * Goes back to what was committed: NEED_MORE was thrown. The step is run again once there is more
   * than it has read, and never waits for a byte that it could do without: the end of the RDB may
   * come right behind what it needs.
   */
  goBack(): void {
    if (this.#wanted === 0) this.#wanted = this.pos - this.committed + 1
    this.pos = this.committed
  }

  /**
   * Lets `run` see the chunk. `run` reads until NEED_MORE (it catches that and goes back) and
   * returns false when nothing more is to be read; `suspend` is called before bytes move or go away.
   */
  feed(chunk: Buffer, run: () => boolean, suspend: () => void): void {
    const chunkBase = this.received
    this.received += chunk.length
    if (this.#prepend(chunk, chunkBase)) {
      if (!this.#runOnce(run)) return
      suspend()
      this.#keepUnread()
      return
    }
    let at = 0
    let bridge = MIN_BRIDGE_BYTES
    while (this.end > this.pos && at < chunk.length) {
      const have = this.end - this.pos
      const piece = Math.min(chunk.length - at, Math.max(bridge, this.#wanted - have))
      bridge = Math.min(MAX_BRIDGE_BYTES, 2 * bridge)
      this.#append(chunk, at, piece)
      at += piece
      if (this.end - this.pos < this.#wanted) continue
      if (!this.#runOnce(run)) return
      const unread = this.end - this.pos
      if (at < chunk.length && unread <= piece) {
        suspend()
        at -= unread
        this.#view(chunk, chunkBase, at)
        break
      }
      suspend()
    }
    if (at === chunk.length && this.buf === this.#carry) {
      this.#dropCarry()
      return
    }
    if (this.buf !== chunk) this.#view(chunk, chunkBase, at + (this.pos - this.end))
    if (this.pos < this.end && !this.#runOnce(run)) return
    suspend()
    this.#keepUnread()
  }

  /** Runs over a chunk that is all there is, and keeps nothing of it. */
  look(chunk: Buffer, run: () => boolean): void {
    this.received = chunk.length
    this.#wanted = 0
    this.#view(chunk, 0, 0)
    run()
    this.buf = EMPTY
  }

  /** The input has ended: one more try with what there is. */
  finish(run: () => boolean): void {
    this.#wanted = 0
    run()
  }

  #runOnce(run: () => boolean): boolean {
    this.#wanted = 0
    return run()
  }

  #view(chunk: Buffer, chunkBase: number, at: number): void {
    this.buf = chunk
    this.base = chunkBase
    this.pos = at
    this.committed = at
    this.end = chunk.length
    if (chunk.buffer !== this.#viewedMemory) {
      this.#viewedMemory = chunk.buffer
      this.#viewedKernel = kernelOf(chunk)
    }
    this.kernel = this.#viewedKernel
  }

  /** Puts what is unread in front of the chunk, where there is room for it and it may be enough. */
  #prepend(chunk: Buffer, chunkBase: number): boolean {
    const unread = this.end - this.pos
    if (unread < 0 || this.#wanted > unread + chunk.length) return false
    if (unread > (kernelOf(chunk)?.headroomOf(chunk) ?? 0)) return false
    let whole = chunk
    if (unread > 0) {
      whole = Buffer.from(chunk.buffer, chunk.byteOffset - unread, unread + chunk.length)
      this.buf.copy(whole, 0, this.pos, this.end)
    }
    this.#view(whole, chunkBase - unread, 0)
    return true
  }

  /** Moves what is unread of a foreign chunk into memory of our own. */
  #keepUnread(): void {
    this.kernel = undefined
    const unread = this.end - this.pos
    const base = this.base + this.pos
    if (unread > 0) {
      if (this.#carry.length < unread) {
        this.#carry = Buffer.allocUnsafeSlow(Math.max(CARRY_BYTES, unread + (unread >> 1)))
      }
      this.buf.copy(this.#carry, 0, this.pos, this.end)
      this.buf = this.#carry
      this.base = base
      this.pos = 0
      this.end = unread
    } else {
      // What was skipped beyond the end stays as a distance.
      this.base = base + unread
      this.buf = EMPTY
      this.pos = -unread
      this.end = 0
      this.#dropCarry()
    }
    this.committed = this.pos
  }

  #dropCarry(): void {
    if (this.#carry.length > KEEP_CARRY_BYTES && this.end - this.pos < KEEP_CARRY_BYTES >> 1) {
      const unread = Math.max(0, this.end - this.pos)
      const smaller = Buffer.allocUnsafeSlow(CARRY_BYTES + unread)
      if (this.buf === this.#carry && unread > 0) {
        this.#carry.copy(smaller, 0, this.pos, this.end)
        this.base += this.pos
        this.pos = 0
        this.committed = 0
        this.end = unread
        this.buf = smaller
      }
      this.#carry = smaller
    }
  }

  /** Joins chunk[at, at + count) to the unread bytes, which lie in `carry`. */
  #append(chunk: Buffer, at: number, count: number): void {
    this.kernel = undefined
    if (this.end + count > this.#carry.length) {
      const unread = this.end - this.pos
      const target =
        unread + count > this.#carry.length
          ? Buffer.allocUnsafeSlow(unread + count + ((unread + count) >> 1))
          : this.#carry
      this.#carry.copy(target, 0, this.pos, this.end)
      this.#carry = target
      this.buf = target
      this.base += this.pos
      this.pos = 0
      this.committed = 0
      this.end = unread
    }
    chunk.copy(this.#carry, this.end, at, at + count)
    this.end += count
  }

  /** Makes sure that `count` bytes from `pos` on are there. */
  need(count: number): void {
    if (this.end - this.pos < count) {
      this.#wanted = this.pos - this.committed + count
      throw NEED_MORE
    }
  }

  skip(count: number): void {
    this.pos += count
  }
}
