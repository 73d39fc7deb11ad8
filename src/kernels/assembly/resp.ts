/** Arguments of commands as RESP bulks. All may write up to 16 bytes behind what they return. */
import { digits } from './format'
import { copy, digitsOf, writeSigned, writeUnsigned } from './text'

export const CRLF: u16 = 0x0a0d

/** The line of a bulk's length. */
@inline
export function writeLength(size: usize, to: usize): usize {
  if (size < 10) {
    store<u32>(to, 0x0a0d0024 | ((0x30 + (size as u32)) << 8))
    return to + 4
  }
  if (size < 100) {
    const tens = (size as u32) / 10
    const ones = (size as u32) - 10 * tens
    store<u32>(to, 0x0d000024 | ((0x30 + tens) << 8) | ((0x30 + ones) << 16))
    store<u8>(to, 0x0a, 4)
    return to + 5
  }
  return writeLongLength(size, to)
}

function writeLongLength(size: usize, position: usize): usize {
  store<u8>(position, 0x24)
  const to = writeUnsigned(size as u64, position + 1)
  store<u16>(to, CRLF)
  return to + 2
}

@inline
export function writeBulk(from: usize, size: usize, position: usize): usize {
  const to = copy(from, size, writeLength(size, position))
  store<u16>(to, CRLF)
  return to + 2
}

@inline
export function writeNumber(value: u64, position: usize): usize {
  const to = writeUnsigned(value, writeLength(digitsOf(value) as usize, position))
  store<u16>(to, CRLF)
  return to + 2
}

export function writeInteger(value: i64, position: usize): usize {
  const to = writeSigned(value, writeLength(digits(value) as usize, position))
  store<u16>(to, CRLF)
  return to + 2
}
