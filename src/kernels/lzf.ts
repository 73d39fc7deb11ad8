/**
 * LZF, the compression of strings and blobs inside RDB files. Bad data is an answer here (`false`,
 * -1), not an exception: the caller knows where in the file it stands and throws with that.
 */
import { kernelOf, sharedKernel } from './kernel.js'
import { lzfCompressPlain, lzfDecompressPlain, lzfLengthPlain } from '../bytes/lzf-plain.js'

/** For shorter results a call into wasm costs more than it saves. */
const PLAIN_BELOW_BYTES = 32
/** From so many compressed bytes on `lzfLength` uses the kernel, where they are in its memory. */
const KERNEL_LENGTH_FROM_BYTES = 64
/** … and from so many on where they must be copied there first. */
const KERNEL_LENGTH_STAGED_FROM_BYTES = 512

/**
 * Decompresses input[start, end) to exactly output[outStart, outStart + outLength).
 * False when the data is bad or gives another length; `output` then holds garbage in that range.
 *
 * Fastest (2 GB/s) where both are in the memory of one ByteKernel; results of up to 256 KB to
 * elsewhere take a copy more, longer ones are made in JavaScript.
 */
export function lzfDecompress(
  input: Uint8Array,
  start: number,
  end: number,
  output: Uint8Array,
  outStart: number,
  outLength: number,
): boolean {
  return decompress(input, start, end, output, outStart, outLength, false) === outLength
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
  return decompress(input, start, end, output, outStart, wanted, true)
}

function decompress(
  input: Uint8Array,
  start: number,
  end: number,
  output: Uint8Array,
  outStart: number,
  room: number,
  prefix: boolean,
): number {
  if (room < PLAIN_BELOW_BYTES) {
    return lzfDecompressPlain(input, start, end, output, outStart, room, prefix)
  }
  const kernel = kernelOf(input) ?? sharedKernel()
  const inPlace = kernel.memory.buffer
  let from = input.byteOffset + start
  let to = output.byteOffset + outStart
  let staging = kernel.stagingAddress
  const stagingEnd = staging + kernel.stagingBytes
  if (input.buffer !== inPlace) {
    if (end - start > stagingEnd - staging) {
      return lzfDecompressPlain(input, start, end, output, outStart, room, prefix)
    }
    kernel.memory.set(input.subarray(start, end), staging)
    from = staging
    staging += end - start
  }
  const staged = output.buffer !== inPlace
  if (staged) {
    if (room > stagingEnd - staging) {
      return lzfDecompressPlain(input, start, end, output, outStart, room, prefix)
    }
    to = staging
  }
  const size = kernel.exports.lzfDecompress(from, end - start, to, room, prefix ? 1 : 0)
  if (staged && size > 0) output.set(kernel.memory.subarray(to, to + size), outStart)
  return size
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
  // An empty or negative range has room for nothing.
  if (outEnd <= outStart) return 0
  const kernel = kernelOf(input)
  if (kernel !== undefined && output.buffer === input.buffer) {
    return kernel.exports.lzfCompress(
      input.byteOffset + start,
      end - start,
      output.byteOffset + outStart,
      outEnd - outStart,
    )
  }
  const staging = sharedKernel()
  const length = end - start
  const room = Math.min(outEnd - outStart, staging.stagingBytes - length)
  if (length * 2 > staging.stagingBytes) {
    return lzfCompressPlain(input, start, end, output, outStart, outEnd)
  }
  staging.memory.set(input.subarray(start, end), staging.stagingAddress)
  const to = staging.stagingAddress + length
  const size = staging.exports.lzfCompress(staging.stagingAddress, length, to, room)
  output.set(staging.memory.subarray(to, to + size), outStart)
  return size
}

/**
 * What the tokens of input[start, end) add up to, without writing anything; -1 when the input ends
 * inside a token or points before its beginning. Reads one byte a token: fast enough to walk with.
 */
export function lzfLength(input: Uint8Array, start: number, end: number): number {
  if (end - start >= KERNEL_LENGTH_FROM_BYTES) {
    const kernel = kernelOf(input)
    if (kernel !== undefined) {
      return kernel.exports.lzfLength(input.byteOffset + start, end - start)
    }
    const staging = sharedKernel()
    if (end - start >= KERNEL_LENGTH_STAGED_FROM_BYTES && end - start <= staging.stagingBytes) {
      staging.memory.set(input.subarray(start, end), staging.stagingAddress)
      return staging.exports.lzfLength(staging.stagingAddress, end - start)
    }
  }
  return lzfLengthPlain(input, start, end)
}
