/**
 * LZF in plain JavaScript, both ways. A compressed blob is a row of tokens:
 *
 *   000LLLLL  L+1 bytes                 literals
 *   LLLoooooo oooooooo                  copy L+2 bytes from o+1 back (L = 1…6)
 *   111ooooo LLLLLLLL oooooooo          copy L+9 bytes from o+1 back
 *
 * A copy may overlap what it writes. Window 8192, longest match 264, longest literal run 32.
 * Never reads or writes outside the given ranges, whatever the bytes say.
 */

const LONGEST_MATCH = 264
const WINDOW = 8192
const HASH_BITS = 14

/**
 * Decompresses input[start, end) into output[outStart, outStart + limit). Returns the number of
 * bytes written; -1 when the input ends inside a token or points before its own beginning; where
 * there are more than `limit` bytes: -2, or with `prefix` the first `limit` of them.
 */
export function lzfDecompressPlain(
  input: Uint8Array,
  start: number,
  end: number,
  output: Uint8Array,
  outStart: number,
  limit: number,
  prefix: boolean,
): number {
  const outEnd = outStart + limit
  let at = start
  let to = outStart
  while (at < end && !(prefix && to >= outEnd)) {
    const control = input[at]!
    at += 1
    if (control < 32) {
      const length = control + 1
      if (at + length > end) return -1
      if (to + length > outEnd && !prefix) return -2
      const stop = Math.min(to + length, outEnd)
      let from = at
      while (to < stop) {
        output[to] = input[from]!
        to += 1
        from += 1
      }
      at += length
    } else {
      let length = control >>> 5
      if (length === 7) {
        if (at >= end) return -1
        length += input[at]!
        at += 1
      }
      if (at >= end) return -1
      let from = to - (((control & 31) << 8) | input[at]!) - 1
      at += 1
      if (from < outStart) return -1
      if (to + length + 2 > outEnd && !prefix) return -2
      const stop = Math.min(to + length + 2, outEnd)
      while (to < stop) {
        output[to] = output[from]!
        to += 1
        from += 1
      }
    }
  }
  return to - outStart
}

/**
 * Compresses input[start, end) into output[outStart, outEnd). Returns the number of bytes written,
 * or 0 when it does not fit. Greedy, one candidate per hash: as the servers do it.
 */
export function lzfCompressPlain(
  input: Uint8Array,
  start: number,
  end: number,
  output: Uint8Array,
  outStart: number,
  outEnd: number,
): number {
  // Position + 1 relative to `start` of the last sequence with this hash; 0: none yet.
  const lastSeen = new Int32Array(1 << HASH_BITS)
  let at = start
  let to = outStart
  let literalStart = start
  while (at < end) {
    let length = 0
    let distance = 0
    if (at + 2 < end) {
      const sequence = (input[at]! << 16) | (input[at + 1]! << 8) | input[at + 2]!
      const slot = Math.imul(sequence, 0x9e3779b1) >>> (32 - HASH_BITS)
      const candidate = lastSeen[slot]! - 1 + start
      lastSeen[slot] = at - start + 1
      distance = at - candidate - 1
      if (candidate >= start && distance < WINDOW) {
        const most = Math.min(LONGEST_MATCH, end - at)
        while (length < most && input[candidate + length] === input[at + length]) length += 1
      }
    }
    if (length < 3) {
      at += 1
      continue
    }
    to = putLiterals(input, literalStart, at, output, to, outEnd)
    if (to < 0 || to + 3 > outEnd) return 0
    const code = length - 2
    if (code < 7) {
      output[to] = (code << 5) | (distance >>> 8)
    } else {
      output[to] = 0xe0 | (distance >>> 8)
      to += 1
      output[to] = code - 7
    }
    output[to + 1] = distance
    to += 2
    at += length
    literalStart = at
  }
  to = putLiterals(input, literalStart, end, output, to, outEnd)
  return to < 0 ? 0 : to - outStart
}

/** Returns the position behind the literal runs, or -1 when they do not fit. */
function putLiterals(
  input: Uint8Array,
  start: number,
  end: number,
  output: Uint8Array,
  to: number,
  outEnd: number,
): number {
  let at = start
  while (at < end) {
    const length = Math.min(32, end - at)
    if (to + 1 + length > outEnd) return -1
    output[to] = length - 1
    to += 1
    for (const stop = at + length; at < stop; at += 1) {
      output[to] = input[at]!
      to += 1
    }
  }
  return to
}

/** What the tokens of input[start, end) add up to, or -1. */
export function lzfLengthPlain(input: Uint8Array, start: number, end: number): number {
  let at = start
  let length = 0
  while (at < end) {
    const control = input[at]!
    if (control < 32) {
      at += control + 2
      length += control + 1
    } else {
      const more = control >= 224 ? 1 : 0
      if (at + 1 + more >= end) return -1
      const distance = (((control & 31) << 8) | input[at + 1 + more]!) + 1
      if (distance > length) return -1
      length += (control >>> 5) + 2 + (more === 1 ? input[at + 1]! : 0)
      at += 2 + more
    }
  }
  return at === end ? length : -1
}
