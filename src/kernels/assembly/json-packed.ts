/**
 * Packed values as the inside of their JSON value, a comma behind each element. Only for blobs that
 * `checkListpack` and `checkIntset` found sound. Room for 6 bytes of output for each byte of input
 * must be there, which is more than any element takes. Returns the bytes written, or -1 where
 * something takes another writer.
 */
import { ELEMENTS_SCORES, ELEMENTS_STRINGS } from '../abi'
import { member, number, readEntry, textAt, textSize } from './entries'
import { stretchInexact, setInexact, writeIntegerScore, writeScoreText, writeSigned, writeText } from './text'

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
    at = readEntry(at)
    if (second && form == ELEMENTS_SCORES) {
      to =
        textAt == 0 ? writeIntegerScore(number, to) : writeScoreText(textAt, textSize, to)
      if (to == 0) {
        setInexact(inexact)
        return -1
      }
      store<u8>(to++, 0x2c)
      second = false
      continue
    }
    store<u8>(to++, 0x22)
    to = textAt == 0 ? writeSigned(number, to) : writeText(textAt, textSize, to)
    second = form != ELEMENTS_STRINGS && !second
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
    const value = member(at, width as usize)
    at += width as usize
    store<u8>(to, 0x22)
    to = writeSigned(value, to + 1)
    store<u16>(to, QUOTE_COMMA)
    to += 2
  }
  return (to - output) as i32
}
