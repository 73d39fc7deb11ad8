/**
 * The second pass of a comparison: records of the keys that may differ, in parts by name, each
 * part small enough to be compared in memory. Few records stay in memory altogether; many go to
 * files of the run's temporary directory, one for each part and side. RECORD says what is where in
 * one; the name is behind.
 */
import { Buffer } from 'node:buffer'
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { RECORD } from '../analyze/digest-kernel.js'
import { KIND_NAMES, type Slice } from '../rdb/visitor.js'
import { fileFault } from '../sinks/file-fault.js'
import type { Difference } from './diff.js'

/** A record read back is some hundred bytes of objects. */
const KEYS_PER_PART = 100_000
const NAME_BYTES_PER_PART = 16 << 20
const MEMORY_BYTES_PER_SIDE = 12 << 20
const WRITE_BYTES = 1 << 16

export interface CompareEvents {
  /** On one side only, and past its time. */
  expired(): void
  /** SCAN may give a key twice; a snapshot never does. */
  twice(side: 'a' | 'b'): void
  different(differences: readonly Difference[]): void
}

export class DiffRecords {
  readonly a: DiffSide
  readonly b: DiffSide
  private readonly parts: number

  /** @param suspects how many keys will come, and bytes of their names */
  constructor(directory: string, suspects: { keys: number; nameBytes: number }) {
    const { keys, nameBytes } = suspects
    const byName = Math.ceil(nameBytes / NAME_BYTES_PER_PART)
    this.parts = Math.max(1, byName, Math.ceil(keys / KEYS_PER_PART))
    this.a = new DiffSide(join(directory, 'a'), this.parts)
    this.b = new DiffSide(join(directory, 'b'), this.parts)
  }

  compare(ttlToleranceMs: number, nowMs: number, events: CompareEvents): void {
    for (let part = 0; part < this.parts; part += 1) {
      const left = readRecords(this.a.part(part), () => events.twice('a'))
      const rights = readRecords(this.b.part(part), () => events.twice('b'))
      for (const [name, right] of rights) {
        const other = left.get(name)
        left.delete(name)
        if (other === undefined) missing(right, 'missing-in-a', nowMs, events)
        else {
          const differences = compareRecords(other, right, ttlToleranceMs)
          if (differences.length > 0) events.different(differences)
        }
      }
      for (const record of left.values()) missing(record, 'missing-in-b', nowMs, events)
    }
  }
}

/** The records of one side while they are collected. */
export class DiffSide {
  private readonly path: string
  private readonly buffers: { bytes: Buffer; length: number }[]
  private held = 0

  constructor(path: string, parts: number) {
    this.path = path
    this.buffers = Array.from({ length: parts }, () => ({ bytes: Buffer.alloc(1024), length: 0 }))
  }

  /** record[at, at + RECORD.BYTES), whatever stands behind it. */
  add(record: Buffer, at: number, name: Slice): void {
    const bytes = RECORD.BYTES + name.end - name.start
    // Other bits than those that choose the bucket.
    const part = record.readUInt32LE(at + RECORD.NAME + 4) % this.buffers.length
    const buffer = this.buffers[part]!
    const from = buffer.length
    const needed = from + bytes
    if (needed > buffer.bytes.length) {
      const next = Buffer.alloc(2 * needed)
      buffer.bytes.copy(next, 0, 0, from)
      buffer.bytes = next
    }
    record.copy(buffer.bytes, from, at, at + RECORD.BYTES)
    name.bytes.copy(buffer.bytes, from + RECORD.BYTES, name.start, name.end)
    buffer.length = needed
    this.held += bytes
    if (this.held > MEMORY_BYTES_PER_SIDE) this.spill()
  }

  /** All records of a part, from its file and from memory. */
  part(part: number): Buffer {
    const { bytes, length } = this.buffers[part]!
    const file = this.file(part)
    const inMemory = bytes.subarray(0, length)
    return existsSync(file) ? Buffer.concat([readFileSync(file), inMemory]) : inMemory
  }

  private spill(): void {
    this.buffers.forEach((buffer, part) => {
      if (buffer.length === 0) return
      const bytes = buffer.bytes.subarray(0, buffer.length)
      try {
        appendFileSync(this.file(part), bytes, { mode: 0o600 })
      } catch (error) {
        throw fileFault(this.file(part), 'write', error)
      }
      buffer.length = 0
      if (buffer.bytes.length > WRITE_BYTES) buffer.bytes = Buffer.alloc(1024)
    })
    this.held = 0
  }

  private file(part: number): string {
    return `${this.path}-${part}`
  }
}

interface Record {
  key: Buffer
  bytes: Buffer
  at: number
}

function readRecords(bytes: Buffer, onTwice: () => void): Map<string, Record> {
  const records = new Map<string, Record>()
  let at = 0
  while (at < bytes.length) {
    const keyAt = at + RECORD.BYTES
    const end = keyAt + bytes.readUInt32LE(at + RECORD.NAME_BYTES)
    const key = bytes.subarray(keyAt, end)
    const name = `${bytes.readUInt32LE(at + RECORD.DB)} ${key.toString('latin1')}`
    if (records.has(name)) onTwice()
    records.set(name, { key, bytes, at })
    at = end
  }
  return records
}

function missing(
  record: Record,
  kind: 'missing-in-a' | 'missing-in-b',
  nowMs: number,
  events: CompareEvents,
): void {
  const expireAtMs = expiryOf(record)
  if (expireAtMs !== -1 && expireAtMs <= nowMs) events.expired()
  else events.different([difference(kind, record)])
}

function compareRecords(a: Record, b: Record, ttlToleranceMs: number): Difference[] {
  const found: Difference[] = []
  const [kindA, kindB] = [word(a, RECORD.KIND), word(b, RECORD.KIND)]
  if (kindA !== kindB) {
    found.push({ ...difference('type', a), a: KIND_NAMES[kindA]!, b: KIND_NAMES[kindB]! })
  } else {
    if (!isSame(a, b, RECORD.VALUE, 16)) found.push(difference('value', a))
    if (!isSame(a, b, RECORD.FIELD_EXPIRY, 8)) found.push(difference('field-ttl', a))
    const areCounted = word(a, RECORD.HAS_COUNTERS) === 1 && word(b, RECORD.HAS_COUNTERS) === 1
    if (areCounted && !isSame(a, b, RECORD.COUNTERS, 8)) {
      found.push(difference('stream-counters', a))
    }
  }
  if (!isSameExpiry(expiryOf(a), expiryOf(b), ttlToleranceMs)) {
    found.push({ ...difference('ttl', a), a: shownExpiry(a), b: shownExpiry(b) })
  }
  return found
}

function word(record: Record, field: number): number {
  return record.bytes.readUInt32LE(record.at + field)
}

function isSame(a: Record, b: Record, field: number, size: number): boolean {
  const [atA, atB] = [a.at + field, b.at + field]
  return a.bytes.compare(b.bytes, atB, atB + size, atA, atA + size) === 0
}

function expiryOf({ bytes, at }: Record): number {
  return bytes.readDoubleLE(at + RECORD.EXPIRE_AT)
}

function isSameExpiry(a: number, b: number, toleranceMs: number): boolean {
  if (a === -1 || b === -1) return a === b
  return Math.abs(a - b) <= toleranceMs
}

function shownExpiry(record: Record): number | null {
  const expireAtMs = expiryOf(record)
  return expireAtMs === -1 ? null : expireAtMs
}

function difference(kind: Difference['kind'], record: Record): Difference {
  return { kind, db: word(record, RECORD.DB), key: record.key }
}
