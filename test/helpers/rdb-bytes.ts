/** RDB payloads for link tests, made without any code of src: magic, any bytes, end, checksum. */

/** CRC-64 Jones, bit by bit: slow and plain. */
export function crc64Bitwise(bytes: Uint8Array): bigint {
  let crc = 0n
  for (const byte of bytes) {
    crc ^= BigInt(byte)
    for (let bit = 0; bit < 8; bit += 1) {
      crc = (crc & 1n) === 1n ? (crc >> 1n) ^ 0x95ac9329ac4bc9b5n : crc >> 1n
    }
  }
  return crc
}

export interface RdbBytesOptions {
  magic?: string
  /** Opaque bytes between magic and end; the link does not look at them. */
  body?: Uint8Array
  checksum?: 'right' | 'wrong' | 'zero' | 'none'
}

export function rdbBytes(options: RdbBytesOptions = {}): Buffer {
  const { magic = 'REDIS0010', body = Buffer.alloc(0), checksum = 'right' } = options
  const head = Buffer.concat([Buffer.from(magic), body, Buffer.from([0xff])])
  if (checksum === 'none') return head
  const footer = Buffer.alloc(8)
  if (checksum !== 'zero') footer.writeBigUInt64LE(crc64Bitwise(head))
  if (checksum === 'wrong') footer[3] = footer[3]! ^ 0x10
  return Buffer.concat([head, footer])
}

/** `fa redis-ver <version>` and one string key per entry: a body that is a real RDB's. */
export function rdbBody(keys: Readonly<Record<string, string>>, version = '7.0.15'): Buffer {
  return Buffer.concat([
    Buffer.from([0xfa]),
    text('redis-ver'),
    text(version),
    ...stringRecords(0, Object.entries(keys)),
  ])
}

/** A db, and strings in it. */
export function stringRecords(db: number, keys: readonly (readonly [string, string])[]): Buffer[] {
  const records = keys.flatMap(([key, value]) => [Buffer.from([0]), text(key), text(value)])
  return [Buffer.from([0xfe, db]), ...records]
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  const head =
    bytes.length < 64
      ? Buffer.from([bytes.length])
      : Buffer.from([0x80, 0, 0, bytes.length >> 8, bytes.length & 255])
  return Buffer.concat([head, bytes])
}
