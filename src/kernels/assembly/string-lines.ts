/**
 * Text lines for rows of strings (rows.ts): each is a head, the key, a text that all strings of one
 * shape share, and the expiry. JS writes head and texts into the areas here; what is not plain (an
 * unknown shape, a key with a byte that must be quoted) ends the run, and is left to JS.
 */
import {
  LINE_TEXT_BYTES,
  MAX_LINE_TEXTS,
  ROW_BYTES,
  ROW_EXPIRE_AT,
  ROW_EXPIRES,
  ROW_FLAGS,
  ROW_KEY,
  ROW_KEY_BYTES,
  ROW_SHAPE,
  SHAPES,
} from '../abi'
import { ROWS } from './rows'

/** Of a shape: u16 slot + 1, or 0. */
const SLOT_OF_SHAPE: usize = memory.data(2 * SHAPES, 16)
/** Of a slot: its text, and in the last byte its length. */
const TEXTS: usize = memory.data(LINE_TEXT_BYTES * MAX_LINE_TEXTS, 16)
const HEAD: usize = memory.data(64, 16)
export const OUT_BYTES: usize = 1 << 18
/** Whole vectors are stored, so a little more than is used. */
export const OUT: usize = memory.data((1 << 18) + 64, 16)

/** Head, text and time with what stands between them. */
const MOST_BYTES: usize = 64 + 64 + 32

const KEY_FIRST: i32 = 0

const COMMA: i32 = 0x2c
const QUOTE: i32 = 0x22
const BACKSLASH: i32 = 0x5c
const SPACE: u8 = 0x20
const DASH: u8 = 0x2d
const LF: u8 = 0x0a

const DAY_MS: i64 = 86400000
/** 9999-12-31. */
const LAST_DAY: i64 = 2932896

let outEnd: usize = OUT
let dayKnown: i64 = -1
/** `2030-01-01T` of `dayKnown`, in 16 bytes. */
const DAY_TEXT: usize = memory.data(16, 16)

export function lineSlots(): usize {
  return SLOT_OF_SHAPE
}

export function lineTexts(): usize {
  return TEXTS
}

export function lineHead(): usize {
  return HEAD
}

export function linesOut(): usize {
  return OUT
}

/** Behind what the last call wrote. */
export function linesEnd(): usize {
  return outEnd
}

/**
 * Lines for the rows from `first` on, at most `last - first`. `order` 0: head, key, text, time;
 * 1: head, text, time or `-`, space, key. Returns the first row that has no line.
 */
export function writeLines(first: u32, last: u32, order: i32, headLength: usize): u32 {
  let row = first
  let out = OUT
  const stop = OUT + OUT_BYTES
  while (row < last) {
    const at = ROWS + (row as usize) * (ROW_BYTES as usize)
    const keyLength = load<u32>(at, ROW_KEY_BYTES) as usize
    const shape = load<u32>(at, ROW_SHAPE)
    if (shape >= (SHAPES as u32) || out + keyLength + MOST_BYTES > stop) break
    const slot = load<u16>(SLOT_OF_SHAPE + ((shape as usize) << 1)) as usize
    if (slot == 0) break
    const text = TEXTS + (slot - 1) * (LINE_TEXT_BYTES as usize)
    const textLength = load<u8>(text, LINE_TEXT_BYTES - 1) as usize
    const expires = (load<u32>(at, ROW_FLAGS) & ROW_EXPIRES) != 0
    let to = out
    v128.store(to, v128.load(HEAD))
    to += headLength
    if (order == KEY_FIRST) {
      if (!copyPlain(load<u32>(at, ROW_KEY) as usize, keyLength, to)) break
      to += keyLength
      copyText(text, textLength, to)
      to += textLength
      if (expires) {
        to = putTime(load<f64>(at, ROW_EXPIRE_AT), to)
        if (to == 0) break
      }
    } else {
      copyText(text, textLength, to)
      to += textLength
      if (expires) {
        to = putTime(load<f64>(at, ROW_EXPIRE_AT), to)
        if (to == 0) break
      } else {
        store<u8>(to, DASH)
        to++
      }
      store<u8>(to, SPACE)
      to++
      if (!copyPlain(load<u32>(at, ROW_KEY) as usize, keyLength, to)) break
      to += keyLength
    }
    store<u8>(to, LF)
    out = to + 1
    row++
  }
  outEnd = out
  return row
}

@inline
function copyText(from: usize, length: usize, to: usize): void {
  v128.store(to, v128.load(from))
  if (length > 16) {
    v128.store(to, v128.load(from, 16), 16)
    if (length > 32) {
      v128.store(to, v128.load(from, 32), 32)
      v128.store(to, v128.load(from, 48), 48)
    }
  }
}

/**
 * Copies printable ASCII without comma, quote and backslash; false at anything else, at nothing at
 * all, and at a first byte with which a formula begins. Writes up to 16 bytes more.
 */
@inline
function copyPlain(from: usize, length: usize, to: usize): bool {
  if (length == 0) return false
  const lead = load<u8>(from) as i32
  if (lead == 0x3d || lead == 0x2b || lead == 0x2d || lead == 0x40) return false
  const lowest = i8x16.splat(0x21)
  const highest = i8x16.splat(0x7e)
  let at: usize = 0
  while (at < length) {
    const bytes = v128.load(from + at)
    v128.store(to + at, bytes)
    let bad = v128.or(
      v128.or(i8x16.lt_u(bytes, lowest), i8x16.gt_u(bytes, highest)),
      v128.or(
        i8x16.eq(bytes, i8x16.splat(COMMA as i8)),
        v128.or(
          i8x16.eq(bytes, i8x16.splat(QUOTE as i8)),
          i8x16.eq(bytes, i8x16.splat(BACKSLASH as i8)),
        ),
      ),
    )
    let mask = i8x16.bitmask(bad) as u32
    const left = length - at
    if (left < 16) mask &= ((1 as u32) << (left as u32)) - 1
    if (mask != 0) return false
    at += 16
  }
  return true
}

/** `2030-01-01T00:00:00.000Z`; 0 for years before 1970 or after 9999. */
function putTime(unixMs: f64, to: usize): usize {
  const ms = unixMs as i64
  if (ms < 0) return 0
  const day = ms / DAY_MS
  if (day > LAST_DAY) return 0
  if (day != dayKnown) {
    putDate(day as i32)
    dayKnown = day
  }
  v128.store(to, v128.load(DAY_TEXT))
  const rest = (ms - day * DAY_MS) as u32
  const seconds = rest / 1000
  const minutes = seconds / 60
  const hours = minutes / 60
  putTwo(hours, to + 11)
  store<u8>(to, 0x3a, 13)
  putTwo(minutes - hours * 60, to + 14)
  store<u8>(to, 0x3a, 16)
  putTwo(seconds - minutes * 60, to + 17)
  store<u8>(to, 0x2e, 19)
  const thousandths = rest - seconds * 1000
  store<u8>(to, 0x30 + ((thousandths / 100) as u8), 20)
  putTwo(thousandths % 100, to + 21)
  store<u8>(to, 0x5a, 23)
  return to + 24
}

/** The civil date from days, counted in eras of 400 years from 0000-03-01. */
function putDate(days: i32): void {
  const shifted = days + 719468
  const era = shifted / 146097
  const dayOfEra = shifted - era * 146097
  const yearOfEra =
    (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146096) / 365
  const dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
  const shiftedMonth = (5 * dayOfYear + 2) / 153
  const day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
  const month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
  const year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
  putTwo((year / 100) as u32, DAY_TEXT)
  putTwo((year % 100) as u32, DAY_TEXT + 2)
  store<u8>(DAY_TEXT, 0x2d, 4)
  putTwo(month as u32, DAY_TEXT + 5)
  store<u8>(DAY_TEXT, 0x2d, 7)
  putTwo(day as u32, DAY_TEXT + 8)
  store<u8>(DAY_TEXT, 0x54, 10)
}

@inline
function putTwo(value: u32, to: usize): void {
  const tens = value / 10
  store<u8>(to, (0x30 + tens) as u8)
  store<u8>(to, (0x30 + value - tens * 10) as u8, 1)
}
