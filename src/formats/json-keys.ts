/**
 * The keys of an RDB as JSON, one line a key (`jsonl`) or as one array (`json`), written straight
 * into an output buffer while the parser reports elements: no object is made of any of them.
 *
 *   {"db":0,"key":"user:1","type":"hash","encoding":"listpack","expireAt":null,"value":{…}}
 *
 * Two ways to write strings. As text, for people and jq: hashes are objects (a field with an expiry
 * of its own is {"value":…,"expireAt":ms}), sorted sets objects of scores, sets and lists arrays.
 * As base64, lossless: sets, hashes and sorted sets are arrays in a fixed order (by bytes; sorted
 * sets by score first), so that equal values are equal lines; fields [field, value] or [field,
 * value, expiry], members [member, score text]. Streams have one shape, see json-stream.ts.
 */
import { Buffer } from 'node:buffer'
import { JsonText } from './json-text.js'
import type { ByteKernel } from '../kernels/kernel.js'
import type { OutputBuffer } from '../bytes/output-buffer.js'
import { ObjectEncoding, type StringEncoding } from '../rdb/values/object-encoding.js'
import { u64Text } from '../rdb/values/u64.js'
import {
  DEPTH,
  KIND,
  KIND_NAMES,
  type Depth,
  type ElementVisitor,
  type KeyHeader,
  type RdbStart,
  type RdbVisitor,
  type Slice,
  type StreamConsumer,
  type StreamGroup,
  type StreamId,
  type StreamMeta,
  type U64,
  type ValueStats,
} from '../rdb/visitor.js'
import {
  ELEMENTS,
  type Elements,
  type PackedFormat,
  type RdbLane,
  type Stretch,
} from '../rdb/lane/lane.js'
import { JsonElements } from './json-elements.js'
import { JsonLane } from './json-lane.js'
import { JsonStream } from './json-stream.js'
import { JsonStrings } from './json-strings.js'

export interface JsonKeysOptions {
  strings: 'text' | 'base64'
  /** `lines`: a line a key. `array`: one array, a key a line. */
  layout: 'lines' | 'array'
  /** Whether the key is wanted; default: every key. */
  wanted?: (header: KeyHeader) => boolean
  /** Every string is wanted: `wanted` need not be asked about them. */
  allStrings?: boolean
  /** Keys from the middle of others, each behind another. */
  isPiece?: boolean
  /** A function library, which JSON lines of keys have no place for. */
  functionLibrary?: () => void
}

const OBJECT_START = 0x7b
const OBJECT_END = 0x7d
const ARRAY_START = 0x5b
const ARRAY_END = 0x5d
const COMMA = 0x2c
const LF = 0x0a

const NULL = Buffer.from('null')
const VALUE = Buffer.from(',"value":')
const NULL_VALUE = Buffer.from('null,"value":')
const LIST_HEAD = Buffer.from(',"type":"list","encoding":"')
const EXPIRE_AT = Buffer.from('","expireAt":')
const LIST_ENCODINGS = {
  listpack: Buffer.from('listpack'),
  quicklist: Buffer.from('quicklist'),
} as const

/** Beyond this a list cannot be a listpack, whatever the server's limits (64 KiB at most). */
const LISTPACK_MAX_OUTPUT_BYTES = 1 << 19

export class JsonKeys implements RdbVisitor, ElementVisitor {
  keys = 0
  readonly functionLibrary: () => void
  readonly functionPreGa: () => void
  readonly lane: RdbLane
  readonly #out: OutputBuffer
  readonly #json: JsonText
  readonly #strings: JsonStrings
  readonly #base64: boolean
  readonly #layout: 'lines' | 'array'
  readonly #isPiece: boolean
  /** A key stands in front, of others. */
  #follows: boolean
  readonly #wanted: ((header: KeyHeader) => boolean) | undefined
  readonly #encoding = new ObjectEncoding()
  readonly #elements: JsonElements
  readonly #stream: JsonStream
  readonly #fast: JsonLane
  /** What the kernel was told of the lines is as it was. */
  #fastReady = false
  /** `,"type":"…","encoding":"…","expireAt":` by type byte, and of strings by encoding. */
  readonly #heads: (Buffer | undefined)[] = []
  readonly #stringHeads: Record<StringEncoding, Buffer>
  #prefix = Buffer.alloc(0)
  #prefixDb = -1
  #header: KeyHeader | undefined
  #isWanted = false
  /** Where a list's encoding is to be filled in, from the held start; -1: it stands there. */
  #encodingAt = -1

  constructor(out: OutputBuffer, kernel: ByteKernel, options: JsonKeysOptions) {
    this.#out = out
    this.#json = new JsonText(out, kernel)
    this.#base64 = options.strings === 'base64'
    this.#layout = options.layout
    this.#wanted = options.wanted
    this.functionLibrary = options.functionLibrary ?? noop
    this.functionPreGa = this.functionLibrary
    this.#strings = new JsonStrings(this.#json, this.#base64)
    this.#elements = new JsonElements(out, this.#strings, this.#base64)
    this.#stream = new JsonStream(out, this.#strings, this.#base64)
    this.#fast = new JsonLane(out, kernel, this.#json)
    const isFree = options.wanted === undefined || options.allStrings === true
    this.lane = {
      stringRecords: isFree ? (stretch, dbnum) => this.#writeRecords(stretch, dbnum) : undefined,
      // In base64 elements are put in order first.
      ...(this.#base64
        ? {}
        : {
            elements: (stretch, what, count) => this.#writeElements(stretch, what, count),
            packedValue: (stretch, format) => this.#writePacked(stretch, format),
          }),
    }
    this.#stringHeads = {
      int: headOf('string', 'int'),
      embstr: headOf('string', 'embstr'),
      raw: headOf('string', 'raw'),
    }
    this.#isPiece = options.isPiece === true
    this.#follows = this.#isPiece
    if (this.#layout === 'array' && !this.#isPiece) out.constant(Buffer.from('['))
  }

  /** Strings so far that were not valid UTF-8 and came out as text with U+FFFD. */
  get inexactStrings(): number {
    return this.#json.inexactStrings
  }

  /** Values too big to be put in order; written in the order of the file. */
  get unorderedValues(): number {
    return this.#elements.unorderedValues
  }

  /** Ends the array and hands out what is left; to be called behind the parser's end. */
  finish(): void {
    if (this.#layout === 'array' && !this.#isPiece) this.#out.constant(Buffer.from('\n]\n'))
    this.#out.flush()
  }

  /** Keys come next from others, and then more. */
  goOn(): void {
    this.#follows = true
  }

  start(start: RdbStart): void {
    this.#encoding.start(start)
    this.#fastReady = false
  }

  aux(name: Slice, value: Slice): void {
    this.#encoding.aux(name, value)
    this.#fastReady = false
  }

  key(header: KeyHeader): Depth {
    this.#isWanted = this.#wanted?.(header) !== false
    if (!this.#isWanted) return DEPTH.SKIP
    this.#header = header
    this.#elements.begin(header.kind)
    this.#beginLine(header)
    switch (header.kind) {
      case KIND.STRING:
        // Its encoding is known with its value.
        break
      case KIND.LIST:
        this.#listHead(header)
        this.#out.byte(ARRAY_START)
        break
      case KIND.ARRAY:
        this.#head(header)
        this.#out.byte(ARRAY_START)
        break
      case KIND.SET:
        this.#head(header)
        this.#out.byte(ARRAY_START)
        break
      case KIND.ZSET:
      case KIND.HASH:
        this.#head(header)
        this.#out.byte(this.#base64 ? ARRAY_START : OBJECT_START)
        break
      case KIND.STREAM:
        this.#head(header)
        this.#stream.begin()
        break
      case KIND.GCRA:
        this.#head(header)
        break
      case KIND.MODULE:
        this.#head(header)
        this.#out.constant(NULL)
        return DEPTH.SKIP
    }
    return DEPTH.ELEMENTS
  }

  keyEnd(header: KeyHeader, stats: ValueStats): void {
    if (!this.#isWanted) return
    this.#elements.end()
    switch (header.kind) {
      case KIND.LIST:
        this.#out.byte(ARRAY_END)
        if (this.#encodingAt !== -1) this.#fillEncoding(this.#encoding.list(header, stats))
        break
      case KIND.SET:
      case KIND.ARRAY:
        this.#out.byte(ARRAY_END)
        break
      case KIND.ZSET:
      case KIND.HASH:
        this.#out.byte(this.#base64 ? ARRAY_END : OBJECT_END)
        break
      case KIND.STREAM:
        this.#stream.end()
        break
      case KIND.STRING:
      case KIND.GCRA:
      case KIND.MODULE:
        // One value, which stands there.
        break
    }
    this.#out.byte(OBJECT_END)
    if (this.#layout === 'lines') this.#out.byte(LF)
    this.keys += 1
  }

  stringValue(value: Slice): void {
    const header = this.#header!
    this.#out.constant(this.#stringHeads[this.#encoding.string(header, value)])
    this.#expiry(header)
    this.#strings.write(value.bytes, value.start, value.end)
  }

  stringBegin(totalBytes: number): void {
    const header = this.#header!
    this.#out.constant(this.#stringHeads[this.#encoding.longString(header, totalBytes)])
    this.#expiry(header)
    this.#strings.begin()
  }

  stringPart(part: Slice): void {
    this.#strings.part(part)
  }

  stringEnd(): void {
    this.#strings.end()
  }

  listElement(element: Slice): void {
    this.#fillLongList()
    this.#elements.plain(element)
  }

  setMember(member: Slice): void {
    this.#elements.setMember(member)
  }

  zsetMember(member: Slice, score: number, scoreText: Slice): void {
    this.#elements.zsetMember(member, score, scoreText)
  }

  hashField(field: Slice, value: Slice, expireAtMs: number): void {
    this.#elements.hashField(field, value, expireAtMs)
  }

  streamEntry(id: StreamId): void {
    this.#stream.entry(id)
  }

  streamField(field: Slice, value: Slice): void {
    this.#stream.field(field, value)
  }

  streamMeta(meta: StreamMeta): void {
    this.#stream.meta(meta)
  }

  streamGroup(group: StreamGroup): void {
    this.#stream.group(group)
  }

  streamGroupPending(id: StreamId, deliveryTimeMs: number, deliveryCount: number): void {
    this.#stream.groupPending(id, deliveryTimeMs, deliveryCount)
  }

  streamConsumer(consumer: StreamConsumer): void {
    this.#stream.consumer(consumer)
  }

  streamConsumerPending(id: StreamId): void {
    this.#stream.consumerPending(id)
  }

  streamGroupEnd(): void {
    this.#stream.groupEnd()
  }

  streamIdmp(durationSeconds: number, maxEntries: number, producers: number): void {
    this.#stream.idmp(durationSeconds, maxEntries, producers)
  }

  streamProducer(producerId: Slice): void {
    this.#stream.producer(producerId)
  }

  streamProducerId(iid: Slice, entryId: StreamId): void {
    this.#stream.producerId(iid, entryId)
  }

  streamIdmpEnd(idsAdded: U64, idsDuplicate: U64): void {
    this.#stream.idmpEnd(idsAdded, idsDuplicate)
  }

  /** [index, value] each: the indexes of an array may have gaps. */
  arrayElement(index: U64, value: Slice): void {
    this.#elements.separate()
    this.#out.byte(ARRAY_START)
    this.#out.write(Buffer.from(u64Text(index)))
    this.#out.byte(COMMA)
    this.#strings.write(value.bytes, value.start, value.end)
    this.#out.byte(ARRAY_END)
  }

  gcra(value: U64): void {
    this.#out.write(Buffer.from(u64Text(value)))
  }

  // Entries without a consumer stand in their group's list, and in no consumer's.
  streamNacked(): void {}
  // Elements name their indexes.
  arrayMeta(): void {}
  // Values of modules are null: only the module knows what they mean.
  moduleSigned(): void {}
  moduleUnsigned(): void {}
  moduleFloat(): void {}
  moduleDouble(): void {}
  moduleString(): void {}

  #beginLine(header: KeyHeader): void {
    const out = this.#out
    if (this.#layout === 'array') {
      if (this.keys > 0 || this.#follows) out.byte(COMMA)
      out.byte(LF)
    }
    if (header.dbnum !== this.#prefixDb) this.#beginDb(header.dbnum)
    out.constant(this.#prefix)
    this.#strings.write(header.key.bytes, header.key.start, header.key.end)
  }

  #beginDb(dbnum: number): void {
    this.#prefixDb = dbnum
    this.#prefix = Buffer.from(`{"db":${dbnum},"key":`)
    this.#fastReady = false
  }

  #writeRecords(stretch: Stretch, dbnum: number): number {
    // No comma stands before the first key of an array.
    if (this.#layout === 'array' && this.keys === 0 && !this.#follows) return 0
    if (dbnum !== this.#prefixDb) this.#beginDb(dbnum)
    if (!this.#fastReady) this.#prepareLane()
    const taken = this.#fast.records(stretch, this.#base64)
    this.keys += taken
    return taken
  }

  #prepareLane(): void {
    const { int, embstr, raw } = this.#stringHeads
    const isArray = this.#layout === 'array'
    this.#fast.setTexts({
      prefix: Buffer.from(`${isArray ? ',\n' : ''}${this.#prefix.toString()}"`),
      suffix: Buffer.from(isArray ? '"}' : '"}\n'),
      heads: [int, embstr, raw].map((head) => Buffer.from(`"${head.toString()}`)),
      none: NULL,
      value: Buffer.from(`${VALUE.toString()}"`),
    })
    this.#fast.setLimits((keyBytes, hasExpiry) => this.#encoding.embstrLimit(keyBytes, hasExpiry))
    this.#fastReady = true
  }

  #writeElements(stretch: Stretch, what: Elements, count: number): number {
    this.#fillLongList()
    const taken = this.#fast.elements(stretch, what, count, !this.#elements.isFirst)
    if (taken > 0) this.#elements.isFirst = false
    return taken
  }

  #writePacked(stretch: Stretch, format: PackedFormat): boolean {
    const { kind } = this.#header!
    const what =
      kind === KIND.HASH ? ELEMENTS.PAIRS : kind === KIND.ZSET ? ELEMENTS.SCORES : ELEMENTS.STRINGS
    this.#fillLongList()
    const written = this.#fast.packed(stretch, format, what, !this.#elements.isFirst)
    if (written > 0) this.#elements.isFirst = false
    return written >= 0
  }

  #head(header: KeyHeader): void {
    const out = this.#out
    if (header.kind === KIND.MODULE) {
      out.write(headOf(header.moduleName, this.#encoding.other(header)))
    } else {
      const known = this.#heads[header.typeByte]
      const name = KIND_NAMES[header.kind]!
      out.constant(
        known ?? (this.#heads[header.typeByte] = headOf(name, this.#encoding.other(header))),
      )
    }
    this.#expiry(header)
  }

  #listHead(header: KeyHeader): void {
    if (!this.#encoding.listsVary || header.type.encoding !== 'quicklist') {
      this.#head(header)
      return
    }
    const out = this.#out
    out.hold()
    out.constant(LIST_HEAD)
    out.room(LIST_ENCODINGS.quicklist.length)
    this.#encodingAt = out.pos - out.heldAt
    out.pos += LIST_ENCODINGS.quicklist.length
    out.constant(EXPIRE_AT)
    this.#expiry(header)
  }

  #fillLongList(): void {
    if (this.#encodingAt !== -1 && this.#out.heldBytes > LISTPACK_MAX_OUTPUT_BYTES) {
      this.#fillEncoding('quicklist')
    }
  }

  #fillEncoding(encoding: string): void {
    const out = this.#out
    const at = out.heldAt + this.#encodingAt
    if (encoding === 'listpack') {
      const from = at + LIST_ENCODINGS.quicklist.length
      out.bytes.set(LIST_ENCODINGS.listpack, at)
      out.bytes.copyWithin(from - 1, from, out.pos)
      out.pos -= 1
    } else {
      out.bytes.set(LIST_ENCODINGS.quicklist, at)
    }
    out.release()
    this.#encodingAt = -1
  }

  #expiry(header: KeyHeader): void {
    const out = this.#out
    if (!header.hasExpiry) {
      out.constant(NULL_VALUE)
      return
    }
    out.decimal(header.expireAtMs)
    out.constant(VALUE)
  }
}

function headOf(type: string, encoding: string): Buffer {
  return Buffer.from(`,"type":${JSON.stringify(type)},"encoding":"${encoding}","expireAt":`)
}

function noop(): void {
  // Nobody asked.
}
