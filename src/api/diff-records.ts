/**
 * The second pass of a comparison: records of the keys that may differ, in parts by name, each
 * part small enough to be compared in memory. Few records stay in memory altogether; many go to
 * files of the run's temporary directory, one for each part and side.
 *
 *   u32 db, u32 key length, u8 kind, u8 has counters, f64 expiry or -1, 6 × i32 lanes, key
 */
import { Buffer } from 'node:buffer'
import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { KeyDigest } from '../analyze/value-digest.js'
import { KIND_NAMES, type KeyHeader } from '../rdb/visitor.js'
import { fileFault } from '../sinks/file-fault.js'
import type { Difference } from './diff.js'

/** A record read back is some hundred bytes of objects. */
const KEYS_PER_PART = 100_000
const NAME_BYTES_PER_PART = 16 << 20
const MEMORY_BYTES_PER_SIDE = 12 << 20
const FIXED_BYTES = 42
const LANES_AT = 18
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

  add(digest: KeyDigest, header: KeyHeader): void {
    const { key } = header
    const keyBytes = key.end - key.start
    const part = (digest.nameLow >>> 0) % this.buffers.length
    const buffer = this.buffers[part]!
    const needed = buffer.length + FIXED_BYTES + keyBytes
    if (needed > buffer.bytes.length) {
      const next = Buffer.alloc(2 * needed)
      buffer.bytes.copy(next, 0, 0, buffer.length)
      buffer.bytes = next
    }
    const { bytes, length: at } = buffer
    bytes.writeUInt32LE(header.dbnum, at)
    bytes.writeUInt32LE(keyBytes, at + 4)
    bytes[at + 8] = header.kind
    bytes[at + 9] = digest.hasCounters ? 1 : 0
    bytes.writeDoubleLE(digest.expireAtMs, at + 10)
    bytes.writeInt32LE(digest.valueHigh, at + LANES_AT)
    bytes.writeInt32LE(digest.valueLow, at + LANES_AT + 4)
    bytes.writeInt32LE(digest.fieldExpiry, at + LANES_AT + 8)
    bytes.writeInt32LE(digest.counters, at + LANES_AT + 12)
    bytes.writeInt32LE(digest.nameHigh, at + LANES_AT + 16)
    bytes.writeInt32LE(digest.nameLow, at + LANES_AT + 20)
    key.bytes.copy(bytes, at + FIXED_BYTES, key.start, key.end)
    buffer.length = needed
    this.held += FIXED_BYTES + keyBytes
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
  db: number
  key: Buffer
  kind: number
  hasCounters: boolean
  expireAtMs: number
  bytes: Buffer
  at: number
}

function readRecords(bytes: Buffer, onTwice: () => void): Map<string, Record> {
  const records = new Map<string, Record>()
  let at = 0
  while (at < bytes.length) {
    const end = at + FIXED_BYTES + bytes.readUInt32LE(at + 4)
    const db = bytes.readUInt32LE(at)
    const key = bytes.subarray(at + FIXED_BYTES, end)
    const name = `${db} ${key.toString('latin1')}`
    if (records.has(name)) onTwice()
    records.set(name, {
      db,
      key,
      kind: bytes[at + 8]!,
      hasCounters: bytes[at + 9] === 1,
      expireAtMs: bytes.readDoubleLE(at + 10),
      bytes,
      at: at + LANES_AT,
    })
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
  if (record.expireAtMs !== -1 && record.expireAtMs <= nowMs) events.expired()
  else events.different([difference(kind, record)])
}

function compareRecords(a: Record, b: Record, ttlToleranceMs: number): Difference[] {
  const found: Difference[] = []
  const lane = (record: Record, index: number): number =>
    record.bytes.readInt32LE(record.at + 4 * index)
  const sameLane = (index: number): boolean => lane(a, index) === lane(b, index)
  if (a.kind !== b.kind) {
    found.push({ ...difference('type', a), a: KIND_NAMES[a.kind]!, b: KIND_NAMES[b.kind]! })
  } else {
    if (!sameLane(0) || !sameLane(1)) found.push(difference('value', a))
    if (!sameLane(2)) found.push(difference('field-ttl', a))
    if (a.hasCounters && b.hasCounters && !sameLane(3)) {
      found.push(difference('stream-counters', a))
    }
  }
  if (!sameExpiry(a.expireAtMs, b.expireAtMs, ttlToleranceMs)) {
    found.push({ ...difference('ttl', a), a: shownExpiry(a), b: shownExpiry(b) })
  }
  return found
}

function sameExpiry(a: number, b: number, toleranceMs: number): boolean {
  if (a === -1 || b === -1) return a === b
  return Math.abs(a - b) <= toleranceMs
}

function shownExpiry(record: Record): number | null {
  return record.expireAtMs === -1 ? null : record.expireAtMs
}

function difference(kind: Difference['kind'], record: Record): Difference {
  return { kind, db: record.db, key: record.key }
}
