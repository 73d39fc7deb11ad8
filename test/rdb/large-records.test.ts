/**
 * Records longer than what is read at a time, right before the end: the reader may only wait for what
 * it needs, since the end, the checksum and another's bytes may come right behind.
 */
import { describe, expect, test } from 'vitest'
import { allocateInputBuffer } from '../../src/kernels/kernel.js'
import { RdbParser } from '../../src/rdb/parser.js'
import { DEPTH, type Depth } from '../../src/rdb/visitor.js'
import { cutEvery } from '../helpers/pieces.js'
import { rdbBytes } from '../helpers/rdb-bytes.js'

const HASH = 4
const ZSET_2 = 5
const KEY = [1, 0x68]
const BEHIND = Buffer.from('*2\r\n$3\r\nDEL\r\n$1\r\nx\r\n'.repeat(90))

function long(byteCount: number): Buffer {
  const bytes = Buffer.alloc(5 + byteCount, 'a')
  bytes[0] = 0x80
  bytes.writeUInt32BE(byteCount, 1)
  return bytes
}

/** An RDB of one key, and where its first string ends. */
function oneKey(type: number, tail: readonly number[]): { rdb: Buffer; stringEnd: number } {
  const head = Buffer.concat([Buffer.of(0xfe, 0, type, ...KEY, 1), long(70_000)])
  return {
    rdb: rdbBytes({ magic: 'REDIS0011', body: Buffer.concat([head, Buffer.from(tail)]) }),
    stringEnd: 9 + head.length,
  }
}

const RECORDS = {
  'a hash': oneKey(HASH, [1, 0x78]),
  'a hash with a longer value': oneKey(HASH, [0x41, 0x00, ...Buffer.alloc(256, 'b')]),
  'a sorted set': oneKey(ZSET_2, [0, 0, 0, 0, 0, 0, 0xf0, 0x3f]),
}

function collect(depth: Depth, chunks: Iterable<Buffer>): { taken: number[]; checksum: string } {
  const parser = new RdbParser({ key: () => depth })
  const taken: number[] = []
  for (const chunk of chunks) if (!parser.done) taken.push(parser.push(chunk))
  const summary = parser.end()
  expect(summary.keysRead).toBe(1)
  return { taken, checksum: summary.checksum }
}

describe.each(Object.entries(RECORDS))('%s before the end', (_name, { rdb, stringEnd }) => {
  const all = Buffer.concat([rdb, BEHIND])
  const input = allocateInputBuffer(1 << 18)

  test.each([
    ['memory of anybody', (chunk: Buffer) => Buffer.from(chunk)],
    ['a buffer with headroom', (chunk: Buffer) => input.subarray(0, chunk.copy(input))],
  ])('in two and three reads into %s', (_where, read) => {
    for (const depth of [DEPTH.SKIP, DEPTH.RAW, DEPTH.ELEMENTS]) {
      for (let cut = stringEnd - 3; cut <= rdb.length + 1; cut += 1) {
        for (const second of [cut + 1, rdb.length - 1, rdb.length, rdb.length + 5, all.length]) {
          if (second <= cut) continue
          const cuts = [0, cut, second, all.length]
          function* chunks(): Generator<Buffer> {
            for (let part = 1; part < cuts.length; part += 1) {
              yield read(all.subarray(cuts[part - 1], cuts[part]))
            }
          }
          const { taken, checksum } = collect(depth, chunks())
          expect(checksum).toBe('ok')
          expect(Math.min(...taken)).toBeGreaterThanOrEqual(0)
          expect(taken.reduce((sum, count) => sum + count)).toBe(rdb.length)
        }
      }
    }
  })

  test('byte by byte', () => {
    const { taken } = collect(DEPTH.SKIP, cutEvery(all, 1))
    expect(taken.length).toBe(rdb.length)
  })
})

test('salvage tells the same of a sound checksum however the input is cut', () => {
  // A list whose one node has a container that there is none of.
  const body = Buffer.concat([Buffer.of(0xfe, 0, 18, 1, 0x6c, 1, 7), Buffer.of(3, 1, 2, 3)])
  const rdb = rdbBytes({ magic: 'REDIS0011', body })
  const checksums = new Set<string>()
  for (const size of [rdb.length, 20, 7, 1]) {
    const parser = new RdbParser({ key: () => DEPTH.SKIP }, { salvage: true })
    for (const chunk of cutEvery(rdb, size)) parser.push(chunk)
    checksums.add(parser.end().checksum)
  }
  expect([...checksums]).toEqual(['ok'])
})
