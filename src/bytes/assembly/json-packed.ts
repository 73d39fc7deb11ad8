/**
 * Packed values as the inside of their JSON value, a comma behind each element. Only for blobs that
 * `checkListpack` and `checkIntset` found sound. Room for 6 bytes of output for each byte of input
 * must be there, which is more than any element takes. Returns the bytes written, or -1 where
 * something takes another writer.
 */
import { stretchInexact, setInexact, writeIntegerScore, writeScoreText, writeSigned, writeText } from './text'

export const STRINGS: u32 = 0
export const PAIRS: u32 = 1
export const SCORES: u32 = 2

const QUOTE_COMMA: u16 = 0x2c22
const QUOTE_COLON: u16 = 0x3a22

export function jsonListpack(address: usize, length: usize, form: u32, output: usize): i32 {
  const stop = address + length - 1
  const inexact = stretchInexact()
  let at = address + 6
  let to = output
  // The second entry of a pair comes next.
  let second = false
  while (at < stop) {
    const code = load<u8>(at) as u32
    let size: usize
    let value: i64 = 0
    let textAt: usize = 0
    if (code < 0x80) {
      value = code as i64
      size = 1
    } else if (code < 0xc0) {
      textAt = at + 1
      size = 1 + ((code & 0x3f) as usize)
    } else if (code < 0xe0) {
      const high: i32 = (((code & 0x1f) << 8) | (load<u8>(at, 1) as u32)) << 19
      value = (high >> 19) as i64
      size = 2
    } else if (code < 0xf0) {
      textAt = at + 2
      size = 2 + ((((code & 0x0f) << 8) | (load<u8>(at, 1) as u32)) as usize)
    } else if (code == 0xf0) {
      textAt = at + 5
      size = 5 + (load<u32>(at, 1) as usize)
    } else if (code == 0xf1) {
      value = load<i16>(at, 1) as i64
      size = 3
    } else if (code == 0xf2) {
      // In one expression it would be widened before it is shifted.
      const high: i32 = load<i32>(at, 1) << 8
      value = (high >> 8) as i64
      size = 4
    } else if (code == 0xf3) {
      value = load<i32>(at, 1) as i64
      size = 5
    } else {
      value = load<i64>(at, 1)
      size = 9
    }
    const textSize = at + size - textAt
    at += size + (size < 128 ? 1 : 2)
    if (second && form == SCORES) {
      to =
        textAt == 0 ? writeIntegerScore(value, to) : writeScoreText(textAt, textSize, to)
      if (to == 0) {
        setInexact(inexact)
        return -1
      }
      store<u8>(to++, 0x2c)
      second = false
      continue
    }
    store<u8>(to++, 0x22)
    to = textAt == 0 ? writeSigned(value, to) : writeText(textAt, textSize, to)
    second = form != STRINGS && !second
    store<u16>(to, second ? QUOTE_COLON : QUOTE_COMMA)
    to += 2
  }
  return (to - output) as i32
}

export function jsonIntset(address: usize, length: usize, output: usize): i32 {
  const width = load<u32>(address)
  const stop = address + length
  let at = address + 8
  let to = output
  while (at < stop) {
    const value =
      width == 2
        ? (load<i16>(at) as i64)
        : width == 4
          ? (load<i32>(at) as i64)
          : load<i64>(at)
    at += width as usize
    store<u8>(to, 0x22)
    to = writeSigned(value, to + 1)
    store<u16>(to, QUOTE_COMMA)
    to += 2
  }
  return (to - output) as i32
}
