/** A compressed string piece by piece comes to the same as at once, wherever its bytes are cut. */
import { expect, test } from 'vitest'
import { LzfWindow } from '../../src/bytes/lzf-window.js'
import { lzfCompressPlain } from '../../src/bytes/lzf-plain.js'
import { RdbParser } from '../../src/rdb/parser.js'
import { DEPTH } from '../../src/rdb/visitor.js'
import { cutEvery, seededRandom } from '../helpers/pieces.js'
import { rdbBytes } from '../helpers/rdb-bytes.js'
import { lengthOf } from '../helpers/rdb-values.js'

/** Some of it repeats at once, some from nearly 8 KB back, some not at all. */
function sample(byteCount: number): Buffer {
  const random = seededRandom(7)
  const bytes = Buffer.alloc(byteCount)
  for (let at = 0; at < byteCount;) {
    const length = Math.min(byteCount - at, 1 + Math.floor(random() * 600))
    const kind = random()
    const back = kind < 0.4 ? 1 + Math.floor(random() * 4) : 7600 + Math.floor(random() * 590)
    for (let i = 0; i < length; i += 1, at += 1) {
      bytes[at] = kind > 0.7 || at < back ? Math.floor(random() * 256) : bytes[at - back]!
    }
  }
  return bytes
}

const plain = sample(1_500_000)
const room = Buffer.alloc(plain.length)
const compressed = room.subarray(0, lzfCompressPlain(plain, 0, plain.length, room, 0, room.length))

function rdb(data: Buffer, length: number): Buffer {
  const head = Buffer.concat([Buffer.of(0xfe, 0, 0, 1, 0x6b, 0xc3), lengthOf(data.length)])
  return rdbBytes({ magic: 'REDIS0011', body: Buffer.concat([head, lengthOf(length), data]) })
}

function read(bytes: Buffer, pieceBytes: number): { value: Buffer; largest: number } {
  const parts: Buffer[] = []
  const parser = new RdbParser({
    key: () => DEPTH.ELEMENTS,
    stringValue: () => expect.fail('it is too long to be told whole'),
    stringPart: ({ bytes: from, start, end }) => parts.push(Buffer.from(from.subarray(start, end))),
  })
  for (const piece of cutEvery(bytes, pieceBytes)) parser.push(piece)
  parser.end()
  return {
    value: Buffer.concat(parts),
    largest: Math.max(...parts.map((part) => part.length)),
  }
}

test.each([1000, 4096, 1 << 20])('cut every %d bytes', (pieceBytes) => {
  expect(compressed.length).toBeGreaterThan(200_000)
  const { value, largest } = read(rdb(compressed, plain.length), pieceBytes)
  expect(value.equals(plain)).toBe(true)
  expect(largest).toBeLessThan(100_000)
})

test.each([
  ['claims more than it gives', compressed, plain.length + 1],
  ['claims less than it gives', compressed, plain.length - 1],
  ['ends inside a token', compressed.subarray(0, -1), plain.length],
  ['points before its start', Buffer.concat([Buffer.of(0x20, 5), compressed]), plain.length + 3],
])('data that %s is damage', (_what, data, length) => {
  expect(() => read(rdb(data, length), 4096)).toThrow(/bad LZF data/)
})

test('no more than a piece is unpacked at a time', () => {
  const window = new LzfWindow()
  window.begin()
  const bomb = Buffer.concat([Buffer.of(0, 97), Buffer.alloc(3 * 1000, Buffer.of(0xe0, 0xff, 0))])
  let total = 0
  for (let at = 0; at < bomb.length;) {
    at += window.decode(bomb, at, bomb.length)
    expect(window.end - window.start).toBeLessThan(80_000)
    total += window.end - window.start
  }
  expect(total).toBe(1 + 264 * 1000)
})
