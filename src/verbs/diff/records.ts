/**
 * The second pass of a comparison: records of the keys that may differ, in parts by name, each
 * part small enough to be compared in memory. Few records stay in memory altogether; many go to
 * files of the run's temporary directory, one for each part and side. RECORD says what is where in
 * one; the name is behind.
 */
import { DIGEST_NAME, DIGEST_RECORD_BYTES } from '../../kernels/abi.js'
import { Buffer } from 'node:buffer'
import { appendFileSync, closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import type { Slice } from '../../rdb/visitor.js'
import { fileError } from '../../disk/file-error.js'
import { RecordTable } from './table.js'

const KEYS_PER_PART = 200_000
const NAME_BYTES_PER_PART = 16 << 20
const MEMORY_BYTES_PER_SIDE = 8 << 20
const MIN_BUFFER_BYTES = 1 << 13
const NO_BYTES = Buffer.alloc(0)

export interface PartEvents {
  /** SCAN may give a key twice; a snapshot never does. */
  twice(side: 'a' | 'b'): void
  /** Offsets of the records of one key, -1 for none. */
  pair(a: RecordTable, atA: number, b: RecordTable, atB: number): void
}

export class DiffRecords {
  readonly a: DiffSide
  readonly b: DiffSide
  readonly #parts: number

  /** @param suspects how many keys will come, and bytes of their names */
  constructor(directory: string, suspects: { keys: number; nameBytes: number }) {
    const { keys, nameBytes } = suspects
    const byName = Math.ceil(nameBytes / NAME_BYTES_PER_PART)
    this.#parts = Math.max(1, byName, Math.ceil(keys / KEYS_PER_PART))
    this.a = new DiffSide(join(directory, 'a'), this.#parts)
    this.b = new DiffSide(join(directory, 'b'), this.#parts)
  }

  /** Brings the records of each key together. */
  compare(events: PartEvents): void {
    const a = new RecordTable()
    const b = new RecordTable()
    for (let part = 0; part < this.#parts; part += 1) {
      a.load(this.a.part(part), () => events.twice('a'))
      b.load(this.b.part(part), () => events.twice('b'))
      for (let atB = b.next(0); atB >= 0; atB = b.next(b.endOf(atB))) {
        const atA = a.find(b, atB)
        events.pair(a, atA, b, atB)
        if (atA >= 0) a.remove(atA)
      }
      for (let atA = a.next(0); atA >= 0; atA = a.next(a.endOf(atA))) events.pair(a, atA, b, -1)
    }
  }
}

interface PartBuffer {
  readonly file: string
  bytes: Buffer
  length: number
  hasFile: boolean
}

/** The records of one side while they are collected. */
export class DiffSide {
  readonly #parts: PartBuffer[]
  /** What the buffer of a part grows to. */
  readonly #mostBytes: number
  #readBytes: Buffer = NO_BYTES

  constructor(path: string, parts: number) {
    this.#parts = Array.from({ length: parts }, (_, part) => ({
      file: `${path}-${part}`,
      bytes: NO_BYTES,
      length: 0,
      hasFile: false,
    }))
    this.#mostBytes = Math.max(MIN_BUFFER_BYTES, Math.ceil(MEMORY_BYTES_PER_SIDE / parts))
  }

  /** record[at, at + DIGEST_RECORD_BYTES), whatever stands behind it. */
  add(record: Buffer, at: number, name: Slice): void {
    const nameBytes = name.end - name.start
    const bytes = DIGEST_RECORD_BYTES + nameBytes
    // Other bits than those that choose the bucket.
    const part = this.#parts[record.readUInt32LE(at + DIGEST_NAME + 4) % this.#parts.length]!
    if (part.length + bytes > part.bytes.length) this.#makeRoom(part, bytes)
    const to = part.length
    if (name.bytes === record && name.start === at + DIGEST_RECORD_BYTES) {
      record.copy(part.bytes, to, at, at + bytes)
    } else {
      record.copy(part.bytes, to, at, at + DIGEST_RECORD_BYTES)
      name.bytes.copy(part.bytes, to + DIGEST_RECORD_BYTES, name.start, name.end)
    }
    part.length = to + bytes
  }

  /** No more will come. */
  end(): void {
    for (const part of this.#parts) {
      // Who has files keeps nothing else, so that the other side has the memory.
      if (!part.hasFile) continue
      writeOut(part)
      part.bytes = NO_BYTES
    }
  }

  /** All records of a part; valid until the next call. */
  part(index: number): Buffer {
    const part = this.#parts[index]!
    return part.hasFile ? this.#read(part.file) : part.bytes.subarray(0, part.length)
  }

  #makeRoom(part: PartBuffer, bytes: number): void {
    const mostBytes = this.#mostBytes
    if (part.length + bytes > mostBytes) writeOut(part)
    // That of one very long name.
    if (part.bytes.length > mostBytes) part.bytes = NO_BYTES
    const needed = part.length + bytes
    if (needed <= part.bytes.length) return
    const next = Buffer.allocUnsafeSlow(Math.max(needed, Math.min(mostBytes, 2 * needed)))
    part.bytes.copy(next, 0, 0, part.length)
    part.bytes = next
  }

  #read(file: string): Buffer {
    let descriptor: number | undefined
    try {
      descriptor = openSync(file, 'r')
      const { size } = fstatSync(descriptor)
      if (size > this.#readBytes.length)
        this.#readBytes = Buffer.allocUnsafeSlow(size + (size >> 3))
      for (let at = 0; at < size;) {
        const count = readSync(descriptor, this.#readBytes, at, size - at, at)
        if (count === 0) throw new Error('it has become shorter')
        at += count
      }
      return this.#readBytes.subarray(0, size)
    } catch (error) {
      throw fileError(file, 'read', error)
    } finally {
      if (descriptor !== undefined) closeSync(descriptor)
    }
  }
}

/** To the part's file; its buffer is empty then. */
function writeOut(part: PartBuffer): void {
  if (part.length === 0) return
  try {
    appendFileSync(part.file, part.bytes.subarray(0, part.length), { mode: 0o600 })
  } catch (error) {
    throw fileError(part.file, 'write', error)
  }
  part.length = 0
  part.hasFile = true
}
