/** xxHash32 with seed 0, streaming: the checksum of LZ4 frames. */

const P1 = 0x9e3779b1
const P2 = 0x85ebca77
const P3 = 0xc2b2ae3d
const P4 = 0x27d4eb2f
const P5 = 0x165667b1
const STRIPE_BYTES = 16

export class XxHash32 {
  readonly #lanes = Int32Array.of(P1 + P2, P2, 0, -P1)
  readonly #held = new Uint8Array(STRIPE_BYTES)
  #heldBytes = 0
  #total = 0

  update(bytes: Uint8Array, start = 0, end = bytes.length): void {
    this.#total += end - start
    let at = start
    if (this.#heldBytes > 0) {
      const more = Math.min(STRIPE_BYTES - this.#heldBytes, end - at)
      this.#held.set(bytes.subarray(at, at + more), this.#heldBytes)
      this.#heldBytes += more
      at += more
      if (this.#heldBytes < STRIPE_BYTES) return
      this.#stripe(this.#held, 0)
      this.#heldBytes = 0
    }
    for (; at + STRIPE_BYTES <= end; at += STRIPE_BYTES) this.#stripe(bytes, at)
    this.#held.set(bytes.subarray(at, end))
    this.#heldBytes = end - at
  }

  #stripe(bytes: Uint8Array, at: number): void {
    const lanes = this.#lanes
    for (let lane = 0; lane < 4; lane += 1) {
      const mixed = (lanes[lane]! + Math.imul(u32le(bytes, at + lane * 4), P2)) | 0
      lanes[lane] = Math.imul(rotate(mixed, 13), P1)
    }
  }

  /** The hash so far, unsigned. */
  get value(): number {
    const lanes = this.#lanes
    const held = this.#held
    let hash =
      this.#total >= STRIPE_BYTES
        ? rotate(lanes[0]!, 1) +
          rotate(lanes[1]!, 7) +
          rotate(lanes[2]!, 12) +
          rotate(lanes[3]!, 18)
        : P5
    hash = (hash + this.#total) | 0
    let at = 0
    for (; at + 4 <= this.#heldBytes; at += 4) {
      hash = Math.imul(rotate((hash + Math.imul(u32le(held, at), P3)) | 0, 17), P4)
    }
    for (; at < this.#heldBytes; at += 1) {
      hash = Math.imul(rotate((hash + Math.imul(held[at]!, P5)) | 0, 11), P1)
    }
    hash = Math.imul(hash ^ (hash >>> 15), P2)
    hash = Math.imul(hash ^ (hash >>> 13), P3)
    return (hash ^ (hash >>> 16)) >>> 0
  }
}

export function xxHash32(bytes: Uint8Array, start = 0, end = bytes.length): number {
  const hash = new XxHash32()
  hash.update(bytes, start, end)
  return hash.value
}

function rotate(value: number, bits: number): number {
  return (value << bits) | (value >>> (32 - bits))
}

function u32le(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)
}
