/**
 * What the allocator hands out for a request: jemalloc's size classes, 8, 16, then every 16 bytes
 * to 128, then four steps to each doubling. Servers ship with jemalloc on Linux; with another
 * allocator the figures are a little off.
 */

const TABLE_BYTES = 16384
const TABLE = new Uint16Array((TABLE_BYTES >>> 3) + 1)

for (let slot = 1; slot < TABLE.length; slot += 1) TABLE[slot] = compute(slot << 3)

/** Usable bytes of an allocation of `bytes` (a whole number above 0). */
export function allocated(bytes: number): number {
  return bytes <= TABLE_BYTES ? TABLE[(bytes + 7) >>> 3]! : compute(bytes)
}

function compute(bytes: number): number {
  if (bytes <= 8) return 8
  if (bytes <= 128) return Math.ceil(bytes / 16) * 16
  // The smallest power of two that holds it, and a quarter of the one below it as the step.
  const power = 2 ** Math.ceil(Math.log2(bytes))
  const step = power / 8
  return Math.ceil(bytes / step) * step
}
