/**
 * Lists, sets, zsets and hashes whose elements stand one by one: types 1 to 5, and the hashes with
 * field expiries 22 (of both families) and 24. Each element is read, told and forgotten.
 */
import type { Core, Step } from '../core.js'
import { parseScore } from '../values/score.js'
import { ELEMENTS, type Elements } from '../lane/lane.js'
import { DEPTH } from '../visitor.js'
import { endKey } from './key-end.js'

/** LEN n, then the loop; for an empty value straight to the end. */
function counted(reading: string, loop: Step): Step {
  return (core) => {
    core.reading = reading
    core.left = core.input.readLength()
    core.stats.elements = core.left
    core.unique = core.options.validate && loop !== listElements
    if (core.unique) core.elements.clear()
    if (core.depth === DEPTH.ELEMENTS) core.visitor.count?.(core.left)
    return core.left === 0 ? endKey : loop
  }
}

/** For fewer elements a call costs more than it saves. */
const MIN_ELEMENTS = 4

/**
 * Reads STR into the slot, a member or a field. With `validate` always as a whole: once the element
 * is committed, `noteUnique` looks whether it was there before.
 */
function name(core: Core, slot: Core['a']): number {
  if (!core.unique) return element(core, slot)
  core.elementByteOffset = core.input.byteOffset
  core.input.readString(slot)
  return slot.end - slot.start
}

/** Reads STR into the slot, or steps over it; returns its length. */
function element(core: Core, slot: Core['a']): number {
  const { input } = core
  if (core.depth !== DEPTH.ELEMENTS) return input.skipString(core.deep)
  input.readString(slot)
  return slot.end - slot.start
}

/**
 * Lets the kernel pass as many elements as lie whole and plain in the chunk: `strings` strings and
 * `tail` bytes each. What stops it is read here, and then it may go on.
 */
function passElements(core: Core, strings: number, tail: number): void {
  const { input, stats } = core
  const { kernel } = input
  if (kernel === undefined || core.left < MIN_ELEMENTS || core.unique) return
  if (core.countsEachString && !core.weights.choose(kernel, core.lane.weights, core.header.kind))
    return
  const walk = kernel.exports
  const origin = input.buf.byteOffset
  const count = Math.min(core.left, 0xffffffff)
  const { mode, known } = core.weights
  const passed = walk.walkStrings(
    origin + input.pos,
    origin + input.end,
    count,
    strings,
    tail,
    mode,
    known,
  )
  if (passed === 0) return
  if (core.countsEachString) core.lane.weights?.add(walk.walkedStrings(), walk.walkedWeight())
  input.pos = walk.walkedTo() - origin
  input.commit()
  core.left -= passed
  stats.plainStrings += walk.walkedStrings()
  stats.plainBytes += walk.walkedBytes()
  const largest = walk.walkedLargest()
  if (largest > stats.largestElementBytes) stats.largestElementBytes = largest
}

/** At ELEMENTS depth: lets the lane take elements that lie whole in the chunk. */
function offerElements(core: Core, what: Elements): void {
  const { input, stats, stretch, lane } = core
  const { kernel } = input
  if (kernel === undefined || core.left < MIN_ELEMENTS || core.countsEachString || core.unique)
    return
  const origin = input.buf.byteOffset
  stretch.kernel = kernel
  stretch.start = origin + input.pos
  stretch.end = origin + input.end
  const taken = lane.elements!(stretch, what, Math.min(core.left, 0xffffffff))
  if (taken === 0) return
  input.pos = stretch.takenTo - origin
  if (stretch.compressed) input.sawCompressed = true
  input.commit()
  core.left -= taken
  stats.plainStrings += what === ELEMENTS.PAIRS ? 2 * taken : taken
  stats.plainBytes += stretch.stringBytes
  if (stretch.largestBytes > stats.largestElementBytes) {
    stats.largestElementBytes = stretch.largestBytes
  }
}

const listElements: Step = (core) => {
  const { input, a, visitor } = core
  const emit = core.depth === DEPTH.ELEMENTS
  while (core.left > 0) {
    if (!emit) passElements(core, 1, 0)
    else if (core.lane.elements !== undefined) offerElements(core, ELEMENTS.STRINGS)
    if (core.left === 0) break
    const length = element(core, a)
    input.commit()
    core.left -= 1
    core.notePlain(length)
    if (emit) visitor.listElement?.(a)
  }
  return endKey
}

const setMembers: Step = (core) => {
  const { input, a, visitor } = core
  const emit = core.depth === DEPTH.ELEMENTS
  while (core.left > 0) {
    if (!emit) passElements(core, 1, 0)
    else if (core.lane.elements !== undefined) offerElements(core, ELEMENTS.STRINGS)
    if (core.left === 0) break
    const length = name(core, a)
    input.commit()
    if (core.unique) core.noteUnique(a)
    core.left -= 1
    core.notePlain(length)
    if (emit) visitor.setMember?.(a)
  }
  return endKey
}

/** Type 5: scores are f64le. */
const binaryZset: Step = (core) => {
  const { input, a, b, visitor } = core
  const emit = core.depth === DEPTH.ELEMENTS
  b.clear()
  while (core.left > 0) {
    if (!emit) passElements(core, 1, 8)
    else if (core.lane.elements !== undefined) offerElements(core, ELEMENTS.SCORES)
    if (core.left === 0) break
    const length = name(core, a)
    if (core.deep) {
      const score = input.readDouble()
      if (Number.isNaN(score)) throw core.corruptAt('a score is NaN', input.byteOffset - 8)
      input.commit()
      if (core.unique) core.noteUnique(a)
      core.left -= 1
      core.notePlain(length)
      if (emit) visitor.zsetMember?.(a, score, b)
    } else {
      input.skip(8)
      input.commit()
      if (core.unique) core.noteUnique(a)
      core.left -= 1
      core.notePlain(length)
    }
  }
  return endKey
}

/** Type 3: scores are u8 n and n bytes of text; 253 NaN, 254 +inf, 255 −inf. */
const textZset: Step = (core) => {
  const { input, a, b, visitor } = core
  const emit = core.depth === DEPTH.ELEMENTS
  while (core.left > 0) {
    const length = name(core, a)
    if (core.deep) {
      const score = readTextScore(core)
      input.commit()
      if (core.unique) core.noteUnique(a)
      core.left -= 1
      core.notePlain(length)
      if (emit) visitor.zsetMember?.(a, score, b)
    } else {
      const textBytes = input.readByte()
      if (textBytes < 253) input.skip(textBytes)
      input.commit()
      if (core.unique) core.noteUnique(a)
      core.left -= 1
      core.notePlain(length)
    }
  }
  return endKey
}

function readTextScore(core: Core): number {
  const { input, b } = core
  const at = input.byteOffset
  const textBytes = input.readByte()
  if (textBytes === 254) {
    b.setText('inf')
    return Number.POSITIVE_INFINITY
  }
  if (textBytes === 255) {
    b.setText('-inf')
    return Number.NEGATIVE_INFINITY
  }
  if (textBytes === 253) throw core.corruptAt('a score is NaN', at)
  input.need(textBytes)
  b.point(input.buf, input.pos, input.pos + textBytes)
  input.skip(textBytes)
  const score = parseScore(b.bytes, b.start, b.end)
  if (Number.isNaN(score)) throw core.corruptAt('a score is no number', at)
  return score
}

/** Type 4. */
const hashFields: Step = (core) => {
  const { input, a, b, visitor } = core
  const emit = core.depth === DEPTH.ELEMENTS
  while (core.left > 0) {
    if (!emit) passElements(core, 2, 0)
    else if (core.lane.elements !== undefined) offerElements(core, ELEMENTS.PAIRS)
    if (core.left === 0) break
    const fieldLength = name(core, a)
    const valueLength = element(core, b)
    input.commit()
    if (core.unique) core.noteUnique(a)
    core.left -= 1
    core.notePlain(fieldLength)
    core.notePlain(valueLength)
    if (emit) visitor.hashField?.(a, b, -1)
  }
  return endKey
}

/** Valkey 22: behind each value i64le, unix ms or −1. */
const valkeyHashFields: Step = (core) => {
  const { input, a, b, stats, visitor } = core
  const emit = core.depth === DEPTH.ELEMENTS
  while (core.left > 0) {
    const fieldLength = name(core, a)
    const valueLength = element(core, b)
    const expireAtMs = input.readI64le()
    if (expireAtMs < -1) {
      throw core.corruptAt(`a field's expiry is ${expireAtMs}`, input.byteOffset - 8)
    }
    input.commit()
    if (core.unique) core.noteUnique(a)
    core.left -= 1
    core.notePlain(fieldLength)
    core.notePlain(valueLength)
    if (expireAtMs >= 0) stats.fieldsWithExpiry += 1
    if (emit) visitor.hashField?.(a, b, fieldTime(core, expireAtMs))
  }
  return endKey
}

/** Redis 24: before each field LEN t; 0: none, else smallest + t − 1. Redis 22: t is unix ms. */
const metadataHashFields: Step = (core) => {
  const { input, a, b, stats, visitor } = core
  const emit = core.depth === DEPTH.ELEMENTS
  while (core.left > 0) {
    const stored = input.readLength()
    const fieldLength = name(core, a)
    const valueLength = element(core, b)
    input.commit()
    if (core.unique) core.noteUnique(a)
    core.left -= 1
    core.notePlain(fieldLength)
    core.notePlain(valueLength)
    if (stored !== 0) stats.fieldsWithExpiry += 1
    if (emit)
      visitor.hashField?.(a, b, stored === 0 ? -1 : fieldTime(core, core.minExpireMs + stored - 1))
  }
  return endKey
}

export const listValue = counted('list element', listElements)
export const setValue = counted('set member', setMembers)
export const zsetTextValue = counted('zset member', textZset)
export const zsetBinaryValue = counted('zset member', binaryZset)
export const hashValue = counted('hash field', hashFields)
export const valkeyHash2Value = counted('hash field', valkeyHashFields)

const hashMetadataFields = counted('hash field', metadataHashFields)

/** 24: i64le smallest expiry first. */
export const hashMetadataValue: Step = (core) => {
  core.reading = 'smallest expiry of a hash'
  core.minExpireMs = core.input.readI64le()
  if (core.minExpireMs < 0) {
    throw core.corruptAt(
      `the smallest expiry of a hash is ${core.minExpireMs}`,
      core.input.byteOffset - 8,
    )
  }
  return hashMetadataFields
}

/** 22 of 7.4-rc1 and rc2: absolute times, no smallest one. */
export const hashMetadataPreGaValue: Step = (core) => {
  core.minExpireMs = 1
  return hashMetadataFields(core)
}

/** A field's expiry as it is told; -1: it has none. */
export function fieldTime(core: Core, expireAtMs: number): number {
  return expireAtMs < 0 ? -1 : expireAtMs - core.options.timeShiftMs
}
