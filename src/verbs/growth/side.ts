/**
 * The keys of one side on their way to the comparison: a record for each, in one of PARTS parts by
 * its hash. The last of a part waits in memory, what is more lies in a file without a name; so do
 * the names.
 */
import { Buffer } from 'node:buffer'
import { join } from 'node:path'
import type { AnalyzedKey, AnalyzedStrings } from '../../analyze/key-analysis.js'
import type { KeyHash } from '../../analyze/growth/key-hash.js'
import {
  HASHED_NAME_WORD,
  HASHED_WORDS,
  NameHashLane,
} from '../../analyze/growth/name-hash-lane.js'
import type { PrefixMarks } from '../../analyze/growth/prefix-marks.js'
import {
  NAME_ALIGN,
  NO_NAME,
  RECORD_CLASS,
  RECORD_HASH,
  RECORD_MEMORY,
  RECORD_NAME,
  RECORD_PREFIX,
  RECORD_WORDS,
  packClass,
} from '../../analyze/growth/record.js'
import type { Numbering } from '../../analyze/growth/sums.js'
import { TtlHistogram } from '../../analyze/totals.js'
import { DataFile } from '../../disk/data-file.js'
import { newOwnerToken } from '../../disk/owner.js'
import { kernelOf } from '../../kernels/kernel.js'
import type { StringBatch } from '../../rdb/lane/lane.js'
import { KIND, KIND_NAMES } from '../../rdb/visitor.js'

export const PARTS = 128
const PART_SHIFT = 25
const CHUNK_BYTES = 1 << 16
const CHUNK_WORDS = CHUNK_BYTES / 4
const NAMES_BYTES = 1 << 20

/** What both sides have in common. */
export interface GrowthCommon {
  readonly directory: string
  readonly hash: KeyHash
  readonly prefixes: PrefixMarks
  readonly types: Numbering<string>
  readonly databases: Numbering<number>
}

/** Moments in unix ms, asked at the first key: the dump has told of them by then. */
export interface SideMoments {
  /** What times to live refer to. */
  asOf: () => number
  /** What is before it has gone by its time, where it is gone. */
  expiredBy: () => number
}

/** By row. */
interface RowColumns {
  readonly classes: Int32Array
  readonly marks: Uint32Array
  readonly memory: Float64Array
}

export class GrowthSide {
  /** Keys so far. */
  records = 0
  readonly #common: GrowthCommon
  readonly #moments: SideMoments
  /** A chunk for each part, one behind the other: memory is taken as they fill. */
  readonly #bytes = Buffer.from(new ArrayBuffer(PARTS * CHUNK_BYTES))
  readonly #words = new Uint32Array(this.#bytes.buffer)
  /** The same with a sign, as V8 has numbers in registers. */
  readonly #signed = new Int32Array(this.#bytes.buffer)
  readonly #doubles = new Float64Array(this.#bytes.buffer)
  /** Words in use, by part. */
  readonly #lengths = new Int32Array(PARTS)
  /** Where the full chunks of a part lie in the file. */
  readonly #chunks = Array.from({ length: PARTS }, (): number[] => [])
  #file: DataFile | undefined
  readonly #names: NameFile
  #lane: NameHashLane | undefined
  #classes = new Int32Array(0)
  #ttl: TtlHistogram | undefined
  #expiredByMs = 0
  readonly #stringType: number

  constructor(common: GrowthCommon, moments: SideMoments) {
    this.#common = common
    this.#moments = moments
    this.#names = new NameFile(common.directory, common.hash)
    this.#stringType = common.types.of(KIND_NAMES[KIND.STRING]!)
  }

  readonly add = ({ header, type, memory }: AnalyzedKey): void => {
    const { prefixes, types, databases } = this.#common
    const { bytes, start, end } = header.key
    const mark = prefixes.add(bytes, start, end, memory)
    const name = this.#names.add(header.dbnum, bytes, start, end)
    const { hasExpiry, expireAtMs } = header
    const classOf = this.#classOf(
      header.kind === KIND.STRING ? this.#stringType : types.of(type),
      hasExpiry,
      expireAtMs,
      databases.of(header.dbnum),
    )
    this.#put(classOf, mark, name, memory)
    this.records += 1
  }

  readonly addStrings = ({ rows, memory }: AnalyzedStrings): void => {
    const marks = this.#common.prefixes.addRows(rows, memory)
    const classes = this.#classesOf(rows)
    const owner = kernelOf(rows.bytes)
    if (owner !== undefined && this.#lane?.belongsTo(owner) !== true) {
      this.#lane = new NameHashLane(owner, this.#common.hash.secret)
    }
    const { count } = rows
    for (let row = 0; row < count;) {
      const taken = this.#lane?.take(row, count, rows.dbnum) ?? 0
      if (taken > 0) {
        this.#putMany(this.#lane!, row, row + taken, { classes, marks, memory })
        row += taken
        continue
      }
      const name = this.#names.add(rows.dbnum, rows.bytes, rows.keyStart(row), rows.keyEnd(row))
      this.#put(classes[row]!, marks[row]!, name, memory[row]!)
      row += 1
    }
    this.records += count
  }

  /** By row. */
  #classesOf(rows: StringBatch): Int32Array {
    const { count } = rows
    const db = this.#common.databases.of(rows.dbnum)
    if (this.#classes.length < count) this.#classes = new Int32Array(count)
    const classes = this.#classes.fill(this.#classOf(this.#stringType, false, -1, db), 0, count)
    for (let row = 0; row < count; row += 1) {
      if (rows.hasExpiry(row)) {
        classes[row] = this.#classOf(this.#stringType, true, rows.expireAtMs(row), db)
      }
    }
    return classes
  }

  #classOf(type: number, hasExpiry: boolean, expireAtMs: number, db: number): number {
    if (this.#ttl === undefined) {
      this.#ttl = new TtlHistogram(this.#moments.asOf())
      this.#expiredByMs = this.#moments.expiredBy()
    }
    const isExpired = hasExpiry && expireAtMs <= this.#expiredByMs
    return packClass(type, this.#ttl.classOf(hasExpiry, expireAtMs), isExpired, db)
  }

  /** Of the rows that were hashed last. */
  #putMany(lane: NameHashLane, first: number, last: number, columns: RowColumns): void {
    const { classes, marks, memory } = columns
    const { hashed } = lane
    const start = this.#names.addMany(lane.names)
    const lengths = this.#lengths
    const words = this.#signed
    const doubles = this.#doubles
    for (let row = first, from = 0; row < last; row += 1, from += HASHED_WORDS) {
      const h1 = hashed[from + 1]!
      const part = h1 >>> PART_SHIFT
      let length = lengths[part]!
      if (length === CHUNK_WORDS) {
        this.#store(part)
        length = 0
      }
      const at = part * CHUNK_WORDS + length
      words[at + RECORD_HASH] = hashed[from]!
      words[at + RECORD_HASH + 1] = h1
      words[at + RECORD_HASH + 2] = hashed[from + 2]!
      words[at + RECORD_CLASS] = classes[row]!
      words[at + RECORD_PREFIX] = marks[row]!
      words[at + RECORD_NAME] =
        start === NO_NAME ? NO_NAME : start + hashed[from + HASHED_NAME_WORD]!
      doubles[(at + RECORD_MEMORY) >> 1] = memory[row]!
      lengths[part] = length + RECORD_WORDS
    }
  }

  /** Of the key that was hashed last. */
  #put(classOf: number, mark: number, name: number, memory: number): void {
    const { hash } = this.#common
    const part = hash.h1 >>> PART_SHIFT
    let length = this.#lengths[part]!
    if (length === CHUNK_WORDS) {
      this.#store(part)
      length = 0
    }
    const at = part * CHUNK_WORDS + length
    const words = this.#words
    words[at + RECORD_HASH] = hash.h0
    words[at + RECORD_HASH + 1] = hash.h1
    words[at + RECORD_HASH + 2] = hash.h2
    words[at + RECORD_CLASS] = classOf
    words[at + RECORD_PREFIX] = mark
    words[at + RECORD_NAME] = name
    this.#doubles[(at + RECORD_MEMORY) >> 1] = memory
    this.#lengths[part] = length + RECORD_WORDS
  }

  #store(part: number): void {
    this.#file ??= DataFile.create(join(this.#common.directory, newOwnerToken()), {
      nameless: true,
    })
    this.#chunks[part]!.push(this.#file.sizeBytes)
    this.#file.append(this.#bytes, part * CHUNK_BYTES, (part + 1) * CHUNK_BYTES)
  }

  /** How many records a part has. */
  recordsIn(part: number): number {
    return (this.#chunks[part]!.length * CHUNK_WORDS + this.#lengths[part]!) / RECORD_WORDS
  }

  /** All records of a part, into `to`, which has room for them. */
  load(part: number, to: Buffer): void {
    let at = 0
    for (const chunk of this.#chunks[part]!) {
      this.#file!.readNow(chunk, to.subarray(at, at + CHUNK_BYTES))
      at += CHUNK_BYTES
    }
    const from = part * CHUNK_BYTES
    this.#bytes.copy(to, at, from, from + this.#lengths[part]! * 4)
  }

  name(place: number): Buffer | undefined {
    return place === NO_NAME ? undefined : this.#names.read(place)
  }

  close(): void {
    this.#file?.close()
    this.#names.close()
  }
}

/** Names one behind the other, each behind its length, at places of NAME_ALIGN bytes. */
class NameFile {
  readonly #directory: string
  readonly #hash: KeyHash
  readonly #bytes = Buffer.from(new ArrayBuffer(NAMES_BYTES))
  readonly #words = new Uint32Array(this.#bytes.buffer)
  /** Bytes in use, and where they come to lie in the file. */
  #used = 0
  #start = 0
  #file: DataFile | undefined

  constructor(directory: string, hash: KeyHash) {
    this.#directory = directory
    this.#hash = hash
  }

  /** Hashes the key as well; returns where its name is. */
  add(db: number, bytes: Uint8Array, start: number, end: number): number {
    const length = end - start
    const room = (length + 4 + NAME_ALIGN - 1) & -NAME_ALIGN
    if (this.#used + room > NAMES_BYTES) {
      this.#flush()
      if (room > NAMES_BYTES) return this.#addLong(db, bytes, start, end)
    }
    const at = this.#used
    this.#words[at >> 2] = length
    this.#hash.copy(db, bytes, start, end, this.#words, (at >> 2) + 1)
    this.#used = at + room
    return placeOf(this.#start + at)
  }

  /** Those of the kernel, as they are; returns the place where they begin, or NO_NAME. */
  addMany(names: Buffer): number {
    if (this.#used + names.length > NAMES_BYTES) this.#flush()
    this.#bytes.set(names, this.#used)
    const start = this.#start + this.#used
    this.#used += names.length
    return placeOf(start + names.length) === NO_NAME ? NO_NAME : placeOf(start)
  }

  read(place: number): Buffer {
    const from = place * NAME_ALIGN
    const head = Buffer.alloc(4)
    this.#readAt(from, head)
    const name = Buffer.alloc(head.readUInt32LE(0))
    this.#readAt(from + 4, name)
    return name
  }

  close(): void {
    this.#file?.close()
  }

  #readAt(from: number, into: Buffer): void {
    if (from >= this.#start) this.#bytes.copy(into, 0, from - this.#start)
    else this.#file!.readNow(from, into)
  }

  /** Does not fit between others: by itself to the file. */
  #addLong(db: number, bytes: Uint8Array, start: number, end: number): number {
    const room = (end - start + 4 + NAME_ALIGN - 1) & -NAME_ALIGN
    const words = new Uint32Array(room >> 2)
    words[0] = end - start
    this.#hash.copy(db, bytes, start, end, words, 1)
    const place = placeOf(this.#start)
    this.#append(new Uint8Array(words.buffer))
    return place
  }

  #flush(): void {
    this.#append(this.#bytes.subarray(0, this.#used))
    this.#used = 0
  }

  #append(bytes: Uint8Array): void {
    this.#file ??= DataFile.create(join(this.#directory, newOwnerToken()), {
      nameless: true,
    })
    this.#file.append(bytes)
    this.#start = this.#file.sizeBytes
  }
}

function placeOf(byteOffset: number): number {
  const place = byteOffset / NAME_ALIGN
  return place < NO_NAME ? place : NO_NAME
}
