/**
 * Which bytes of a text may become others without a change of its shape, and which others. A byte
 * becomes one of its own class, and classes depend only on bytes that stay: so a text and what it
 * becomes have the same shape.
 */

export interface Shape {
  /** Where bytes may change, */
  readonly at: number[]
  /** the lowest of the class of each, and how many it has. */
  readonly first: number[]
  readonly radix: number[]
}

/** Runs of bytes that may stand for each other. White space, punctuation and the bytes that some UTF-8
 * depends on are in none. */
const CLASSES: readonly (readonly [from: number, to: number])[] = [
  [0x00, 0x08],
  [0x0e, 0x1f],
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x61, 0x7a],
  [0x80, 0xbf],
  // First bytes of two, three and four in UTF-8; behind e0, ed, f0 and f4 not all may follow.
  [0xc2, 0xdf],
  [0xe1, 0xec],
  [0xee, 0xef],
  [0xf1, 0xf3],
  [0xf5, 0xff],
]
/** Where the bytes that may follow one of these are parted. */
const PARTED_BEHIND: ReadonlyMap<number, number> = new Map([
  [0xe0, 0xa0],
  [0xed, 0xa0],
  [0xf0, 0x90],
  [0xf4, 0x90],
])
const CLASS_OF = new Uint8Array(256).fill(0xff)
CLASSES.forEach(([from, to], index) => CLASS_OF.fill(index, from, to + 1))

const [MINUS, ZERO, NINE] = [0x2d, 0x30, 0x39]
const [CONTINUATION_FROM, CONTINUATION_TO] = [0x80, 0xbf]

export function shapeOf(text: Uint8Array): Shape {
  const shape: Shape = { at: [], first: [], radix: [] }
  const leading = leadingDigit(text)
  for (let at = 0; at < text.length; at += 1) {
    const byte = text[at]!
    const index = CLASS_OF[byte]!
    if (index === 0xff) continue
    let [from, to] = CLASSES[index]!
    if (at === leading) {
      // Servers keep numbers as such only without a zero in front.
      if (byte === ZERO) continue
      from = ZERO + 1
    }
    const parted = from === CONTINUATION_FROM ? PARTED_BEHIND.get(text[at - 1] ?? 0) : undefined
    if (parted !== undefined) {
      ;[from, to] = byte < parted ? [from, parted - 1] : [parted, CONTINUATION_TO]
    }
    shape.at.push(at)
    shape.first.push(from)
    shape.radix.push(to - from + 1)
  }
  return shape
}

/** Where the number begins that the text is, if it has a sign or several digits; else -1. */
function leadingDigit(text: Uint8Array): number {
  const from = text[0] === MINUS ? 1 : 0
  if (text.length < 2) return -1
  for (let at = from; at < text.length; at += 1) {
    if (text[at]! < ZERO || text[at]! > NINE) return -1
  }
  return from
}
