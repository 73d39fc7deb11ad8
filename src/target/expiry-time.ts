/**
 * Times in commands of a stream: relative ones become absolute by the time at which they were
 * received, and while a load is behind its source all of them can be moved far into the future.
 *
 * Why: a key whose time runs out while the target is still behind would vanish there before the
 * command that renews it arrives, and that command (PEXPIREAT, INCR … on a key that is gone) does
 * then something else than on the source. As for a replica, it is the stream that says when a key
 * goes. Adding one constant to all times keeps their order, so that GT, LT, KEEPTTL, COPY and
 * RENAME do what they should; at the end it is taken off again (`ttl-shift.ts`). Valkey's
 * import-mode does the same inside the server; with it nothing is moved.
 */

/** 2^45 ms is the year 3084: above every time in use, and twice of it still fits a hash field's. */
export const TTL_SHIFT_MS = 2 ** 45

/** Highest expiry that HPEXPIREAT takes (redis 8.6: refused from 2^46 on). */
const MAX_FIELD_EXPIRY_MS = 2 ** 46 - 1

export function shiftedFieldMs(expireAtMs: number, shiftMs: number): number {
  const moved = expireAtMs + shiftMs
  // A time that cannot be moved is beyond any load anyway.
  return moved > MAX_FIELD_EXPIRY_MS ? expireAtMs : moved
}
