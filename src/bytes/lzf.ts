/**
 * LZF, the compression of strings and blobs inside RDB files. Bad data is an answer here (`false`,
 * -1), not an exception: the caller knows where in the file it stands and throws with that.
 */
import { lzfCompressPlain, lzfDecompressPlain } from './lzf-plain.js'

/** No input of n bytes expands to more than n times this: a longer claim is a lie, refuse it. */
export const LZF_MAX_EXPANSION = 88

/**
 * Decompresses input[start, end) to exactly output[outStart, outStart + outLength).
 * False when the data is bad or gives another length; `output` then holds garbage in that range.
 */
export function lzfDecompress(
  input: Uint8Array,
  start: number,
  end: number,
  output: Uint8Array,
  outStart: number,
  outLength: number,
): boolean {
  // One byte more than asked for would be noticed only with room for it, so count the input too.
  return (
    lzfLength(input, start, end) === outLength &&
    lzfDecompressPlain(input, start, end, output, outStart, outLength) === outLength
  )
}

/**
 * The first bytes only: decompresses until `wanted` bytes are in output[outStart…] or the input
 * ends. Returns how many there are, or -1 when the data is bad before that.
 */
export function lzfDecompressPrefix(
  input: Uint8Array,
  start: number,
  end: number,
  output: Uint8Array,
  outStart: number,
  wanted: number,
): number {
  return lzfDecompressPlain(input, start, end, output, outStart, wanted)
}

/**
 * Compresses input[start, end) into output[outStart, outEnd). Returns the bytes written, or 0 when
 * they do not fit: give a range 4 bytes shorter than the input, as the servers do, and store the
 * string plain when 0 comes back.
 */
export function lzfCompress(
  input: Uint8Array,
  start: number,
  end: number,
  output: Uint8Array,
  outStart: number,
  outEnd: number,
): number {
  return lzfCompressPlain(input, start, end, output, outStart, outEnd)
}

/**
 * What the tokens of input[start, end) add up to, without writing anything; -1 when the input ends
 * inside a token or points before its beginning. Reads one byte a token: fast enough to walk with.
 */
export function lzfLength(input: Uint8Array, start: number, end: number): number {
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
