/**
 * The aux fields that stand at the front of a snapshot, read from its first bytes alone: enough to
 * say which server made it without asking the server. Stops at the first thing that is no aux
 * field, or where the bytes end; never throws.
 */

const OPCODE_AUX = 0xfa
const MAGIC_BYTES = 9

/** Names and values as text; integers as decimal. */
export function readAuxFields(head: Buffer): ReadonlyMap<string, string> {
  const fields = new Map<string, string>()
  let at = MAGIC_BYTES
  while (head[at] === OPCODE_AUX) {
    const name = readText(head, at + 1)
    const value = name === undefined ? undefined : readText(head, name.next)
    if (name === undefined || value === undefined) break
    fields.set(name.text, value.text)
    at = value.next
  }
  return fields
}

/** Version of the server that made the snapshot, such as `7.0.15`. */
export function serverVersionOf(head: Buffer): string | undefined {
  const fields = readAuxFields(head)
  return fields.get('valkey-ver') ?? fields.get('redis-ver')
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
