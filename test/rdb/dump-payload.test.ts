/** RAW depth and DUMP payloads: what is cut out of a file is what a server's RESTORE takes. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { crc64 } from '../../src/kernels/crc64.js'
import { parseDumpPayload } from '../../src/rdb/dump-payload.js'
import { RdbParser } from '../../src/rdb/parser.js'
import { DEPTH } from '../../src/rdb/visitor.js'
import { cutEvery } from '../helpers/pieces.js'
import { collect, normalizeRows, RowCollector } from '../helpers/rdb-rows.js'
import { FIXTURES } from '../helpers/fixtures.js'

const hex = (text: string): Buffer => Buffer.from(text.replace(/\s+/g, ''), 'hex')

test('payloads of real servers', () => {
  for (const payload of [
    '00 05 68 65 6c 6c 6f 0b 00 0a ad 62 05 98 ab c9 83',
    '00 05 68 65 6c 6c 6f 50 00 ac 58 16 e7 fb 66 47 fe',
  ]) {
    const collector = new RowCollector()
    parseDumpPayload(hex(payload), collector, { key: Buffer.from('k'), dbnum: 3 })
    expect(collector.rows).toEqual([
      { db: 3, key: 'aw==', type: 'string', expireAt: null, value: 'aGVsbG8=' },
    ])
  }
})

test('a changed byte, a cut, bytes in between: each is an error', () => {
  const sound = hex('00 05 68 65 6c 6c 6f 0b 00 0a ad 62 05 98 ab c9 83')
  const parse = (payload: Buffer): void =>
    parseDumpPayload(payload, { key: () => DEPTH.ELEMENTS }, { checksum: 'verify' })
  for (let at = 0; at < sound.length; at += 1) {
    const changed = Buffer.from(sound)
    changed[at] = changed[at]! ^ 1
    expect(() => parse(changed)).toThrow(/checksum/)
    expect(() => parse(sound.subarray(0, at))).toThrow(/checksum|footer/)
  }
  const signed = (body: Buffer): Buffer => {
    const head = Buffer.concat([body, hex('0b00')])
    const tail = Buffer.alloc(8)
    tail.writeBigUInt64LE(crc64(head))
    return Buffer.concat([head, tail])
  }
  expect(() => parse(signed(hex('00 05 68 65 6c 6c 6f 00')))).toThrow(/1 bytes between/)
  expect(() => parse(signed(hex('00 05 68 65')))).toThrow(/does not end before the footer/)
})

const FILES = [
  'redis-2.8/types.rdb',
  'redis-6.2/types.rdb',
  'redis-7.2/streams.rdb',
  'redis-7.4/hash-field-ttl.rdb',
  'redis-8.6/keymeta.rdb',
  'redis-8.6/types.rdb',
  'redis-8.0/vectorset.rdb',
  'valkey-9.1/hash-field-ttl.rdb',
]

describe('RAW depth', () => {
  test.each(FILES)('%s: every value cut out reads as it does in its file', (name) => {
    const bytes = readFileSync(join(FIXTURES, name))
    const { collector, summary } = collect([bytes])
    for (const chunks of [[bytes], cutEvery(bytes, 5)]) {
      const rows = new RowCollector()
      let head = Buffer.alloc(0)
      let parts: Buffer[] = []
      const parser = new RdbParser({
        key: ({ meta, typeByte }) => {
          head = Buffer.concat([meta.bytes.subarray(meta.start, meta.end), Buffer.of(typeByte)])
          parts = []
          return DEPTH.RAW
        },
        rawValue: (from, start, end) => parts.push(Buffer.from(from.subarray(start, end))),
        keyEnd: ({ key, dbnum }, { serializedBytes }) => {
          const value = Buffer.concat(parts)
          expect(value.length).toBe(serializedBytes)
          const footer = Buffer.alloc(10)
          footer.writeUInt16LE(summary.version)
          parseDumpPayload(Buffer.concat([head, value, footer]), rows, {
            key: key.bytes.subarray(key.start, key.end),
            dbnum,
          })
        },
      })
      for (const chunk of chunks) parser.push(chunk)
      parser.end()
      const expected = collector.rows.map((row) => ({ ...row, expireAt: null }))
      for (const row of expected) {
        delete row.freq
        delete row.idleSeconds
      }
      expect(normalizeRows(rows.rows)).toEqual(normalizeRows(expected))
    }
  })
})
