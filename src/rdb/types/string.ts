/** Type 0: one STR. */
import type { Core, Step } from '../core.js'
import { STORED } from '../io/input.js'
import {
  hasHyperLogLogMagic,
  HLL_MAGIC_BYTES,
  HLL_MIN_BYTES,
  isHyperLogLog,
  isInteger,
  MAX_INTEGER_CHARS,
} from '../values/object-encoding.js'
import { DEPTH } from '../visitor.js'
import { endKey } from './key-end.js'

/** The first byte of a string that is compressed. */
const LZF_STRING = 0xc3
const BAD_LZF = 'bad LZF data: not what its header says, or points before its start'

export const stringValue: Step = (core) => {
  const { input, stats, visitor } = core
  core.reading = 'string'
  stats.elements = 1
  if (core.depth !== DEPTH.ELEMENTS) {
    if (mayBeInteger(core)) {
      input.readString(core.a)
      noteString(core)
      return endKey
    }
    stats.isHyperLogLog = startsAsHyperLogLog(core)
    const length = input.skipString(core.deep)
    stats.stringBytes = length
    stats.largestElementBytes = length
    stats.isInteger = input.stored === STORED.INTEGER
    return endKey
  }
  if (visitor.stringPart !== undefined) {
    if (startsInParts(core)) return stringParts
    if (startsInLzfParts(core)) return lzfParts
  }
  input.readString(core.a)
  noteString(core)
  visitor.stringValue?.(core.a)
  return endKey
}

function noteString({ a, input, stats }: Core): void {
  stats.stringBytes = a.end - a.start
  stats.largestElementBytes = stats.stringBytes
  stats.isInteger =
    input.stored === STORED.INTEGER ||
    (stats.stringBytes <= MAX_INTEGER_CHARS && isInteger(a.bytes, a.start, a.end))
  stats.isHyperLogLog = isHyperLogLog(a.bytes, a.start, a.end)
}

/** Integers of more than 32 bits are stored as text: so short that it costs little to look. */
function mayBeInteger({ input }: Core): boolean {
  input.need(1)
  const first = input.buf[input.pos]!
  return first > 0 && first <= MAX_INTEGER_CHARS
}

/** Looks at the first bytes of a string that is not read. */
function startsAsHyperLogLog({ input }: Core): boolean {
  const start = input.pos
  const first = input.buf[start]!
  if (first >= 0xc0) {
    if (first !== 0xc3) return false
    input.pos += 1
    const compressed = input.readLength()
    const length = input.readLength()
    if (compressed <= HLL_MAGIC_BYTES || length < HLL_MIN_BYTES) {
      input.pos = start
      return false
    }
    input.need(1 + HLL_MAGIC_BYTES)
    const at = input.pos
    input.pos = start
    // The first token has the first bytes as they are, if they are more than three.
    const token = input.buf[at]!
    return token >= 3 && token < 32 && hasHyperLogLogMagic(input.buf, at + 1)
  }
  const length = input.readLength()
  if (length >= HLL_MIN_BYTES) input.need(HLL_MAGIC_BYTES)
  const at = input.pos
  input.pos = start
  return length >= HLL_MIN_BYTES && hasHyperLogLogMagic(input.buf, at)
}

/** A plain string that is longer than the visitor wants to see whole comes as it is read. */
function startsInParts(core: Core): boolean {
  const { input, stats, visitor } = core
  input.need(1)
  const first = input.buf[input.pos]!
  if (first < 0x80 || first >= 0xc0) return false
  const start = input.pos
  const length = input.readLength()
  if (length <= core.options.wholeStringBytes) {
    input.pos = start
    return false
  }
  stats.stringBytes = length
  stats.largestElementBytes = length
  core.left = length
  visitor.stringBegin?.(length)
  return true
}

const stringParts: Step = (core) => {
  const { input, a, visitor } = core
  while (core.left > 0) {
    input.need(1)
    const count = Math.min(core.left, input.end - input.pos)
    a.point(input.buf, input.pos, input.pos + count)
    input.skip(count)
    input.commit()
    core.left -= count
    visitor.stringPart?.(a)
  }
  visitor.stringEnd?.()
  return endKey
}

/** A compressed one, likewise: it is never there as a whole. */
function startsInLzfParts(core: Core): boolean {
  const { input, stats, visitor } = core
  if (input.buf[input.pos] !== LZF_STRING) return false
  const start = input.pos
  const { compressed, length } = input.readLzfLengths()
  if (length <= core.options.wholeStringBytes) {
    input.pos = start
    return false
  }
  stats.stringBytes = length
  stats.largestElementBytes = length
  core.left = length
  core.compressedLeft = compressed
  core.lzf.begin()
  visitor.stringBegin?.(length)
  return true
}

const lzfParts: Step = (core) => {
  const { input, a, visitor, lzf } = core
  while (core.compressedLeft > 0) {
    const whole = Math.min(core.compressedLeft, input.end - input.pos)
    const taken = lzf.decode(input.buf, input.pos, input.pos + whole)
    if (taken <= 0) {
      if (taken < 0 || whole === core.compressedLeft) throw core.corrupt(BAD_LZF)
      // A token is cut.
      input.need(whole + 1)
    }
    if (lzf.end - lzf.start > core.left) throw core.corrupt(BAD_LZF)
    a.point(lzf.bytes, lzf.start, lzf.end)
    input.skip(taken)
    input.commit()
    core.compressedLeft -= taken
    core.left -= lzf.end - lzf.start
    visitor.stringPart?.(a)
  }
  if (core.left > 0) throw core.corrupt(BAD_LZF)
  visitor.stringEnd?.()
  return endKey
}
