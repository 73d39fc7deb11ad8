/**
 * What differs inside the values of the keys shown: two more readings of both sides, in bounded
 * memory whatever the size of a value.
 *
 * The first adds up the elements of each key in some hundred buckets (by name; in order of place
 * for lists and strings). The second keeps the elements of the first buckets that disagree, and
 * these are compared one by one. So the first differences in a list or string are exact; of a set,
 * hash, sorted set or stream some of the differences are shown, all where there are few.
 */
import type { Buffer } from 'node:buffer'
import { ElementWalk, STRING_BLOCK_BYTES, type WalkedElement } from '../../analyze/element-walk.js'
import { printable } from '../../bytes/printable.js'
import type { KeyHeader } from '../../rdb/visitor.js'
import type { Difference, ElementDifference, ValueDetail } from './options.js'
import type { OpenSide } from './side.js'

/** So many keys get details; further ones are only named. */
const MAX_KEYS = 100
const BUCKETS = 512
const SHOWN = 5
/** Elements compared one by one, for each key; of one bucket all are. */
const ELEMENTS_PER_KEY = 2000
/** All that is kept of a side: elements, and bytes of names and contents. */
const MAX_ELEMENTS = 200_000
const MAX_KEPT_BYTES = 8 << 20
const KEEP_BYTES = 4096
const KEEP_LITTLE_BYTES = 64
const TEXT_CHARS = 60
/** An excerpt begins so far before the first byte that differs. */
const BEFORE_BYTES = 16

/** Kinds of difference that have something to show inside. */
export function hasDetail(kind: Difference['kind']): boolean {
  return kind === 'value' || kind === 'field-ttl' || kind === 'stream-counters'
}

/** Adds `detail` to the first of the differences. */
export async function addValueDetails(
  differences: readonly Difference[],
  sides: { a: OpenSide; b: OpenSide },
): Promise<void> {
  const keys = new WantedKeys()
  for (const each of differences) if (hasDetail(each.kind)) keys.add(each)
  if (keys.count === 0) return
  await walk(sides.a, keys, 'a', 'sum')
  await walk(sides.b, keys, 'b', 'sum')
  for (const key of keys.all()) key.choose()
  await walk(sides.a, keys, 'a', 'keep')
  await walk(sides.b, keys, 'b', 'keep')
  for (const key of keys.all()) key.finish()
}

async function walk(
  open: OpenSide,
  keys: WantedKeys,
  side: 'a' | 'b',
  doing: 'sum' | 'keep',
): Promise<void> {
  let at: WantedKey | undefined
  let elementsLeft = MAX_ELEMENTS
  let bytesLeft = MAX_KEPT_BYTES
  const visitor = new ElementWalk({
    shiftMs: open.shiftMs ?? Number.POSITIVE_INFINITY,
    wanted: (header) => {
      at = keys.find(header)
      at?.begin(side, doing)
      return at !== undefined
    },
    counters: () => at?.counters === true,
    keep: (element) => {
      if (doing === 'sum' || !at?.isChosen(element)) return 0
      return bytesLeft > 0 ? KEEP_BYTES : KEEP_LITTLE_BYTES
    },
    element: (element) => {
      if (at === undefined) return
      if (doing === 'sum') {
        at.sides[side].sums.add(element)
      } else if (at.isChosen(element)) {
        elementsLeft -= 1
        bytesLeft -= element.name.length + element.content.length
        if (elementsLeft >= 0) at.keepElement(side, element)
        else at.tooMany = true
      }
    },
    keyEnd: (size) => {
      if (at !== undefined) at.sides[side].size = size
      at = undefined
    },
  })
  await open.read('values', undefined, () => visitor)
}

/** The keys looked for. A number sorts nearly all others out. */
class WantedKeys {
  readonly #hashes = new Set<number>()
  readonly #byName = new Map<string, WantedKey>()

  get count(): number {
    return this.#byName.size
  }

  all(): Iterable<WantedKey> {
    return this.#byName.values()
  }

  add(difference: Difference): void {
    const { db, key } = difference
    const name = `${db} ${key.toString('latin1')}`
    const known = this.#byName.get(name)
    if (known !== undefined) {
      known.add(difference)
    } else if (this.#byName.size < MAX_KEYS) {
      this.#hashes.add(hashOf(key, 0, key.length))
      this.#byName.set(name, new WantedKey(difference))
    }
  }

  find({ key, dbnum }: KeyHeader): WantedKey | undefined {
    if (!this.#hashes.has(hashOf(key.bytes, key.start, key.end))) return undefined
    return this.#byName.get(`${dbnum} ${key.bytes.toString('latin1', key.start, key.end)}`)
  }
}

function hashOf(bytes: Buffer, start: number, end: number): number {
  let hash = end - start
  for (let at = start; at < end; at += 1) hash = Math.imul(hash ^ bytes[at]!, 0x01000193)
  return hash
}

interface KeptElement {
  label: string
  index: number
  name: Buffer
  content: Buffer
  contentBytes: number
  contentHigh: number
  contentLow: number
  expireAtMs: number
}

class WantedSide {
  size = 0
  sums = new ElementSums()
  kept = new Map<string, KeptElement>()
}

class WantedKey {
  readonly sides = { a: new WantedSide(), b: new WantedSide() }
  counters = false
  tooMany = false
  readonly #differences: Difference[] = []
  readonly #chosen = new Uint8Array(BUCKETS)
  #leftOut = false

  constructor(difference: Difference) {
    this.add(difference)
  }

  add(difference: Difference): void {
    this.#differences.push(difference)
    if (difference.kind === 'stream-counters') this.counters = true
  }

  /** SCAN may give a key twice: the later counts, as in the comparison before. */
  begin(side: 'a' | 'b', doing: 'sum' | 'keep'): void {
    if (doing === 'sum') this.sides[side].sums = new ElementSums()
    else this.sides[side].kept.clear()
  }

  choose(): void {
    const { a, b } = this.sides
    a.sums.alignTo(b.sums)
    b.sums.alignTo(a.sums)
    let elements = 0
    for (let bucket = 0; bucket < BUCKETS; bucket += 1) {
      if (a.sums.isSame(b.sums, bucket)) continue
      const count = a.sums.counts[bucket]! + b.sums.counts[bucket]!
      if (elements > 0 && elements + count > ELEMENTS_PER_KEY) {
        this.#leftOut = true
        break
      }
      this.#chosen[bucket] = 1
      elements += count
    }
  }

  isChosen(element: WalkedElement): boolean {
    return this.#chosen[this.sides.a.sums.bucketOf(element)] === 1
  }

  keepElement(side: 'a' | 'b', element: WalkedElement): void {
    const { nameHigh, nameLow, label } = element
    this.sides[side].kept.set(`${label} ${nameHigh} ${nameLow}`, { ...element })
  }

  finish(): void {
    const { a, b } = this.sides
    const found: { at: number; shown: ElementDifference }[] = []
    for (const [name, left] of a.kept) {
      const right = b.kept.get(name)
      if (right === undefined || !isSame(left, right)) {
        found.push({ at: left.index, shown: describe(left, right) })
      }
    }
    for (const [name, right] of b.kept) {
      if (!a.kept.has(name)) found.push({ at: right.index, shown: describe(undefined, right) })
    }
    found.sort((x, y) => x.at - y.at)
    const detail: ValueDetail = {
      sizeA: a.size,
      sizeB: b.size,
      elements: this.tooMany ? [] : found.slice(0, SHOWN).map((each) => each.shown),
      more: this.tooMany || this.#leftOut || found.length > SHOWN,
    }
    // A key that differs in several ways says it once.
    this.#differences[0]!.detail = detail
    a.kept.clear()
    b.kept.clear()
  }
}

/** Hashes of elements, added up. Places are put together two by two when they are too many. */
class ElementSums {
  readonly counts = new Uint32Array(BUCKETS)
  readonly #highs = new Int32Array(BUCKETS)
  readonly #lows = new Int32Array(BUCKETS)
  #placesPerBucket = 1

  bucketOf({ index, nameHigh }: WalkedElement): number {
    return index < 0 ? nameHigh & (BUCKETS - 1) : Math.floor(index / this.#placesPerBucket)
  }

  add(element: WalkedElement): void {
    while (element.index >= BUCKETS * this.#placesPerBucket) this.#fold()
    const bucket = this.bucketOf(element)
    const { nameHigh, nameLow, contentHigh, contentLow } = element
    const high = Math.imul(nameHigh ^ rotate(contentLow), 0x2c1b3c6d) ^ contentHigh
    const low = Math.imul(nameLow ^ rotate(contentHigh), 0x297a2d39) ^ contentLow
    this.counts[bucket] = this.counts[bucket]! + 1
    this.#highs[bucket] = this.#highs[bucket]! + high
    this.#lows[bucket] = this.#lows[bucket]! + low
  }

  alignTo(other: ElementSums): void {
    while (this.#placesPerBucket < other.#placesPerBucket) this.#fold()
  }

  isSame(other: ElementSums, bucket: number): boolean {
    return (
      this.counts[bucket] === other.counts[bucket] &&
      this.#highs[bucket] === other.#highs[bucket] &&
      this.#lows[bucket] === other.#lows[bucket]
    )
  }

  #fold(): void {
    for (const sums of [this.counts, this.#highs, this.#lows]) {
      for (let i = 0; i < BUCKETS / 2; i += 1) sums[i] = sums[2 * i]! + sums[2 * i + 1]!
      sums.fill(0, BUCKETS / 2)
    }
    this.#placesPerBucket *= 2
  }
}

function rotate(value: number): number {
  return (value << 13) | (value >>> 19)
}

function isSame(a: KeptElement, b: KeptElement): boolean {
  return a.contentHigh === b.contentHigh && a.contentLow === b.contentLow
}

function describe(a: KeptElement | undefined, b: KeptElement | undefined): ElementDifference {
  const either = (a ?? b)!
  const at = a !== undefined && b !== undefined ? firstDifference(a.content, b.content) : 0
  const from = at <= 2 * BEFORE_BYTES ? 0 : at - BEFORE_BYTES
  return {
    element: nameOf(either, at),
    a: a === undefined ? null : contentOf(a, b, from),
    b: b === undefined ? null : contentOf(b, a, from),
  }
}

function nameOf({ label, index, name, content, contentBytes }: KeptElement, at: number): string {
  if (label === '') {
    // A block of a string. Where it was not kept whole, the difference may lie behind.
    const isKept = at < content.length || content.length === contentBytes
    const start = index * STRING_BLOCK_BYTES
    return isKept ? `byte ${start + at}` : `bytes from ${start} on`
  }
  if (index >= 0) return `${label} ${index}`
  return name.length === 0 ? label : `${label} ${quoted(name, 0, name.length)}`
}

function contentOf(
  { content, contentBytes, expireAtMs }: KeptElement,
  other: KeptElement | undefined,
  from: number,
): string {
  const text = contentBytes === 0 ? '' : quoted(content, from, contentBytes)
  if (other === undefined || expireAtMs === other.expireAtMs) return text
  const time = expireAtMs === -1 ? 'no expiry' : `expires ${timeText(expireAtMs)}`
  return text === '' ? time : `${text}, ${time}`
}

function timeText(unixMs: number): string {
  const date = new Date(unixMs)
  return Number.isNaN(date.getTime()) ? `${unixMs} ms` : date.toISOString()
}

/** `"…text…"`: never a raw byte of control. `wholeBytes` may be more than are there. */
function quoted(bytes: Buffer, from: number, wholeBytes: number): string {
  const text = printable(bytes, Math.min(from, bytes.length), bytes.length, TEXT_CHARS)
  const cut = bytes.length < wholeBytes && !text.endsWith('…') ? '…' : ''
  return `"${from > 0 ? '…' : ''}${text}${cut}"`
}

function firstDifference(a: Buffer, b: Buffer): number {
  const length = Math.min(a.length, b.length)
  let at = 0
  while (at < length && a[at] === b[at]) at += 1
  return at
}
