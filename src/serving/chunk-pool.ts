/**
 * The buffers through which snapshots and files go to the replicas: lent for one read and one
 * write each, and together bounded.
 *
 * Small ones are for everybody, a few large ones for those who have shown that they read. So
 * hundreds that take nothing hold little, and none waits for another.
 */

const SMALL_BYTES = 32 << 10
const LARGE_BYTES = 512 << 10
const MAX_LARGE = 32
/** Small ones kept for the next who needs one. */
const MAX_FREE_SMALL = 128

export class ChunkPool {
  readonly #freeSmall: Buffer[] = []
  readonly #freeLarge: Buffer[] = []
  /** Lent at the moment. */
  #large = 0

  /** What is in it is of whoever had it before. */
  take(wantsLarge: boolean): Buffer {
    if (!wantsLarge || this.#large === MAX_LARGE) {
      return this.#freeSmall.pop() ?? Buffer.allocUnsafeSlow(SMALL_BYTES)
    }
    this.#large += 1
    return this.#freeLarge.pop() ?? Buffer.allocUnsafeSlow(LARGE_BYTES)
  }

  /** `isTaken` false: the socket may still read from it, so nobody else gets it. */
  giveBack(chunk: Buffer, isTaken: boolean): void {
    const isLarge = chunk.length === LARGE_BYTES
    if (isLarge) this.#large -= 1
    if (!isTaken) return
    if (isLarge) this.#freeLarge.push(chunk)
    else if (this.#freeSmall.length < MAX_FREE_SMALL) this.#freeSmall.push(chunk)
  }
}
