/** Cuts bytes into pieces, each in memory of its own: nothing behind a piece can be read by luck. */

export function* cutEvery(bytes: Uint8Array, size: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) {
    yield Buffer.from(bytes.subarray(at, Math.min(bytes.length, at + size)))
  }
}

/** Sizes from 1 to 5000, mostly small; the same for the same seed. */
export function* cutRandomly(bytes: Uint8Array, seed: number): Generator<Buffer> {
  const random = seededRandom(seed)
  for (let at = 0; at < bytes.length;) {
    const size = 1 + Math.floor(random() ** 4 * 5000)
    yield Buffer.from(bytes.subarray(at, Math.min(bytes.length, at + size)))
    at += size
  }
}

/** Numbers from 0 to below 1 (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}
