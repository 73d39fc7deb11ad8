/**
 * How often a pending entry of a stream was delivered: a small number, or, since XNACK FATAL of
 * Redis 8.8, the largest there is (2^63 - 1). As a number that is 2^63; nothing real is in between.
 */
export const LARGEST_DELIVERY_COUNT = '9223372036854775807'

export function isLargestCount(count: number): boolean {
  return count > Number.MAX_SAFE_INTEGER
}

export function deliveryCountText(count: number): string {
  return isLargestCount(count) ? LARGEST_DELIVERY_COUNT : String(count)
}
