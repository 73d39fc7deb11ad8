/**
 * Lets only keys through whose serialised value has at least so many bytes. How big a value is
 * shows at its end, so its raw bytes are held until it is big enough, and then go on as elements:
 * never more is held than the limit. A visitor in front of another one.
 */
import { Buffer } from 'node:buffer'
import {
  DEPTH,
  type Depth,
  type KeyHeader,
  type RdbStart,
  type RdbSummary,
  type RdbVisitor,
  type Slice,
  type ValueStats,
} from '../rdb/visitor.js'
import { RawValueParser } from '../rdb/raw-value-parser.js'

export class SizeGate implements RdbVisitor {
  keysTooSmall = 0
  private readonly inner: RdbVisitor
  private readonly minSizeBytes: number
  private held: Buffer = Buffer.alloc(1 << 16)
  private heldBytes = 0
  private header: KeyHeader | undefined
  private depth: Depth = DEPTH.SKIP
  private open = false
  private parser: RawValueParser | undefined
  /** The inner visitor as one that is asked nothing about the key. */
  private readonly elements: RdbVisitor

  private readonly onTooSmall: ((header: KeyHeader) => void) | undefined

  constructor(inner: RdbVisitor, minSizeBytes: number, onTooSmall?: (header: KeyHeader) => void) {
    this.inner = inner
    this.onTooSmall = onTooSmall
    this.minSizeBytes = minSizeBytes
    this.elements = elementsOf(inner)
  }

  start(start: RdbStart): void {
    this.inner.start?.(start)
  }

  end(summary: RdbSummary): void {
    this.inner.end?.(summary)
  }

  aux(name: Slice, value: Slice): void {
    this.inner.aux?.(name, value)
  }

  functionLibrary(code: Slice): void {
    this.inner.functionLibrary?.(code)
  }

  functionPreGa(name: Slice, engine: Slice, description: Slice, code: Slice): void {
    this.inner.functionPreGa?.(name, engine, description, code)
  }

  moduleAux(moduleName: string, encver: number, when: number): void {
    this.inner.moduleAux?.(moduleName, encver, when)
  }

  key(header: KeyHeader): Depth {
    this.header = header
    this.heldBytes = 0
    // Values that refer to other records of their file cannot be read on their own: they pass.
    this.open = !header.type.restorable
    if (this.open) return this.inner.key(header)
    return DEPTH.RAW
  }

  /** Only of values that pass unseen; all of them are hashes. */
  hashField(field: Slice, value: Slice, expireAtMs: number): void {
    this.inner.hashField?.(field, value, expireAtMs)
  }

  rawValue(bytes: Buffer, start: number, end: number): void {
    if (this.open) {
      this.pass(bytes, start, end)
      return
    }
    this.hold(bytes, start, end)
    if (this.heldBytes < this.minSizeBytes) return
    this.open = true
    this.depth = this.inner.key(this.header!)
    if (this.depth === DEPTH.ELEMENTS) {
      this.parser = new RawValueParser(this.header!, this.elements)
    }
    this.pass(this.held, 0, this.heldBytes)
  }

  keyEnd(header: KeyHeader, stats: ValueStats): void {
    if (!this.open) {
      this.keysTooSmall += 1
      this.onTooSmall?.(header)
      return
    }
    this.parser?.end()
    this.parser = undefined
    this.inner.keyEnd?.(header, stats)
  }

  private pass(bytes: Buffer, start: number, end: number): void {
    if (this.parser !== undefined) this.parser.push(bytes.subarray(start, end))
    else if (this.depth === DEPTH.RAW) this.inner.rawValue?.(bytes, start, end)
  }

  private hold(bytes: Buffer, start: number, end: number): void {
    const needed = this.heldBytes + end - start
    if (needed > this.held.length) {
      const next = Buffer.allocUnsafe(2 * needed)
      this.held.copy(next, 0, 0, this.heldBytes)
      this.held = next
    }
    bytes.copy(this.held, this.heldBytes, start, end)
    this.heldBytes = needed
  }
}

/** The same visitor, as far as elements go. */
function elementsOf(inner: RdbVisitor): RdbVisitor {
  return {
    key: () => DEPTH.ELEMENTS,
    stringValue: (value) => inner.stringValue?.(value),
    stringBegin: (totalBytes) => inner.stringBegin?.(totalBytes),
    ...(inner.stringPart === undefined ? {} : { stringPart: (part) => inner.stringPart?.(part) }),
    stringEnd: () => inner.stringEnd?.(),
    listElement: (element) => inner.listElement?.(element),
    setMember: (member) => inner.setMember?.(member),
    zsetMember: (member, score, text) => inner.zsetMember?.(member, score, text),
    hashField: (field, value, expireAtMs) => inner.hashField?.(field, value, expireAtMs),
    streamEntry: (id, fieldCount) => inner.streamEntry?.(id, fieldCount),
    streamField: (field, value) => inner.streamField?.(field, value),
    streamMeta: (meta) => inner.streamMeta?.(meta),
    streamGroup: (group) => inner.streamGroup?.(group),
    streamGroupPending: (id, timeMs, count) => inner.streamGroupPending?.(id, timeMs, count),
    streamConsumer: (consumer) => inner.streamConsumer?.(consumer),
    streamConsumerPending: (id) => inner.streamConsumerPending?.(id),
    streamNacked: (id) => inner.streamNacked?.(id),
    streamGroupEnd: () => inner.streamGroupEnd?.(),
    streamIdmp: (seconds, max, producers) => inner.streamIdmp?.(seconds, max, producers),
    streamProducer: (producerId, ids) => inner.streamProducer?.(producerId, ids),
    streamProducerId: (iid, entryId) => inner.streamProducerId?.(iid, entryId),
    streamIdmpEnd: (added, duplicate) => inner.streamIdmpEnd?.(added, duplicate),
    arrayMeta: (count, insertIndex) => inner.arrayMeta?.(count, insertIndex),
    arrayElement: (index, value, tag) => inner.arrayElement?.(index, value, tag),
    gcra: (value) => inner.gcra?.(value),
  }
}
