/**
 * LZF piece by piece: what is decompressed is handed out as it comes, and only the 8 KB that later
 * tokens may point back to are kept, however long the whole is (see lzf-plain.ts for the tokens).
 *
 *   window.begin()
 *   const taken = window.decode(input, start, end)   // whole tokens; -1: bad data
 *   … window.bytes[window.start, window.end) is new
 */
import { Buffer } from 'node:buffer'

const WINDOW_BYTES = 8192
const PIECE_BYTES = 1 << 16
const LONGEST_TOKEN_OUTPUT = 264

export class LzfWindow {
  readonly bytes = Buffer.allocUnsafeSlow(WINDOW_BYTES + PIECE_BYTES + LONGEST_TOKEN_OUTPUT)
  /** What the last `decode` gave. */
  start = 0
  end = 0

  begin(): void {
    this.start = 0
    this.end = 0
  }

  /**
   * Decompresses whole tokens of input[start, end), as many as give a piece; returns how many bytes
   * of the input they take: 0 if not even one token is whole. -1: it points before its beginning.
   */
  decode(input: Uint8Array, start: number, end: number): number {
    this.#makeRoom()
    const { bytes } = this
    const stop = WINDOW_BYTES + PIECE_BYTES
    let at = start
    let to = this.end
    while (at < end && to < stop) {
      const control = input[at]!
      const bodyAt = at + 1
      if (control < 32) {
        const next = bodyAt + control + 1
        if (next > end) break
        for (let from = bodyAt; from < next; from += 1) bytes[to++] = input[from]!
        at = next
        continue
      }
      const isLong = control >>> 5 === 7
      const next = bodyAt + (isLong ? 2 : 1)
      if (next > end) break
      const length = (isLong ? 7 + input[bodyAt]! : control >>> 5) + 2
      let from = to - (((control & 31) << 8) | input[next - 1]!) - 1
      if (from < 0) return -1
      for (const until = to + length; to < until; from += 1) bytes[to++] = bytes[from]!
      at = next
    }
    this.end = to
    return at - start
  }

  /** Keeps only what may be pointed back to. */
  #makeRoom(): void {
    if (this.end > WINDOW_BYTES) {
      this.bytes.copyWithin(0, this.end - WINDOW_BYTES, this.end)
      this.end = WINDOW_BYTES
    }
    this.start = this.end
  }
}
