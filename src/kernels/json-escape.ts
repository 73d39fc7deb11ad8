/**
 * Bytes to the inside of a JSON string, and to base64, written to an output buffer. Both buffers
 * in the memory of one ByteKernel: a single call, in place; else by way of JavaScript's own means.
 */
import { Buffer } from 'node:buffer'
import { KERNEL_SLACK_BYTES, kernelOf } from './kernel.js'

/** The room `jsonEscape` must be given for so many bytes: the longest escape is 6 for 1. */
export function jsonEscapeRoom(lengthBytes: number): number {
  return 6 * lengthBytes + KERNEL_SLACK_BYTES
}

/** The room `base64Encode` must be given for so many bytes. */
export function base64Room(lengthBytes: number): number {
  return 4 * Math.ceil(lengthBytes / 3)
}

/**
 * Writes what JSON.stringify makes of input[start, end) read as UTF-8, without its quotes; each
 * maximal ill-formed piece becomes one U+FFFD. Writes to output[outStart…], where `jsonEscapeRoom`
 * bytes must be free (those behind the result may be overwritten). Returns the end of the result.
 */
export function jsonEscape(
  input: Uint8Array,
  start: number,
  end: number,
  output: Uint8Array,
  outStart: number,
): number {
  const kernel = kernelOf(output)
  if (kernel !== undefined) {
    let address = input.byteOffset + start
    if (input.buffer !== output.buffer) {
      if (end - start > kernel.stagingBytes) return escapePlain(input, start, end, output, outStart)
      kernel.memory.set(input.subarray(start, end), kernel.stagingAddress)
      address = kernel.stagingAddress
    }
    return outStart + kernel.exports.jsonEscape(address, end - start, output.byteOffset + outStart)
  }
  return escapePlain(input, start, end, output, outStart)
}

/** Writes standard base64 with padding. Returns the end of the result in `output`. */
export function base64Encode(
  input: Uint8Array,
  start: number,
  end: number,
  output: Uint8Array,
  outStart: number,
): number {
  const kernel = kernelOf(output)
  if (kernel !== undefined && input.buffer === output.buffer) {
    const address = input.byteOffset + start
    return (
      outStart + kernel.exports.base64Encode(address, end - start, output.byteOffset + outStart)
    )
  }
  return (
    outStart +
    asBuffer(output).latin1Write(asBuffer(input).toString('base64', start, end), outStart)
  )
}

function escapePlain(
  input: Uint8Array,
  start: number,
  end: number,
  output: Uint8Array,
  outStart: number,
): number {
  const quoted = JSON.stringify(asBuffer(input).toString('utf8', start, end))
  return outStart + asBuffer(output).utf8Write(quoted.slice(1, -1), outStart)
}

function asBuffer(bytes: Uint8Array): BufferWithWriters {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length) as BufferWithWriters
}

/** In every Node, but not in its types. */
interface BufferWithWriters extends Buffer {
  latin1Write(text: string, at: number): number
  utf8Write(text: string, at: number): number
}
