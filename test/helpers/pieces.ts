/** Cuts bytes into pieces, each in memory of its own: nothing behind a piece can be read by luck. */
import { allocateInputBuffer, INPUT_HEADROOM_BYTES } from '../../src/kernels/kernel.js'

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

/**
 * Pieces of these sizes, each read into the same buffer, which has headroom. All around a piece is
 * overwritten: what was left of the one before can only come from who kept it.
 */
export function* readByTurns(bytes: Uint8Array, sizes: () => number): Generator<Buffer> {
  const room = 1 << 16
  const input = allocateInputBuffer(room)
  const around = Buffer.from(
    input.buffer,
    input.byteOffset - INPUT_HEADROOM_BYTES,
    INPUT_HEADROOM_BYTES + room,
  )
  for (let at = 0; at < bytes.length;) {
    const size = Math.min(sizes(), room, bytes.length - at)
    around.fill(0xa5)
    input.set(bytes.subarray(at, at + size))
    yield input.subarray(0, size)
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
