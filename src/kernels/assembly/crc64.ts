/**
 * CRC-64 "Jones" (reflected, start 0, no final xor) over bytes in this module's memory.
 *
 * Large blocks are folded. The polynomial P divides
 *
 *   G(x) = 1 + x^71 + x^320 + x^375 + x^439 + x^494 + x^992 + x^1055 + x^1145
 *
 * (a test checks that). Over GF(2) squaring only doubles exponents, so P also divides G(x)^128, the
 * same sum with all exponents times 128: a step of 1 is then a whole 16-byte vector. Adding a
 * multiple of P never changes the remainder; adding G^128, shifted so that its leading term meets a
 * vector, clears that vector and xors it into the vectors 1145 - e further on. Read the other way:
 *
 *   out[i] = in[i] ^ out[i-90] ^ out[i-153] ^ out[i-651] ^ out[i-706]
 *                  ^ out[i-770] ^ out[i-825] ^ out[i-1074] ^ out[i-1145]
 *
 * No tables, no dependence on the 89 vectors before. The outputs live in a ring of 1145 vectors
 * (18 KB: first-level cache), so the slot to be written is the one 1145 back. What has been pushed
 * into the last 1145 vectors goes through slicing by 8, which also serves shorter blocks: in four
 * chains side by side, each over every fourth word, so that none waits for the tables of another.
 */

/** The polynomial with its bits reflected. */
const POLYNOMIAL: u64 = 0x95ac9329ac4bc9b5

const FOLD_VECTORS: usize = 1145
const FOLD_BYTES: usize = FOLD_VECTORS << 4
/** Folding pays from here on; it needs FOLD_BYTES at least. */
const FOLD_FROM_BYTES: usize = 128 << 10
/** From here on four chains of 8 bytes side by side pay. */
const BRAID_FROM_BYTES: usize = 128

/** 8 tables of 256 registers: table k, entry b is byte b with k zero bytes behind it. */
const TABLES: usize = memory.data(8 * 256 * 8, 16)
/** The same with 24 more: for the first of four words. */
const BRAIDS: usize = memory.data(8 * 256 * 8, 16)
const RING: usize = memory.data(1145 * 16, 16)
const RING_END: usize = RING + FOLD_BYTES
const REST: usize = memory.data(1145 * 16, 16)

/** Upper half of the last result: a call returns the lower one, so that no BigInt is made. */
let resultHigh: u32 = 0

export function crc64High(): u32 {
  return resultHigh
}

/** Fills the tables. To be called once before anything else. */
export function crc64Init(): void {
  for (let byte: u32 = 0; byte < 256; byte++) {
    let register: u64 = byte
    for (let bit = 0; bit < 8; bit++) {
      register = register & 1 ? (register >> 1) ^ POLYNOMIAL : register >> 1
    }
    store<u64>(TABLES + (byte << 3), register)
  }
  for (let at: usize = 256 << 3; at < (8 * 256) << 3; at += 8) {
    const before = load<u64>(TABLES + at - (256 << 3))
    store<u64>(TABLES + at, (before >> 8) ^ entry(0, before & 0xff))
  }
  for (let at: usize = 0; at < (8 * 256) << 3; at += 8) {
    const behind = slice8Word(slice8Word(load<u64>(TABLES + at)))
    store<u64>(BRAIDS + at, slice8Word(behind))
  }
}

/** Runs `length` bytes at `from` through the register low/high. Returns its lower half. */
export function crc64(low: u32, high: u32, from: usize, length: usize): u32 {
  const register = crc64Over(((high as u64) << 32) | (low as u64), from, length)
  resultHigh = (register >> 32) as u32
  return register as u32
}

/** The same, for kernels. */
export function crc64Over(start: u64, from: usize, length: usize): u64 {
  let register = start
  let at = from
  const end = from + length
  if (length >= FOLD_FROM_BYTES) {
    const vectors = length >> 4
    register = fold(register, at, vectors)
    at += vectors << 4
  } else if (length >= BRAID_FROM_BYTES) {
    register = braid(register, at, end)
    at += length & ~31
  }
  return slice8(register, at, end)
}

@inline
function entry(table: usize, byte: u64): u64 {
  return load<u64>(TABLES + (table << 11) + ((byte as usize) << 3))
}

/** Whole groups of 32 bytes of [at, end), at least one. */
function braid(start: u64, from: usize, end: usize): u64 {
  let at = from
  let a = start
  let b: u64 = 0
  let c: u64 = 0
  let d: u64 = 0
  for (const stop = end - 63; at < stop; at += 32) {
    a = braidWord(load<u64>(at) ^ a)
    b = braidWord(load<u64>(at, 8) ^ b)
    c = braidWord(load<u64>(at, 16) ^ c)
    d = braidWord(load<u64>(at, 24) ^ d)
  }
  // The last group takes them one after the other.
  a = slice8Word(load<u64>(at) ^ a)
  a = slice8Word(load<u64>(at, 8) ^ b ^ a)
  a = slice8Word(load<u64>(at, 16) ^ c ^ a)
  return slice8Word(load<u64>(at, 24) ^ d ^ a)
}

/** The word, with three more behind it. */
@inline
function braidWord(word: u64): u64 {
  return (
    load<u64>(((word << 3) & 0x7f8) as usize, BRAIDS + (7 << 11)) ^
    load<u64>(((word >> 5) & 0x7f8) as usize, BRAIDS + (6 << 11)) ^
    load<u64>(((word >> 13) & 0x7f8) as usize, BRAIDS + (5 << 11)) ^
    load<u64>(((word >> 21) & 0x7f8) as usize, BRAIDS + (4 << 11)) ^
    load<u64>(((word >> 29) & 0x7f8) as usize, BRAIDS + (3 << 11)) ^
    load<u64>(((word >> 37) & 0x7f8) as usize, BRAIDS + (2 << 11)) ^
    load<u64>(((word >> 45) & 0x7f8) as usize, BRAIDS + (1 << 11)) ^
    load<u64>(((word >> 53) & 0x7f8) as usize, BRAIDS)
  )
}

@inline
function slice8Word(word: u64): u64 {
  return (
    load<u64>(((word << 3) & 0x7f8) as usize, TABLES + (7 << 11)) ^
    load<u64>(((word >> 5) & 0x7f8) as usize, TABLES + (6 << 11)) ^
    load<u64>(((word >> 13) & 0x7f8) as usize, TABLES + (5 << 11)) ^
    load<u64>(((word >> 21) & 0x7f8) as usize, TABLES + (4 << 11)) ^
    load<u64>(((word >> 29) & 0x7f8) as usize, TABLES + (3 << 11)) ^
    load<u64>(((word >> 37) & 0x7f8) as usize, TABLES + (2 << 11)) ^
    load<u64>(((word >> 45) & 0x7f8) as usize, TABLES + (1 << 11)) ^
    load<u64>(((word >> 53) & 0x7f8) as usize, TABLES)
  )
}

/** All of [at, end). */
function slice8(start: u64, at: usize, end: usize): u64 {
  let register = start
  while (at + 8 <= end) {
    register = slice8Word(load<u64>(at) ^ register)
    at += 8
  }
  while (at < end) {
    register = (register >> 8) ^ entry(0, (register ^ load<u8>(at)) & 0xff)
    at++
  }
  return register
}

/** The slot `distance` vectors before slot 0, going round. */
@inline
function slot(distance: usize): usize {
  return RING + ((FOLD_VECTORS - distance) << 4)
}

@inline
function around(pointer: usize): usize {
  return pointer == RING_END ? RING : pointer
}

@inline
function mix(
  at: usize,
  p0: usize,
  p1: usize,
  p2: usize,
  p3: usize,
  p4: usize,
  p5: usize,
  p6: usize,
  p7: usize,
  offset: usize,
): v128 {
  return v128.xor(
    v128.xor(
      v128.xor(
        v128.xor(v128.load(at + offset), v128.load(p0 + offset)),
        v128.xor(v128.load(p1 + offset), v128.load(p2 + offset)),
      ),
      v128.xor(
        v128.xor(v128.load(p3 + offset), v128.load(p4 + offset)),
        v128.xor(v128.load(p5 + offset), v128.load(p6 + offset)),
      ),
    ),
    v128.load(p7 + offset),
  )
}

/** `vectors` (at least FOLD_VECTORS) of 16 bytes. */
function fold(start: u64, from: usize, vectors: usize): u64 {
  memory.fill(RING, 0, FOLD_BYTES)
  // The register joins the first 8 bytes: slot 0 is read, and written over, by vector 0.
  store<u64>(RING, start)
  let at = from
  let p0: usize = RING
  let p1 = slot(90)
  let p2 = slot(153)
  let p3 = slot(651)
  let p4 = slot(706)
  let p5 = slot(770)
  let p6 = slot(825)
  let p7 = slot(1074)

  let left = (vectors - FOLD_VECTORS) << 4
  while (left > 0) {
    // As far as no pointer comes to the ring's end.
    const last = max(max(max(p0, p1), max(p2, p3)), max(max(p4, p5), max(p6, p7)))
    const run = min(left, RING_END - last)
    left -= run
    const end = at + run
    while (at + 64 <= end) {
      v128.store(p0, mix(at, p0, p1, p2, p3, p4, p5, p6, p7, 0), 0)
      v128.store(p0, mix(at, p0, p1, p2, p3, p4, p5, p6, p7, 16), 16)
      v128.store(p0, mix(at, p0, p1, p2, p3, p4, p5, p6, p7, 32), 32)
      v128.store(p0, mix(at, p0, p1, p2, p3, p4, p5, p6, p7, 48), 48)
      at += 64
      p0 += 64
      p1 += 64
      p2 += 64
      p3 += 64
      p4 += 64
      p5 += 64
      p6 += 64
      p7 += 64
    }
    while (at < end) {
      v128.store(p0, mix(at, p0, p1, p2, p3, p4, p5, p6, p7, 0))
      at += 16
      p0 += 16
      p1 += 16
      p2 += 16
      p3 += 16
      p4 += 16
      p5 += 16
      p6 += 16
      p7 += 16
    }
    p0 = around(p0)
    p1 = around(p1)
    p2 = around(p2)
    p3 = around(p3)
    p4 = around(p4)
    p5 = around(p5)
    p6 = around(p6)
    p7 = around(p7)
  }

  // The last 1145 take what earlier ones push into them, and push nothing further.
  const zero = i64x2.splat(0)
  for (let to = REST; to < REST + FOLD_BYTES; to += 16) {
    v128.store(to, mix(at, p0, p1, p2, p3, p4, p5, p6, p7, 0))
    v128.store(p0, zero)
    at += 16
    p0 = around(p0 + 16)
    p1 = around(p1 + 16)
    p2 = around(p2 + 16)
    p3 = around(p3 + 16)
    p4 = around(p4 + 16)
    p5 = around(p5 + 16)
    p6 = around(p6 + 16)
    p7 = around(p7 + 16)
  }
  const whole = FOLD_BYTES & ~31
  return slice8(braid(0, REST, REST + whole), REST + whole, REST + FOLD_BYTES)
}
