/**
 * Values taken apart into elements that can be compared one by one: each has a name (a member, a
 * field, the id of an entry) or a place (the index in a list, the block of a string), and content
 * (a score, a field's value, an entry's fields). Both are hashed as they pass; their bytes are kept
 * only where the consumer asks, and only the first of them.
 */
import { Buffer } from 'node:buffer'
import { deliveryCountText } from '../rdb/values/delivery-count.js'
import { streamIdText, u64Text } from '../rdb/values/u64.js'
import {
  DEPTH,
  KIND,
  type Depth,
  type ElementVisitor,
  type KeyHeader,
  type RdbVisitor,
  type Slice,
  type StreamConsumer,
  type StreamGroup,
  type StreamId,
  type StreamMeta,
  type U64,
  type ValueStats,
} from '../rdb/visitor.js'
import { VECTOR_PART, VECTOR_SET_MODULE, VectorSetParts } from './vector-set.js'

/** Strings are compared block by block. */
export const STRING_BLOCK_BYTES = 1024

/** ONE object, reused. */
export interface WalkedElement {
  /** What it is, such as `field`, `member`, `group`; '' for blocks of a string. */
  label: string
  /** Place in a list, string or module value; -1 where elements are told apart by name. */
  index: number
  nameHigh: number
  nameLow: number
  contentHigh: number
  contentLow: number
  /** Of a hash field, without `shiftMs`; -1: none. Part of the content. */
  expireAtMs: number
  /** First bytes, where they were asked for; else empty. */
  name: Buffer
  content: Buffer
  contentBytes: number
}

export interface ElementWalkOptions {
  /** False: the key is stepped over. */
  wanted(header: KeyHeader): boolean
  /** How many bytes of name and content to keep of this element; its name is known. */
  keep(element: WalkedElement): number
  element(element: WalkedElement): void
  /** `size` in bytes for strings, else in elements. */
  keyEnd(size: number): void
  /** Times from here on carry this constant. */
  shiftMs: number
  /** Whether counters of a stream are elements, too. */
  counters(): boolean
}

export class ElementWalk implements RdbVisitor, ElementVisitor {
  readonly #options: ElementWalkOptions
  readonly #current: WalkedElement = {
    label: '',
    index: -1,
    nameHigh: 0,
    nameLow: 0,
    contentHigh: 0,
    contentLow: 0,
    expireAtMs: -1,
    name: EMPTY,
    content: EMPTY,
    contentBytes: 0,
  }
  #isOpen = false
  #keepBytes = 0
  #place = 0
  #isString = false
  #isVectorSet = false
  readonly #vectorSet = new VectorSetParts()
  #group = ''
  #consumer = ''
  #producer = ''

  constructor(options: ElementWalkOptions) {
    this.#options = options
  }

  key(header: KeyHeader): Depth {
    this.#place = 0
    this.#isString = false
    this.#isVectorSet = header.kind === KIND.MODULE && header.moduleName === VECTOR_SET_MODULE
    if (this.#isVectorSet) this.#vectorSet.begin()
    return this.#options.wanted(header) ? DEPTH.ELEMENTS : DEPTH.SKIP
  }

  /** Called for keys that were stepped over, too: the consumer knows which it wanted. */
  keyEnd(_header: KeyHeader, stats: ValueStats): void {
    this.#close()
    this.#options.keyEnd(this.#isString ? stats.stringBytes : stats.elements)
  }

  stringValue(value: Slice): void {
    this.#isString = true
    this.stringPart(value)
  }

  stringBegin(): void {
    this.#isString = true
  }

  stringPart(part: Slice): void {
    for (let at = part.start; at < part.end;) {
      if (!this.#isOpen || this.#current.contentBytes === STRING_BLOCK_BYTES) this.#openAt('')
      const room = STRING_BLOCK_BYTES - this.#current.contentBytes
      const end = Math.min(part.end, at + room)
      this.#add(part.bytes, at, end)
      at = end
    }
  }

  listElement(element: Slice): void {
    this.#openAt('element')
    this.#addSlice(element)
  }

  setMember(member: Slice): void {
    this.#open('member', member)
  }

  zsetMember(member: Slice, score: number): void {
    this.#open('member', member)
    this.#addText(String(score === 0 ? 0 : score))
  }

  hashField(field: Slice, value: Slice, expireAtMs: number): void {
    this.#open('field', field)
    this.#addSlice(value)
    const options = this.#options
    const current = this.#current
    current.expireAtMs = expireAtMs >= options.shiftMs ? expireAtMs - options.shiftMs : expireAtMs
  }

  streamEntry(id: StreamId): void {
    this.#openNamed('entry', streamIdText(id))
  }

  streamField(field: Slice, value: Slice): void {
    this.#addSlice(field)
    this.#addText(' ')
    this.#addSlice(value)
    this.#addText(' ')
  }

  streamMeta(meta: StreamMeta): void {
    this.#openNamed('last id', '')
    this.#addText(streamIdText(meta.lastId))
    if (!meta.hasExtended || !this.#options.counters()) return
    this.#openNamed('entries added', '')
    this.#addText(u64Text(meta.entriesAdded))
    this.#openNamed('highest deleted id', '')
    this.#addText(streamIdText(meta.maxDeletedId))
  }

  streamGroup(group: StreamGroup): void {
    this.#group = textOf(group.name)
    this.#openNamed('group', this.#group)
    this.#addText(`last id ${streamIdText(group.lastId)}`)
    if (!group.hasEntriesRead || !this.#options.counters()) return
    this.#openNamed('entries read by group', this.#group)
    this.#addText(u64Text(group.entriesRead))
  }

  streamGroupPending(id: StreamId, _deliveryTimeMs: number, deliveryCount: number): void {
    this.#openNamed('pending in group', `${this.#group} ${streamIdText(id)}`)
    this.#addText(`delivered ${deliveryCountText(deliveryCount)} times`)
  }

  streamConsumer(consumer: StreamConsumer): void {
    this.#consumer = textOf(consumer.name)
    this.#openNamed('consumer', `${this.#group} ${this.#consumer}`)
  }

  streamConsumerPending(id: StreamId): void {
    this.#openNamed('pending of consumer', `${this.#group} ${this.#consumer} ${streamIdText(id)}`)
  }

  streamNacked(id: StreamId): void {
    this.#openNamed('pending of nobody in group', `${this.#group} ${streamIdText(id)}`)
  }

  streamProducer(producerId: Slice): void {
    this.#producer = textOf(producerId)
  }

  streamProducerId(iid: Slice, entryId: StreamId): void {
    if (!this.#options.counters()) return
    this.#openNamed('id of producer', `${this.#producer} ${textOf(iid)}`)
    this.#addText(streamIdText(entryId))
  }

  moduleSigned(value: U64): void {
    this.moduleUnsigned(value)
  }

  moduleUnsigned(value: U64): void {
    if (this.#isVectorSet) {
      const part = this.#vectorSet.number(value)
      if (part === VECTOR_PART.GRAPH) return
      if (part === VECTOR_PART.RANGE) {
        this.#addText(` ${u64Text(value)}`)
        return
      }
    }
    this.#openAt('item')
    this.#addText(u64Text(value))
  }

  moduleFloat(value: number): void {
    this.moduleDouble(value)
  }

  moduleDouble(value: number): void {
    this.#openAt('item')
    this.#addText(String(value))
  }

  moduleString(value: Slice): void {
    const part = this.#isVectorSet ? this.#vectorSet.string() : VECTOR_PART.HEAD
    if (part === VECTOR_PART.NAME) {
      this.#open('element', value)
      return
    }
    if (part === VECTOR_PART.ATTRIBUTE) {
      if (value.start < value.end) this.#addText('attribute ')
      this.#addSlice(value)
      if (value.start < value.end) this.#addText(' ')
      return
    }
    if (part === VECTOR_PART.VECTOR) {
      this.#addText('vector ')
      this.#addSlice(value)
      return
    }
    this.#openAt('item')
    this.#addSlice(value)
  }

  arrayElement(index: U64, value: Slice): void {
    this.#openNamed('index', u64Text(index))
    this.#addSlice(value)
  }

  gcra(value: U64): void {
    this.moduleUnsigned(value)
  }

  // These only begin and end what the other events tell whole.
  streamGroupEnd(): void {}
  streamIdmp(): void {}
  streamIdmpEnd(): void {}
  arrayMeta(): void {}

  /** The next in order. */
  #openAt(label: string): void {
    this.#close()
    const current = this.#current
    this.#begin(label)
    current.index = this.#place
    this.#place += 1
    current.nameLow = current.index
    this.#keepBytes = this.#options.keep(current)
  }

  #openNamed(label: string, name: string): void {
    const bytes = Buffer.from(name, 'latin1')
    this.#open(label, { bytes, start: 0, end: bytes.length })
  }

  #open(label: string, name: Slice): void {
    this.#close()
    const current = this.#current
    this.#begin(label)
    current.index = -1
    let high = 0x1b873593
    let low = 0x52dce729
    for (let i = 0; i < label.length; i += 1) {
      high = Math.imul(high ^ label.charCodeAt(i), 0x01000193)
    }
    for (let at = name.start; at < name.end; at += 1) {
      const byte = name.bytes[at]!
      high = Math.imul(high ^ byte, 0x01000193)
      low = Math.imul(low + byte, 0x85ebca6b) ^ (low >>> 15)
    }
    current.nameHigh = spread(high)
    current.nameLow = spread(low ^ high)
    this.#keepBytes = this.#options.keep(current)
    if (this.#keepBytes > 0)
      current.name = copyOf(name.bytes, name.start, name.end, this.#keepBytes)
  }

  #begin(label: string): void {
    const current = this.#current
    this.#isOpen = true
    current.label = label
    current.nameHigh = 0
    current.nameLow = 0
    current.contentHigh = 0x2c1b3c6d
    current.contentLow = 0x297a2d39
    current.expireAtMs = -1
    current.name = EMPTY
    current.content = EMPTY
    current.contentBytes = 0
  }

  #addSlice(slice: Slice): void {
    this.#add(slice.bytes, slice.start, slice.end)
  }

  #addText(text: string): void {
    const bytes = Buffer.from(text, 'latin1')
    this.#add(bytes, 0, bytes.length)
  }

  #add(bytes: Buffer, start: number, end: number): void {
    const current = this.#current
    let high = current.contentHigh
    let low = current.contentLow
    for (let at = start; at < end; at += 1) {
      const byte = bytes[at]!
      high = Math.imul(high ^ byte, 0x01000193)
      low = Math.imul(low + byte, 0x85ebca6b) ^ (low >>> 15)
    }
    current.contentHigh = high
    current.contentLow = low
    current.contentBytes += end - start
    const room = this.#keepBytes - current.content.length
    if (room <= 0) return
    const more = copyOf(bytes, start, end, room)
    current.content = current.content.length === 0 ? more : Buffer.concat([current.content, more])
  }

  #close(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    const current = this.#current
    const { expireAtMs } = current
    if (expireAtMs !== -1) {
      current.contentHigh ^= spread(expireAtMs | 0)
      current.contentLow ^= spread(Math.floor(expireAtMs / 0x100000000))
    }
    current.contentHigh = spread(current.contentHigh ^ current.contentBytes)
    current.contentLow = spread(current.contentLow)
    this.#options.element(current)
  }
}

const EMPTY = Buffer.alloc(0)

function copyOf(bytes: Buffer, start: number, end: number, maxBytes: number): Buffer {
  return Buffer.from(bytes.subarray(start, Math.min(end, start + maxBytes)))
}

/** Bytes as characters, so that none is lost. */
function textOf(slice: Slice): string {
  return slice.bytes.toString('latin1', slice.start, slice.end)
}

function spread(value: number): number {
  let mixed = value ^ (value >>> 16)
  mixed = Math.imul(mixed, 0x85ebca6b)
  mixed ^= mixed >>> 13
  mixed = Math.imul(mixed, 0xc2b2ae35)
  return mixed ^ (mixed >>> 16)
}
