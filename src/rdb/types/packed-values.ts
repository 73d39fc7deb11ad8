/**
 * Values in packed blobs: a whole collection in one (types 9 to 13, 16, 17, 20, 23, 25), or a list
 * in many (14, 18). At ELEMENTS depth, and with `validate`, a blob is walked to its last byte.
 */
import { CHECK_LARGEST, CHECK_SCORES, CHECK_UNIQUE } from '../../kernels/abi.js'
import { sharedKernel, type KernelExports } from '../../kernels/kernel.js'
import type { Core, Step } from '../core.js'
import type { PackedReader } from '../encodings/packed.js'
import { parseScore } from '../values/score.js'
import type { PackedFormat } from '../lane/lane.js'
import { DEPTH } from '../visitor.js'
import { endKey } from './key-end.js'

export interface BlobFormat {
  readonly name: string
  readonly open: (reader: PackedReader, core: Core) => void
  /** Bytes from the start that state the number of entries, */
  readonly headBytes: number
  /** and that number, or -1. */
  readonly stated: (bytes: Buffer, start: number, end: number) => number
  /** Is the blob at this address sound? Its number of entries, or -1: walk to see. */
  readonly check?: (
    kernel: KernelExports,
    at: number,
    length: number,
    width: number,
    wanted: number,
  ) => number
  /** What a visitor is offered the whole blob as. */
  readonly offeredAs?: PackedFormat
}

function u16Count(bytes: Buffer, at: number, end: number): number {
  if (at + 2 > end) return -1
  const count = bytes[at]! | (bytes[at + 1]! << 8)
  return count === 65535 ? -1 : count
}

export const LISTPACK: BlobFormat = {
  name: 'listpack',
  open: (reader, { blob }) => reader.openListpack(blob.bytes, blob.start, blob.end),
  headBytes: 6,
  stated: (bytes, start, end) => u16Count(bytes, start + 4, end),
  check: (kernel, at, length, width, wanted) =>
    wanted < 0 ? -1 : kernel.checkListpack(at, length, width, wanted | CHECK_LARGEST),
  offeredAs: 'listpack',
}

export const ZIPLIST: BlobFormat = {
  name: 'ziplist',
  open: (reader, { blob }) => reader.openZiplist(blob.bytes, blob.start, blob.end),
  headBytes: 10,
  stated: (bytes, start, end) => u16Count(bytes, start + 8, end),
}

const INTSET: BlobFormat = {
  name: 'intset',
  open: (reader, { blob }) => reader.openIntset(blob.bytes, blob.start, blob.end),
  headBytes: 8,
  stated: (bytes, start, end) => (end - start < 8 ? -1 : bytes.readUInt32LE(start + 4)),
  check: (kernel, at, length) => kernel.checkIntset(at, length),
  offeredAs: 'intset',
}

const ZIPMAP: BlobFormat = {
  name: 'zipmap',
  open: (reader, { blob }) => reader.openZipmap(blob.bytes, blob.start, blob.end),
  headBytes: 1,
  stated: (bytes, start, end) => (start < end && bytes[start]! < 254 ? bytes[start]! * 2 : -1),
}

/** Walks the open reader to its end, tells the elements if `emit`, returns how many there are. */
export type Walk = (core: Core, emit: boolean) => number

/** What a blob holds. */
export interface Shape {
  /** Entries that make one element. */
  readonly width: number
  readonly walk: Walk
  /** What `KernelExports.checkListpack` has to look for; -1: it cannot tell. */
  readonly wanted: number
}

const WANTED = { NOTHING: 0, UNIQUE: CHECK_UNIQUE, SCORES: CHECK_SCORES, WALK: -1 } as const

/** A blob of any entries, with a walk of its own. */
export function shapeOf(walk: Walk): Shape {
  return { width: 1, walk, wanted: WANTED.WALK }
}

/** Reads STR(blob) and tells it; returns the number of elements. */
export function readBlob(core: Core, format: BlobFormat, shape: Shape): number {
  const { input, blob, packed } = core
  core.reading = format.name
  const blobAt = input.pos
  if (!core.deep) {
    const lengthBytes = input.skipStringPrefix(blob, format.headBytes)
    const stated = format.stated(blob.bytes, blob.start, blob.end)
    if (stated >= 0) {
      core.notePacked(lengthBytes, stated)
      return Math.floor(stated / shape.width)
    }
    // Of a damaged value only the frame is of interest.
    if (core.damagedBy !== undefined) return 0
    // Too many entries for its header: only a walk tells how many.
    input.pos = blobAt
  }
  const emit = core.depth === DEPTH.ELEMENTS
  const offered = emit && canOffer(core, format, shape)
  input.readString(blob, !emit || offered)
  const lengthBytes = blob.end - blob.start
  if (!emit || offered) {
    const entries = checkFast(core, format, shape)
    if (entries >= 0 && (!emit || offer(core, format))) {
      core.notePacked(lengthBytes, entries)
      return entries / shape.width
    }
    // Events may use the kernel's scratch memory, where it may lie.
    if (offered && blob.bytes !== input.buf) blob.retain()
  }
  core.placeBlob(blob)
  format.open(packed, core)
  const elements = shape.walk(core, emit)
  core.notePacked(lengthBytes, packed.entries)
  return elements
}

function canOffer(core: Core, format: BlobFormat, shape: Shape): boolean {
  const { input, lane } = core
  if (input.kernel === undefined || lane.packedValue === undefined) return false
  return format.offeredAs !== undefined && shape.wanted >= 0
}

/** Offers the blob at hand to the lane; true if it took it. */
function offer(core: Core, format: BlobFormat): boolean {
  const { blob, input, stretch, lane } = core
  const kernel = input.kernel!
  // A long one may have been decompressed elsewhere.
  if (blob.bytes.buffer !== kernel.memory.buffer) return false
  stretch.kernel = kernel
  stretch.start = blob.bytes.byteOffset + blob.start
  stretch.end = blob.bytes.byteOffset + blob.end
  return lane.packedValue!(stretch, format.offeredAs!)
}

/** Lets the kernel say whether the blob is sound; -1: walk to see. */
function checkFast(core: Core, format: BlobFormat, shape: Shape): number {
  const { input, blob, stats, options } = core
  const { check } = format
  if (check === undefined) return -1
  const length = blob.end - blob.start
  const kernel = input.kernel ?? sharedKernel()
  let at = blob.bytes.byteOffset + blob.start
  if (blob.bytes.buffer !== kernel.memory.buffer) {
    if (length > kernel.stagingBytes) return -1
    at = kernel.stagingAddress
    kernel.memory.set(blob.bytes.subarray(blob.start, blob.end), at)
  }
  // Who only asks for sizes is not told what is there twice.
  const thorough = options.validate || core.depth === DEPTH.ELEMENTS || shape.wanted < 0
  const wanted = thorough ? shape.wanted : shape.wanted & ~WANTED.UNIQUE
  const entries = check(kernel.exports, at, length, shape.width, wanted)
  if (entries < 0) return -1
  const largest = kernel.exports.walkedLargest()
  if (largest > stats.largestElementBytes) stats.largestElementBytes = largest
  return entries
}

function whole(format: BlobFormat, shape: Shape): Step {
  return (core) => {
    core.stats.elements = readBlob(core, format, shape)
    return endKey
  }
}

/** Of each `width` entries the first must be unique. */
function beginDuplicates(core: Core, width: number): void {
  const { packed, blob } = core
  const stated = packed.statedEntries
  const entries = stated >= 0 ? stated : (blob.end - blob.start) >> 1
  core.duplicates.begin(blob.bytes, Math.ceil(entries / width))
}

function noteLength(core: Core): void {
  const { length } = core.packed
  if (length > core.stats.largestElementBytes) core.stats.largestElementBytes = length
}

const walkList: Walk = (core, emit) => {
  const { packed, a, visitor } = core
  while (packed.next()) {
    noteLength(core)
    if (emit) {
      packed.render(a)
      visitor.listElement?.(a)
    }
  }
  return packed.entries
}

const walkSet: Walk = (core, emit) => {
  const { packed, a, visitor, duplicates } = core
  beginDuplicates(core, 1)
  while (packed.next()) {
    if (duplicates.add(packed.codeAt, packed.codeEnd)) throw twice(core, 'member')
    noteLength(core)
    if (emit) {
      packed.render(a)
      visitor.setMember?.(a)
    }
  }
  return packed.entries
}

/** Ascending order, which the reader checks, leaves no room for duplicates. */
const walkIntset: Walk = (core, emit) => {
  const { packed, a, visitor } = core
  while (packed.next()) {
    noteLength(core)
    if (emit) {
      packed.render(a)
      visitor.setMember?.(a)
    }
  }
  return packed.entries
}

const walkHash: Walk = (core, emit) => {
  const { packed, a, b, visitor, duplicates } = core
  beginDuplicates(core, 2)
  while (packed.next()) {
    if (duplicates.add(packed.codeAt, packed.codeEnd)) throw twice(core, 'field')
    noteLength(core)
    if (emit) packed.render(a)
    if (!packed.next()) throw core.blobError('the last field has no value', core.blob.start)
    noteLength(core)
    if (emit) {
      packed.render(b)
      visitor.hashField?.(a, b, -1)
    }
  }
  return packed.entries / 2
}

/** Triples: field, value, unix ms or 0. */
const walkHashEx: Walk = (core, emit) => {
  const { packed, a, b, visitor, duplicates, stats } = core
  beginDuplicates(core, 3)
  while (packed.next()) {
    if (duplicates.add(packed.codeAt, packed.codeEnd)) throw twice(core, 'field')
    noteLength(core)
    if (emit) packed.render(a)
    if (!packed.next()) throw notTriples(core)
    noteLength(core)
    if (emit) packed.render(b)
    if (!packed.next()) throw notTriples(core)
    if (!packed.isInteger || packed.number < 0) {
      throw core.blobError("a field's expiry is no time", packed.entryAt)
    }
    if (packed.number !== 0) stats.fieldsWithExpiry += 1
    if (emit)
      visitor.hashField?.(a, b, packed.number === 0 ? -1 : packed.number - core.options.timeShiftMs)
  }
  return packed.entries / 3
}

const walkZset: Walk = (core, emit) => {
  const { packed, a, b, visitor, duplicates } = core
  beginDuplicates(core, 2)
  while (packed.next()) {
    if (duplicates.add(packed.codeAt, packed.codeEnd)) throw twice(core, 'member')
    noteLength(core)
    if (emit) packed.render(a)
    if (!packed.next()) throw core.blobError('the last member has no score', core.blob.start)
    const score = packed.isInteger
      ? packed.number
      : parseScore(packed.bytes, packed.start, packed.end)
    if (Number.isNaN(score)) throw core.blobError('a score is no number', packed.entryAt)
    if (emit) {
      packed.render(b)
      visitor.zsetMember?.(a, score, b)
    }
  }
  return packed.entries / 2
}

function twice(core: Core, what: string): Error {
  return core.blobError(`the same ${what} occurs twice`, core.packed.entryAt)
}

function notTriples(core: Core): Error {
  return core.blobError(
    `${core.packed.entries} entries do not make triples of field, value, expiry`,
    core.blob.start,
  )
}

const LIST: Shape = { width: 1, walk: walkList, wanted: WANTED.NOTHING }
const SET: Shape = { width: 1, walk: walkSet, wanted: WANTED.UNIQUE }
const INTEGERS: Shape = { width: 1, walk: walkIntset, wanted: WANTED.NOTHING }
const ZSET: Shape = { width: 2, walk: walkZset, wanted: WANTED.UNIQUE | WANTED.SCORES }
const HASH: Shape = { width: 2, walk: walkHash, wanted: WANTED.UNIQUE }
const HASH_EX: Shape = { width: 3, walk: walkHashEx, wanted: WANTED.WALK }

export const listZiplistValue = whole(ZIPLIST, LIST)
export const setIntsetValue = whole(INTSET, INTEGERS)
export const setListpackValue = whole(LISTPACK, SET)
export const zsetZiplistValue = whole(ZIPLIST, ZSET)
export const zsetListpackValue = whole(LISTPACK, ZSET)
export const hashZipmapValue = whole(ZIPMAP, HASH)
export const hashZiplistValue = whole(ZIPLIST, HASH)
export const hashListpackValue = whole(LISTPACK, HASH)
/** 23: no smallest expiry in front. */
export const hashListpackExPreGaValue = whole(LISTPACK, HASH_EX)

/** 25: i64le smallest expiry (a hint, may be stale), then the listpack. */
export const hashListpackExValue: Step = (core) => {
  core.reading = 'smallest expiry of a hash'
  core.minExpireMs = core.input.readI64le()
  return hashListpackExPreGaValue
}

/** 14: LEN n, n × STR(ziplist). */
export const quicklistValue: Step = (core) => {
  core.reading = 'quicklist'
  core.left = core.input.readLength()
  return ziplistNodes
}

const ziplistNodes: Step = (core) => {
  const { input, stats } = core
  while (core.left > 0) {
    stats.elements += readBlob(core, ZIPLIST, LIST)
    input.commit()
    core.left -= 1
  }
  return endKey
}

const CONTAINER = { PLAIN: 1, PACKED: 2 } as const

/** 18: LEN n, n × (LEN container, STR): one plain element, or a listpack. */
export const quicklist2Value: Step = (core) => {
  core.reading = 'quicklist'
  core.left = core.input.readLength()
  return quicklist2Nodes
}

const quicklist2Nodes: Step = (core) => {
  const { input, stats } = core
  while (core.left > 0) {
    core.reading = 'quicklist node'
    const at = input.byteOffset
    const container = input.readLength()
    if (container === CONTAINER.PACKED) {
      stats.elements += readBlob(core, LISTPACK, LIST)
      input.commit()
    } else if (container === CONTAINER.PLAIN) {
      readPlainNode(core)
    } else {
      throw core.corruptAt(`unknown quicklist container ${container}`, at)
    }
    core.left -= 1
  }
  return endKey
}

function readPlainNode(core: Core): void {
  const { input, a, stats, visitor } = core
  const emit = core.depth === DEPTH.ELEMENTS
  let length: number
  if (emit) {
    input.readString(a)
    length = a.end - a.start
  } else {
    length = input.skipString(core.deep)
  }
  input.commit()
  stats.elements += 1
  core.notePlain(length)
  if (emit) visitor.listElement?.(a)
}
