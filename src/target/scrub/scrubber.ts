/**
 * `--scrub`: personal data in a dump becomes other data of the same kind. Names are changed where keys
 * are placed, values by a visitor in front of who writes them from their elements. A value that cannot be
 * changed so (modules, arrays) and should be is not written: the writer counts it.
 */
import { Buffer } from 'node:buffer'
import { compileGlob, type ByteMatcher } from '../../bytes/glob.js'
import type { ElementVisitor, KeyHeader, RdbVisitor, Slice } from '../../rdb/visitor.js'
import { PIECE_BYTES, Pseudonyms } from './pseudonyms.js'
import { checkScrub, type ScrubOptions, type ScrubRule, type ScrubValues } from './rules.js'

export type { ScrubOptions, ScrubRule } from './rules.js'

/** Keys by what became of their values; of `unmatched` no rule says anything. */
export type ScrubCounts = Record<ScrubValues | 'unmatched', number>

interface CompiledRule {
  readonly values: ScrubValues
  readonly keys: NonNullable<ScrubRule['keys']>
  readonly hashesFieldNames: boolean
  readonly matches: ByteMatcher
  readonly hasField: (field: Slice) => boolean
}

const [ZERO, NINE, X] = [0x30, 0x39, 0x78]
const [COLON, OPEN, CLOSE, AT] = [0x3a, 0x7b, 0x7d, 0x40]
const NOTHING = Buffer.alloc(0)

export class Scrubber {
  readonly counts: ScrubCounts = { hash: 0, blank: 0, keep: 0, unmatched: 0 }
  readonly pseudonyms: Pseudonyms
  readonly #rules: readonly CompiledRule[]

  /** Throws UsageError. */
  constructor(options: ScrubOptions) {
    checkScrub(options)
    this.pseudonyms = new Pseudonyms(options.secret)
    this.#rules = options.rules.map((rule) => compile(rule))
  }

  ruleOf({ bytes, start, end }: Slice): CompiledRule | undefined {
    return this.#rules.find((rule) => rule.matches(bytes, start, end))
  }

  /** The name that a key goes under; `source` is its name in the source. */
  name(source: Slice, name: Slice): Slice {
    const keys = this.ruleOf(source)?.keys ?? 'keep'
    if (keys === 'keep') return name
    const out = Buffer.from(name.bytes.subarray(name.start, name.end))
    const colon = out.indexOf(COLON)
    let from = keys === 'hash' ? colon + 1 : 0
    for (let at = from; at <= out.length; at += 1) {
      if (at < out.length && out[at] !== COLON && out[at] !== OPEN && out[at] !== CLOSE) continue
      const part = out.subarray(from, at)
      if (keys === 'hash' || part.some(isOfId)) this.pseudonyms.of(part).copy(out, from)
      from = at + 1
    }
    return { bytes: out, start: 0, end: out.length }
  }

  values(inner: ElementVisitor & Partial<RdbVisitor>): ScrubbedValues {
    return new ScrubbedValues(this, inner)
  }
}

/** The elements of values on their way to who writes them. */
export class ScrubbedValues implements Partial<RdbVisitor> {
  readonly #scrubber: Scrubber
  readonly #inner: ElementVisitor & Partial<RdbVisitor>
  #rule: CompiledRule | undefined
  #chain: Buffer = NOTHING
  /** Of a long string: what has come of the next piece. */
  readonly #piece = Buffer.allocUnsafe(PIECE_BYTES)
  #pieceBytes = 0

  constructor(scrubber: Scrubber, inner: ElementVisitor & Partial<RdbVisitor>) {
    this.#scrubber = scrubber
    this.#inner = inner
  }

  /** True: the value of this key must not stay as it is. */
  begin(header: KeyHeader): boolean {
    const rule = this.#scrubber.ruleOf(header.key)
    const isChanged = rule !== undefined && (rule.values !== 'keep' || rule.hashesFieldNames)
    this.#rule = isChanged ? rule : undefined
    this.#scrubber.counts[rule?.values ?? 'unmatched'] += 1
    return isChanged
  }

  count(coming: number): void {
    this.#inner.count?.(coming)
  }

  stringValue(value: Slice): void {
    this.#inner.stringValue(this.#value(value))
  }

  stringBegin(totalBytes: number): void {
    this.#chain = NOTHING
    this.#pieceBytes = 0
    this.#inner.stringBegin?.(totalBytes)
  }

  stringPart(part: Slice): void {
    if (this.#rule === undefined) {
      this.#inner.stringPart?.(part)
      return
    }
    let { start } = part
    while (start < part.end) {
      const copied = part.bytes.copy(this.#piece, this.#pieceBytes, start, part.end)
      start += copied
      this.#pieceBytes += copied
      if (this.#pieceBytes === PIECE_BYTES) this.#endPiece()
    }
  }

  stringEnd(): void {
    if (this.#pieceBytes > 0) this.#endPiece()
    this.#inner.stringEnd?.()
  }

  listElement(element: Slice): void {
    this.#inner.listElement(this.#value(element))
  }

  setMember(member: Slice): void {
    this.#inner.setMember(this.#member(member))
  }

  zsetMember(member: Slice, score: number, scoreText: Slice): void {
    this.#inner.zsetMember(this.#member(member), score, scoreText)
  }

  hashField(field: Slice, value: Slice, expireAtMs: number): void {
    this.#inner.hashField(this.#fieldName(field), this.#fieldValue(field, value), expireAtMs)
  }

  streamField(field: Slice, value: Slice): void {
    this.#inner.streamField(this.#fieldName(field), this.#fieldValue(field, value))
  }

  #fieldName(field: Slice): Slice {
    return this.#rule?.hashesFieldNames === true ? this.#hashed(field) : field
  }

  #fieldValue(field: Slice, value: Slice): Slice {
    return this.#rule?.hasField(field) === true ? this.#value(value) : value
  }

  #value(value: Slice): Slice {
    if (this.#rule === undefined || this.#rule.values === 'keep') return value
    return this.#rule.values === 'hash' ? this.#hashed(value) : whole(blank(bytesOf(value)))
  }

  /** Blank members would be one. */
  #member(member: Slice): Slice {
    if (this.#rule === undefined || this.#rule.values === 'keep') return member
    return this.#hashed(member)
  }

  #hashed(value: Slice): Slice {
    return whole(this.#scrubber.pseudonyms.of(bytesOf(value)))
  }

  #endPiece(): void {
    const piece = this.#piece.subarray(0, this.#pieceBytes)
    const { pseudonyms } = this.#scrubber
    this.#pieceBytes = 0
    if (this.#rule?.values === 'hash') {
      this.#inner.stringPart?.(whole(pseudonyms.piece(piece, this.#chain)))
      this.#chain = pseudonyms.chain(this.#chain, piece)
    } else {
      this.#inner.stringPart?.(whole(this.#rule?.values === 'blank' ? blank(piece) : piece))
    }
  }
}

function compile(rule: ScrubRule): CompiledRule {
  const fields = rule.fields?.map((field) => Buffer.from(field))
  return {
    values: rule.do ?? 'keep',
    keys: rule.keys ?? 'keep',
    hashesFieldNames: rule.fieldNames === 'hash',
    matches: compileGlob(Buffer.from(rule.match)),
    hasField: (field) => fields?.some((each) => each.equals(bytesOf(field))) ?? true,
  }
}

function isOfId(byte: number): boolean {
  return (byte >= ZERO && byte <= NINE) || byte === AT || byte >= 0x80
}

function blank(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.map((byte) => (byte >= ZERO && byte <= NINE ? ZERO : X)))
}

function bytesOf({ bytes, start, end }: Slice): Buffer {
  return bytes.subarray(start, end)
}

function whole(bytes: Buffer): Slice {
  return { bytes, start: 0, end: bytes.length }
}
