/** Entries of listpacks and members of intsets, which must be sound. */

/** The entry that `readEntry` found: text at `textAt`, or a number where that is 0. */
export let textAt: usize = 0
export let textSize: usize = 0
export let number: i64 = 0

/** Returns where the next entry begins. */
@inline
export function readEntry(at: usize): usize {
  const code = load<u8>(at) as u32
  textAt = 0
  let size: usize
  if (code < 0x80) {
    number = code as i64
    return at + 2
  }
  if (code < 0xc0) {
    textAt = at + 1
    textSize = (code & 0x3f) as usize
    return at + 2 + textSize
  }
  if (code < 0xe0) {
    const high: i32 = (((code & 0x1f) << 8) | (load<u8>(at, 1) as u32)) << 19
    number = (high >> 19) as i64
    return at + 3
  }
  if (code < 0xf0) {
    textAt = at + 2
    textSize = (((code & 0x0f) << 8) | (load<u8>(at, 1) as u32)) as usize
    size = 2 + textSize
  } else if (code == 0xf0) {
    textAt = at + 5
    textSize = load<u32>(at, 1) as usize
    size = 5 + textSize
  } else if (code == 0xf1) {
    number = load<i16>(at, 1) as i64
    return at + 4
  } else if (code == 0xf2) {
    const high: i32 = load<i32>(at, 1) << 8
    number = (high >> 8) as i64
    return at + 5
  } else if (code == 0xf3) {
    number = load<i32>(at, 1) as i64
    return at + 6
  } else {
    number = load<i64>(at, 1)
    return at + 10
  }
  // Of a listpack of less than 16 KB.
  return at + size + (size < 128 ? 1 : 2)
}

/** Sets what `readEntry` would have found. */
@inline
export function setEntry(at: usize, size: usize, value: i64): void {
  textAt = at
  textSize = size
  number = value
}

/** A member of an intset whose members have so many bytes. */
@inline
export function member(at: usize, width: usize): i64 {
  return width == 2
    ? (load<i16>(at) as i64)
    : width == 4
      ? (load<i32>(at) as i64)
      : load<i64>(at)
}
