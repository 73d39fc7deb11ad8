/**
 * Digests of values that depend on the value alone, for src/analyze/value-digest.ts: two lanes of 64
 * bits each, under a secret of the run. Whoever does not know the secret cannot prepare values that
 * collide, and by chance two lanes do so once in 2^128.
 *
 * A lane takes in one 64-bit word after the other, each with two multiplications by secret odd
 * numbers and a half turn between them: a permutation for every word, so that values that differ in
 * one word only never collide. The second lane takes the words turned, so that what differs in the
 * highest bits of the one, which a multiplication spreads least, is in the middle of the other.
 * Strings are their length, by which the lanes are set apart, and their words, the last of which has
 * 0 to 7 bytes and is filled up with zeros.
 *
 * Lanes that differ in the last word only have one of a few differences, which sums would add up to
 * nothing now and then: {a1, b2} and {a2, b1}. So what is added up is scattered first.
 */
import {
  DIGEST_BUCKETS,
  DIGEST_COUNTERS,
  DIGEST_DB,
  DIGEST_EXPIRE_AT,
  DIGEST_FIELD_EXPIRY,
  DIGEST_HAS_COUNTERS,
  DIGEST_KIND,
  DIGEST_NAME,
  DIGEST_NAME_BYTES,
  DIGEST_VALUE,
  SUM_BYTES,
  SUM_FIRST,
  SUM_KEYS,
  SUM_NAME_BYTES,
  SUM_SECOND,
} from '../abi'

/** What the lanes start with, and what they are multiplied by. */
let startA: u64 = 0
let startB: u64 = 0
let mulA1: u64 = 1
let mulA2: u64 = 1
let mulB1: u64 = 1
let mulB2: u64 = 1
/** What small numbers are multiplied by: lengths, dbs, kinds. */
let apartA: u64 = 1
let apartB: u64 = 1
const TURN: u64 = 29

/** The lanes at hand. */
let laneA: u64 = 0
let laneB: u64 = 0

/** Of db and name of the key at hand, and of its value. */
let nameA: u64 = 0
let nameB: u64 = 0
let valueA: u64 = 0
let valueB: u64 = 0
/** Of the expiries of its fields, and of a stream's counters: what older versions do not store. */
let fieldTimes: u64 = 0
let counters: u64 = 0

/** A string in parts: bytes that make no word yet, and how many. */
let carry: u64 = 0
let carried: u64 = 0

const BUCKET_MASK: u64 = DIGEST_BUCKETS - 1

/** Lanes put aside, two u64 each. */
const KEPT: usize = memory.data(16 << 2, 16)

/** 64 random bytes, the same for all that is to be compared. */
export function digestSecret(address: usize): void {
  startA = load<u64>(address)
  startB = load<u64>(address, 8)
  mulA1 = load<u64>(address, 16) | 1
  mulA2 = load<u64>(address, 24) | 1
  mulB1 = load<u64>(address, 32) | 1
  mulB2 = load<u64>(address, 40) | 1
  apartA = load<u64>(address, 48) | 1
  apartB = load<u64>(address, 56) | 1
}

@inline
function stepA(lane: u64, word: u64): u64 {
  return rotl<u64>((lane ^ word) * mulA1, 32) * mulA2
}

@inline
function stepB(lane: u64, word: u64): u64 {
  return rotl<u64>((lane ^ rotl<u64>(word, TURN)) * mulB1, 32) * mulB2
}

/** A permutation after which no difference is likelier than another. */
@inline
function scatter(lane: u64, first: u64, second: u64): u64 {
  let bits = (lane ^ (lane >> 32)) * first
  bits = (bits ^ (bits >> 29)) * second
  return bits ^ (bits >> 32)
}

/** The first `size` bytes, 0 to 7, of what is there. */
@inline
function firstBytes(at: usize, size: usize): u64 {
  return load<u64>(at) & (((1 as u64) << ((size as u64) << 3)) - 1)
}

export function digestBegin(): void {
  laneA = startA
  laneB = startB
}

/** Takes in a string. Reads up to 8 bytes behind it. */
export function digestString(from: usize, size: usize): void {
  let a = laneA ^ ((size as u64) * apartA)
  let b = laneB ^ ((size as u64) * apartB)
  let at = from
  const stop = from + (size & ~7)
  while (at < stop) {
    const word = load<u64>(at)
    a = stepA(a, word)
    b = stepB(b, word)
    at += 8
  }
  const word = firstBytes(at, size & 7)
  laneA = stepA(a, word)
  laneB = stepB(b, word)
}

/** The same for a string in parts: its length, any number of parts, then `digestPartsEnd`. */
export function digestPartsBegin(size: f64): void {
  laneA ^= (size as u64) * apartA
  laneB ^= (size as u64) * apartB
  carry = 0
  carried = 0
}

export function digestPart(from: usize, size: usize): void {
  let at = from
  const end = from + size
  while (carried != 0 && at < end) {
    carry |= (load<u8>(at) as u64) << (carried << 3)
    carried++
    at++
    if (carried == 8) takeCarry()
  }
  let a = laneA
  let b = laneB
  while (at + 8 <= end) {
    const word = load<u64>(at)
    a = stepA(a, word)
    b = stepB(b, word)
    at += 8
  }
  laneA = a
  laneB = b
  if (at < end) {
    carry = firstBytes(at, end - at)
    carried = (end - at) as u64
  }
}

export function digestPartsEnd(): void {
  takeCarry()
}

function takeCarry(): void {
  digestWord(carry)
  carry = 0
  carried = 0
}

@inline
export function digestWord(word: u64): void {
  laneA = stepA(laneA, word)
  laneB = stepB(laneB, word)
}

/** In two halves, as JS has them. */
export function digestHalves(high: u32, low: u32): void {
  digestWord(((high as u64) << 32) | (low as u64))
}

export function digestNumber(value: f64): void {
  digestWord(reinterpret<u64>(value))
}

/** Puts the lanes aside, to be taken in by `digestKept`. */
export function digestKeep(slot: usize): void {
  store<u64>(KEPT + (slot << 4), laneA)
  store<u64>(KEPT + (slot << 4), laneB, 8)
}

export function digestKept(slot: usize): void {
  digestWord(load<u64>(KEPT + (slot << 4)))
  digestWord(load<u64>(KEPT + (slot << 4), 8))
}

// The lanes at hand become part of the value at hand: in any order, or in this one.

@inline
export function digestAdd(): void {
  valueA += scatter(laneA, mulA2, mulA1)
  valueB += scatter(laneB, mulB2, mulB1)
}

@inline
export function digestChain(): void {
  valueA = stepA(valueA, scatter(laneA, mulA2, mulA1))
  valueB = stepB(valueB, scatter(laneB, mulB2, mulB1))
}

export function digestAddTime(): void {
  fieldTimes += scatter(laneA, mulA2, mulA1)
}

export function digestAddCounters(): void {
  counters += scatter(laneA, mulA2, mulA1)
}

/** Begins with a key. Returns its bucket. */
export function digestKey(key: usize, size: usize, dbnum: u32): u32 {
  digestBegin()
  digestString(key, size)
  return digestKeyEnd(dbnum)
}

/** The same where the name has been taken in, in parts. */
export function digestKeyEnd(dbnum: u32): u32 {
  nameA = laneA + (dbnum as u64) * apartA
  nameB = laneB + (dbnum as u64) * apartB
  valueA = 0
  valueB = 0
  fieldTimes = 0
  counters = 0
  return (nameA & BUCKET_MASK) as u32
}

/** Ends with the key: adds all that is known of it to the sums of its bucket. */
export function digestSum(sums: usize, kind: u32, expireAtMs: f64, nameBytes: f64): void {
  // Per lane, so that both have all of a value's bits, and tied to the name.
  laneA = stepA(nameA, valueA + (kind as u64) * apartA)
  laneB = stepB(nameB, valueB + (kind as u64) * apartB)
  digestWord(reinterpret<u64>(expireAtMs))
  if ((fieldTimes | counters) != 0) {
    digestWord(fieldTimes)
    digestWord(counters)
  }
  const at = sums + ((nameA & BUCKET_MASK) as usize) * (SUM_BYTES as usize)
  store<u64>(at, load<u64>(at, SUM_FIRST) + scatter(laneA, mulA2, mulA1), SUM_FIRST)
  store<u64>(at, load<u64>(at, SUM_SECOND) + scatter(laneB, mulB2, mulB1), SUM_SECOND)
  store<f64>(at, load<f64>(at, SUM_KEYS) + 1, SUM_KEYS)
  store<f64>(at, load<f64>(at, SUM_NAME_BYTES) + nameBytes, SUM_NAME_BYTES)
}

/** Ends with the key: writes all that is known of it as ../abi.ts has it. */
export function digestRecord(
  output: usize,
  dbnum: u32,
  nameBytes: u32,
  kind: u32,
  hasCounters: u32,
  expireAtMs: f64,
): void {
  store<u32>(output, dbnum, DIGEST_DB)
  store<u32>(output, nameBytes, DIGEST_NAME_BYTES)
  store<u32>(output, kind, DIGEST_KIND)
  store<u32>(output, hasCounters, DIGEST_HAS_COUNTERS)
  store<f64>(output, expireAtMs, DIGEST_EXPIRE_AT)
  store<u64>(output, fieldTimes, DIGEST_FIELD_EXPIRY)
  store<u64>(output, counters, DIGEST_COUNTERS)
  store<u64>(output, valueA, DIGEST_VALUE)
  store<u64>(output, valueB, DIGEST_VALUE + 8)
  store<u64>(output, nameA, DIGEST_NAME)
}
