/**
 * 64-bit numbers without BigInt: two unsigned 32-bit halves in an object that is reused. Reading,
 * writing as decimal text and comparing allocate nothing.
 */
import type { StreamId, U64 } from '../visitor.js'

/** A U64 that can be set. */
export class MutableU64 implements U64 {
  high = 0
  low = 0

  set(high: number, low: number): void {
    this.high = high >>> 0
    this.low = low >>> 0
  }

  copyFrom(other: U64): void {
    this.high = other.high
    this.low = other.low
  }

  /** A safe, non-negative integer. */
  setNumber(value: number): void {
    this.high = Math.floor(value / 0x100000000)
    this.low = value >>> 0
  }

  /** Adds a signed number of two's complement halves, modulo 2^64. */
  add(high: number, low: number): void {
    const sum = this.low + (low >>> 0)
    this.high = (this.high + (high >>> 0) + (sum > 0xffffffff ? 1 : 0)) >>> 0
    this.low = sum >>> 0
  }
}

export class MutableStreamId implements StreamId {
  readonly ms = new MutableU64()
  readonly seq = new MutableU64()

  copyFrom(other: StreamId): void {
    this.ms.copyFrom(other.ms)
    this.seq.copyFrom(other.seq)
  }
}

/** Exact below 2^53, the nearest double above. */
export function u64ToNumber(value: U64): number {
  return value.high * 0x100000000 + value.low
}

export function u64ToBigInt(value: U64): bigint {
  return (BigInt(value.high) << 32n) | BigInt(value.low)
}

/** The same 64 bits as a signed number. */
export function u64ToSignedBigInt(value: U64): bigint {
  return BigInt.asIntN(64, u64ToBigInt(value))
}

export function isU64Max(value: U64): boolean {
  return value.high === 0xffffffff && value.low === 0xffffffff
}

/** Negative, 0 or positive, as sort wants it. */
export function compareU64(a: U64, b: U64): number {
  return a.high === b.high ? a.low - b.low : a.high - b.high
}

export function compareStreamIds(a: StreamId, b: StreamId): number {
  const byMs = compareU64(a.ms, b.ms)
  return byMs === 0 ? compareU64(a.seq, b.seq) : byMs
}

/** 0-0: the id of no entry. */
export function isZeroId(id: StreamId): boolean {
  return (id.ms.high | id.ms.low | id.seq.high | id.seq.low) === 0
}

/** Writes the unsigned decimal text (at most 20 bytes) to out[at]; returns where it ends. */
export function writeU64(value: U64, out: Uint8Array, at: number): number {
  return writeHalves(value.high, value.low, out, at)
}

/** Writes `ms-seq` (at most 41 bytes) to out[at]; returns where it ends. */
export function writeStreamId(id: StreamId, out: Uint8Array, at: number): number {
  const dash = writeU64(id.ms, out, at)
  out[dash] = 0x2d
  return writeU64(id.seq, out, dash + 1)
}

/** Signed decimal text of two's complement halves (at most 20 bytes). */
export function writeI64(high: number, low: number, out: Uint8Array, at: number): number {
  if ((high | 0) >= 0) return writeHalves(high >>> 0, low >>> 0, out, at)
  out[at] = 0x2d
  const negatedLow = (~low + 1) >>> 0
  const negatedHigh = (~high + (negatedLow === 0 ? 1 : 0)) >>> 0
  return writeHalves(negatedHigh, negatedLow, out, at + 1)
}

/** Signed decimal text of an integer that a double holds exactly. */
export function writeInteger(value: number, out: Uint8Array, at: number): number {
  let rest = value
  let to = at
  if (rest < 0) {
    out[to] = 0x2d
    to += 1
    rest = -rest
  }
  if (rest < 10) {
    out[to] = 0x30 + rest
    return to + 1
  }
  if (rest > 0xffffffff) {
    return writeHalves(Math.floor(rest / 0x100000000), rest >>> 0, out, to)
  }
  return writeU32(rest, out, to)
}

export function streamIdText(id: StreamId): string {
  return `${u64Text(id.ms)}-${u64Text(id.seq)}`
}

export function u64Text(value: U64): string {
  return value.high < 0x200000 ? String(u64ToNumber(value)) : u64ToBigInt(value).toString()
}

function writeU32(value: number, out: Uint8Array, at: number): number {
  let digits = 1
  for (let bound = 10; bound <= value && digits < 10; bound *= 10) digits += 1
  const end = at + digits
  let rest = value >>> 0
  for (let to = end - 1; to >= at; to -= 1) {
    const tenth = (rest / 10) >>> 0
    out[to] = 0x30 + rest - tenth * 10
    rest = tenth
  }
  return end
}

/** Splits into groups of 9 digits; every step stays below 2^53. */
function writeHalves(high: number, low: number, out: Uint8Array, at: number): number {
  if (high === 0) return writeU32(low, out, at)
  // value = high · 2^32 + low; 2^32 = 4 · 10^9 + 294967296.
  const highQuotient = Math.floor(high / 1e9)
  const highRest = high - highQuotient * 1e9
  // highRest · 2^32 + low < 10^9 · 2^32 + 2^32 is too wide for a double: take 16 bits at a time.
  const upper = highRest * 0x10000 + (low >>> 16)
  const upperQuotient = Math.floor(upper / 1e9)
  const lower = (upper - upperQuotient * 1e9) * 0x10000 + (low & 0xffff)
  const lowerQuotient = Math.floor(lower / 1e9)
  const nineDigits = lower - lowerQuotient * 1e9
  // quotient = value div 10^9, below 2^64 / 10^9 < 2^35.
  const quotient = highQuotient * 0x100000000 + upperQuotient * 0x10000 + lowerQuotient
  let to: number
  if (quotient > 0xffffffff) {
    const billions = Math.floor(quotient / 1e9)
    to = writePadded(quotient - billions * 1e9, out, writeU32(billions, out, at))
  } else {
    to = writeU32(quotient, out, at)
  }
  return writePadded(nineDigits, out, to)
}

/** Exactly nine digits. */
function writePadded(value: number, out: Uint8Array, at: number): number {
  let rest = value
  for (let to = at + 8; to >= at; to -= 1) {
    const tenth = (rest / 10) >>> 0
    out[to] = 0x30 + rest - tenth * 10
    rest = tenth
  }
  return at + 9
}
