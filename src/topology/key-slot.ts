/** Which of a cluster's slots a key is in: CRC16 (XMODEM) of its tag, or of all of it without one. */
import { Buffer } from 'node:buffer'
import { SLOT_COUNT, type SlotRanges } from './cluster-nodes.js'

const OPEN = 0x7b
const CLOSE = 0x7d

const TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1
  return crc
})

/** Of bytes[start, end), as CLUSTER KEYSLOT says it. */
export function keySlot(bytes: Uint8Array, start = 0, end = bytes.length): number {
  const tag = hashTag(bytes, start, end)
  const from = tag?.start ?? start
  const to = tag?.end ?? end
  let crc = 0
  for (let at = from; at < to; at += 1) {
    crc = ((crc << 8) & 0xffff) ^ TABLE[(crc >> 8) ^ bytes[at]!]!
  }
  return crc % SLOT_COUNT
}

/** What stands in the first braces; undefined where the whole key counts. */
export function hashTag(
  bytes: Uint8Array,
  start = 0,
  end = bytes.length,
): { start: number; end: number } | undefined {
  const open = indexIn(bytes, OPEN, start, end)
  if (open < 0) return undefined
  const close = indexIn(bytes, CLOSE, open + 1, end)
  // `{}` is no tag.
  return close > open + 1 ? { start: open + 1, end: close } : undefined
}

/** By slot: 1 for those in the ranges. */
export function slotSet(ranges: SlotRanges): Uint8Array {
  const set = new Uint8Array(SLOT_COUNT)
  for (const [first, last] of ranges) set.fill(1, first, last + 1)
  return set
}

/** The shortest text whose slot is in the set: what stands in braces puts a key there. */
export function tagIn(set: Uint8Array): string {
  for (let n = 0; ; n += 1) {
    const tag = n.toString(36)
    if (set[keySlot(Buffer.from(tag))] === 1) return tag
    // All slots have one among the texts of four letters.
    if (tag.length > 5) throw new RangeError('no slot in the set')
  }
}

let allTags: readonly string[] | undefined

/** For each slot the shortest text that puts a key there. */
export function slotTags(): readonly string[] {
  if (allTags !== undefined) return allTags
  const tags = new Array<string>(SLOT_COUNT)
  let left = SLOT_COUNT
  for (let n = 0; left > 0; n += 1) {
    const tag = n.toString(36)
    const slot = keySlot(Buffer.from(tag))
    if (tags[slot] !== undefined) continue
    tags[slot] = tag
    left -= 1
  }
  allTags = tags
  return tags
}

function indexIn(bytes: Uint8Array, byte: number, start: number, end: number): number {
  for (let at = start; at < end; at += 1) if (bytes[at] === byte) return at
  return -1
}
