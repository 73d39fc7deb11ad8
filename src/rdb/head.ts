/**
 * The front of a snapshot, read from its first bytes alone: the magic, and the aux fields behind it
 * with what they tell (which server made it, when, which db its stream goes on in). The one place
 * for who wants that without a parser. Stops at the first thing that is no aux field, or where the
 * bytes end.
 */
import { ProtocolError } from '../errors.js'
import type { ServerKind } from '../servers/rdb-version.js'
import type { RdbStart } from './visitor.js'

const OPCODE_AUX = 0xfa
export const MAGIC_BYTES = 9

/** `REDIS0010`, `VALKEY080`; undefined where it is neither. */
export function rdbMagicOf(head: Uint8Array): RdbStart | undefined {
  const text = Buffer.from(head.buffer, head.byteOffset, Math.min(MAGIC_BYTES, head.length))
  const found = /^(?:REDIS(\d{4})|VALKEY(\d{3}))$/.exec(text.toString('latin1'))
  if (found === null) return undefined
  return found[1] === undefined
    ? { family: 'valkey', version: Number(found[2]) }
    : { family: 'redis', version: Number(found[1]) }
}

/** The same where it must be one. Throws ProtocolError. */
export function parseRdbMagic(head: Uint8Array): RdbStart {
  const magic = rdbMagicOf(head)
  if (magic !== undefined) return magic
  throw new ProtocolError('ERR_NOT_AN_RDB', 'the snapshot does not begin as an RDB')
}

/** Names and values as text; integers as decimal. */
export function readAuxFields(head: Buffer): ReadonlyMap<string, string> {
  return walkAuxFields(head).fields
}

/** False: the bytes end before the fields do. */
export function hasAllAuxFields(head: Buffer): boolean {
  const { end } = walkAuxFields(head)
  return end < head.length && head[end] !== OPCODE_AUX
}

function walkAuxFields(head: Buffer): { fields: Map<string, string>; end: number } {
  const fields = new Map<string, string>()
  let at = MAGIC_BYTES
  while (head[at] === OPCODE_AUX) {
    const name = readText(head, at + 1)
    const value = name === undefined ? undefined : readText(head, name.next)
    if (name === undefined || value === undefined) break
    fields.set(name.text, value.text)
    at = value.next
  }
  return { fields, end: at }
}

/** Version of the server that made the snapshot as it says it, such as `7.0.15`. */
export function serverVersionOf(head: Buffer): string | undefined {
  const fields = readAuxFields(head)
  return fields.get('valkey-ver') ?? fields.get('redis-ver')
}

/**
 * The server that made the snapshot; undefined where it does not say. Redict is told by its own
 * number: it loads what it writes, which Redis of its name does not.
 */
export function writerOf(head: Buffer): ServerKind | undefined {
  const fields = readAuxFields(head)
  for (const family of ['redis', 'valkey', 'redict'] as const) {
    const version = fields.get(`${family}-ver`)
    if (version !== undefined && /^\d+\.\d+\.\d+$/.test(version)) return { family, version }
  }
  return undefined
}

/** When the snapshot was made, unix ms; undefined where it does not say. */
export function savedAtMsOf(head: Buffer): number | undefined {
  const seconds = readAuxFields(head).get('ctime') ?? ''
  return /^\d{1,12}$/.test(seconds) && Number(seconds) > 0 ? Number(seconds) * 1000 : undefined
}

/** The db that the stream behind the snapshot begins in; 0 where it tells none. */
export function streamDbOf(head: Buffer): number {
  const db = readAuxFields(head).get('repl-stream-db') ?? ''
  return /^\d{1,9}$/.test(db) ? Number(db) : 0
}

interface Text {
  text: string
  next: number
}

/** A string with its length in 6, 14 or 32 bits, or an integer of 8, 16 or 32. */
function readText(head: Buffer, at: number): Text | undefined {
  const first = head[at]
  if (first === undefined) return undefined
  const low = first & 0x3f
  if (first >> 6 === 0) return slice(head, at + 1, low)
  if (first >> 6 === 1) {
    return at + 2 > head.length ? undefined : slice(head, at + 2, (low << 8) | head[at + 1]!)
  }
  if (first === 0x80) {
    return at + 5 > head.length ? undefined : slice(head, at + 5, head.readUInt32BE(at + 1))
  }
  const width = [1, 2, 4][first - 0xc0]
  if (width === undefined || at + 1 + width > head.length) return undefined
  return { text: String(head.readIntLE(at + 1, width)), next: at + 1 + width }
}

function slice(head: Buffer, start: number, length: number): Text | undefined {
  const next = start + length
  return next > head.length ? undefined : { text: head.toString('utf8', start, next), next }
}
