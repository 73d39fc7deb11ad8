/**
 * Elements that the kernel writes into commands are byte for byte those that are written one by one:
 * over the borders of commands, which end at 512 arguments or 64 KB, and with all that stops a row.
 */
import { countingLane } from '../helpers/counting-lane.js'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ByteKernel } from '../../src/kernels/kernel.js'
import { OutputBuffer } from '../../src/bytes/output-buffer.js'
import { RdbParser } from '../../src/rdb/parser.js'

import { CommandWriter } from '../../src/rewrite/command-writer.js'
import { KeyRewriter } from '../../src/rewrite/key-rewriter.js'
import { targetCapabilities } from '../../src/servers/capabilities.js'
import { double, integerStr, intset, lengthOf, listpack, str } from '../helpers/rdb-values.js'

const OUTPUT_BYTES = 1 << 18
const INPUT_BYTES = 1 << 24
const kernel = new ByteKernel(OUTPUT_BYTES + INPUT_BYTES)
const output = kernel.allocate(OUTPUT_BYTES)
const input = kernel.allocate(INPUT_BYTES)

interface Written {
  text: string
  commands: number
  /** Elements in rows, and packed values. */
  inRows: number
  packed: number
}

function write(rdb: Buffer, fast: boolean): Written {
  const chunks: Buffer[] = []
  const out = new OutputBuffer((bytes) => chunks.push(Buffer.from(bytes)), output)
  const writer = new CommandWriter(out)
  const result = { text: '', commands: 0, inRows: 0, packed: 0 }
  const rewriter = new KeyRewriter({
    target: targetCapabilities('redis', 70000),
    writer,
    restore: 'never',
    conflict: 'ignore',
    kernel,
  })
  const taken = { records: 0, elements: 0, packed: 0 }
  const lane = fast ? countingLane(rewriter.lane, taken) : rewriter.lane
  const parser = new RdbParser(rewriter, { lane })
  if (fast) {
    rdb.copy(input)
    parser.push(input.subarray(0, rdb.length))
  } else {
    parser.push(rdb)
  }
  parser.end()
  out.flush()
  result.text = Buffer.concat(chunks).toString('latin1')
  result.commands = writer.commands
  result.inRows = taken.elements
  result.packed = taken.packed
  return result
}

function file(
  ...records: readonly (readonly [type: number, key: Buffer, value: Buffer])[]
): Buffer {
  return Buffer.concat([
    Buffer.from('REDIS0011'),
    ...records.flatMap(([type, key, value]) => [Buffer.of(type), str(key), value]),
    Buffer.of(0xff),
    Buffer.alloc(8),
  ])
}

function same(rdb: Buffer): Written {
  const fast = write(rdb, true)
  const plain = write(rdb, false)
  expect(plain.inRows + plain.packed).toBe(0)
  // Not `toEqual`: of two long texts it would show all.
  expect(fast.text === plain.text).toBe(true)
  expect(fast.commands).toBe(plain.commands)
  return fast
}

const counted = (elements: readonly Buffer[]): Buffer =>
  Buffer.concat([lengthOf(elements.length), ...elements])

/** So many strings, of which every `each`-th is something unusual. */
function strings(count: number, seed: number): Buffer[] {
  return Array.from({ length: count }, (_, index) => {
    const mix = (index * 2_654_435_761 + seed) >>> 0
    const text = Buffer.from(`${index}:`.padEnd(2 + (mix % 97), 'x'))
    if (mix % 101 === 0) return str(Buffer.alloc(17_000, `${index} long`), true)
    if (mix % 103 === 0) return str(Buffer.alloc(70_000, `${index} longer`))
    if (mix % 7 === 0) return integerStr((mix | 0) >> (mix % 32))
    if (mix % 11 === 0) return str(Buffer.alloc(500, `${index} packed`), true)
    return str(text)
  })
}

const SCORES = [0, -0, 1, -1, 1.5, -2.25, 0.1, 1e-7, 1e15, 2 ** 53, 2 ** 60, 1e22, -1e300, Infinity]

test('elements that stand one by one, over the borders of commands', () => {
  let inRows = 0
  fc.assert(
    fc.property(
      fc.constantFrom(1, 2, 4, 5),
      fc.integer({ min: 1, max: 1500 }),
      fc.nat(),
      (type, count, seed) => {
        const first = strings(count, seed)
        const second = strings(count, seed + 5)
        const elements = first.flatMap((each, index) => {
          if (type === 4) return [Buffer.concat([each, second[index]!])]
          if (type !== 5) return [each]
          const mix = (index * 40_503 + seed) >>> 3
          const score = mix % 5 === 0 ? SCORES[mix % SCORES.length]! : (mix % 100_000) / 100
          return [Buffer.concat([each, double(score)])]
        })
        const value = counted(elements)
        inRows += same(
          file([type, Buffer.from('key'), value], [type, Buffer.from('next'), value]),
        ).inRows
      },
    ),
    { numRuns: 60 },
  )
  expect(inRows).toBeGreaterThan(10_000)
})

test('packed values, over the borders of commands', () => {
  let packed = 0
  const entry = (index: number, mix: number): Buffer | bigint =>
    mix % 3 === 0
      ? BigInt(index) << BigInt(mix % 50)
      : Buffer.from(`${index}`.padEnd(1 + (mix % (mix % 41 === 0 ? 400 : 12)), 'y'))
  const entries = (count: number, seed: number): (Buffer | bigint)[] =>
    Array.from({ length: count }, (_, index) => entry(index, (index * 7919 + seed) % 1_000_003))
  fc.assert(
    fc.property(
      fc.constantFrom(11, 16, 17, 18, 20),
      fc.integer({ min: 1, max: 900 }),
      fc.nat(1_000_000),
      fc.boolean(),
      (type, count, seed, compressed) => {
        const unique = [
          ...new Map(entries(count, seed).map((each) => [String(each), each])).values(),
        ]
        const blobs = {
          11: () => intset(unique.map((_, index) => BigInt(index * seed) << BigInt(seed % 30))),
          16: () => listpack(unique.flatMap((each, index) => [each, entry(index, seed)])),
          17: () =>
            listpack(
              unique.flatMap((each, index) => {
                const score = SCORES[(index + seed) % SCORES.length]!
                const odd = seed % 4 === 0 && Number.isFinite(score)
                return [
                  each,
                  odd
                    ? Buffer.from(Object.is(score, -0) ? '-0' : String(score))
                    : BigInt(index - 9),
                ]
              }),
            ),
          18: () => listpack(entries(count, seed)),
          20: () => listpack(unique),
        }
        const blob = str(blobs[type as 11](), compressed)
        const node = Buffer.concat([Buffer.of(2), blob])
        const value = type === 18 ? counted([node, node, node]) : blob
        packed += same(
          file([type, Buffer.from('key'), value], [type, Buffer.from('next'), value]),
        ).packed
      },
    ),
    { numRuns: 200 },
  )
  expect(packed).toBeGreaterThan(100)
})

test('a key with a name longer than a command', () => {
  const key = Buffer.alloc(300_000, 'k')
  const few = [str(Buffer.from('a')), str(Buffer.from('b'))]
  same(
    file(
      [1, key, counted([...few, ...few])],
      [4, key, counted([Buffer.concat(few)])],
      [20, key, str(listpack([Buffer.from('a')]))],
      [1, Buffer.from('short'), counted([...few, ...few])],
    ),
  )
})

test('a row of which not one element can be taken leaves no command behind', () => {
  const zeros = Array.from({ length: 9 }, (_, index) =>
    Buffer.concat([str(Buffer.from(`m${index}`)), double(-0)]),
  )
  const long = Array.from({ length: 9 }, () => str(Buffer.alloc(70_000, 'z')))
  const { inRows } = same(
    file([5, Buffer.from('zeros'), counted(zeros)], [1, Buffer.from('long'), counted(long)]),
  )
  expect(inRows).toBe(0)
})
