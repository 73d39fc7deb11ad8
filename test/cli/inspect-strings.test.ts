/**
 * Strings in a file are taken apart by a kernel, many at once; from a pipe they come one by one.
 * Both must say the same, whatever the keys, values and attributes are.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import { lzfCompress } from '../../src/kernels/lzf.js'
import { runCli } from '../helpers/cli.js'
import { fixtureFiles } from '../helpers/fixtures.js'

const scratch = mkdtempSync(join(tmpdir(), 'rrep-strings-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

function length(value: number): Buffer {
  if (value < 0x40) return Buffer.of(value)
  if (value < 0x4000) return Buffer.of(0x40 | (value >> 8), value & 0xff)
  const bytes = Buffer.alloc(5, 0x80)
  bytes.writeUInt32BE(value, 1)
  return bytes
}

function raw(value: Buffer): Buffer {
  return Buffer.concat([length(value.length), value])
}

function compressed(value: Buffer): Buffer {
  const room = Buffer.alloc(value.length + 64)
  const used = lzfCompress(value, 0, value.length, room, 0, room.length)
  if (used <= 0 || used >= value.length) return raw(value)
  return Buffer.concat([
    Buffer.of(0xc3),
    length(used),
    length(value.length),
    room.subarray(0, used),
  ])
}

const name = fc.oneof(
  fc.stringMatching(/^[a-c]{0,3}(:[a-b0-9]{0,3}){0,4}$/).map((text) => Buffer.from(text)),
  fc
    .stringMatching(/^(user|session)(:|\/)[0-9]{1,4}(:|\/|::)[a-z]{0,30}$/)
    .map((text) => Buffer.from(text)),
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  fc
    .constantFrom('=1+1', '-x', '"quoted"', 'a,b', 'back\\slash', ' ', 'é')
    .map((text) => Buffer.from(text)),
  fc.integer({ min: 60, max: 300 }).map((size) => Buffer.alloc(size, 'k:')),
)

const value = fc.oneof(
  fc.stringMatching(/^-?[0-9]{1,21}$/).map((text) => raw(Buffer.from(text))),
  fc
    .constantFrom(
      '9223372036854775807',
      '9223372036854775808',
      '-9223372036854775808',
      '-0',
      '00',
      '-',
    )
    .map((text) => raw(Buffer.from(text))),
  fc.integer({ min: -128, max: 127 }).map((number) => Buffer.of(0xc0, number & 0xff)),
  fc
    .integer({ min: -32768, max: 32767 })
    .map((number) => Buffer.of(0xc1, number & 0xff, (number >> 8) & 0xff)),
  fc.integer().map((number) => {
    const bytes = Buffer.of(0xc2, 0, 0, 0, 0)
    bytes.writeInt32LE(number, 1)
    return bytes
  }),
  fc.uint8Array({ maxLength: 130 }).map((bytes) => raw(Buffer.from(bytes))),
  fc.integer({ min: 0, max: 70_000 }).map((size) => raw(Buffer.alloc(size, 'v'))),
  fc.integer({ min: 30, max: 3000 }).map((size) => compressed(Buffer.alloc(size, 'abcabcd'))),
  fc
    .integer({ min: 4, max: 200 })
    .map((size) => raw(Buffer.concat([Buffer.from('HYLL'), Buffer.alloc(size)]))),
  fc
    .integer({ min: 20, max: 400 })
    .map((size) => compressed(Buffer.concat([Buffer.from('HYLL'), Buffer.alloc(size)]))),
)

const expiry = fc.oneof(
  fc.constant(Buffer.alloc(0)),
  fc
    .oneof(
      fc.bigInt(-5n, 4_102_444_800_000n),
      fc.constantFrom(0n, 951_782_400_000n, 253_402_300_799_999n, 253_402_300_800_000n, 2n ** 53n),
    )
    .map((unixMs) => {
      const bytes = Buffer.alloc(9, 0xfc)
      bytes.writeBigInt64LE(unixMs, 1)
      return bytes
    }),
  fc.integer().map((seconds) => {
    const bytes = Buffer.alloc(5, 0xfd)
    bytes.writeInt32LE(seconds, 1)
    return bytes
  }),
)

const usage = fc.oneof(
  fc.constant(Buffer.alloc(0)),
  fc.integer({ min: 0, max: 255 }).map((freq) => Buffer.of(0xf9, freq)),
  fc
    .integer({ min: 0, max: 100_000 })
    .map((idle) => Buffer.concat([Buffer.of(0xf8), length(idle)])),
)

const record = fc
  .tuple(expiry, usage, fc.boolean(), name, value)
  .map(([expires, uses, swap, key, bytes]) =>
    Buffer.concat([...(swap ? [uses, expires] : [expires, uses]), Buffer.of(0), raw(key), bytes]),
  )
const other = fc.constantFrom(
  // A list of one, a SELECTDB, a set of integers.
  Buffer.from('010178010179', 'hex'),
  Buffer.from('fe03', 'hex'),
  // The last database number that is taken.
  Buffer.from('fe807fffffff', 'hex'),
  Buffer.from('0b01730a020000000100000007' + '00', 'hex'),
)

const VERSIONS = ['REDIS0009', 'REDIS0010', 'REDIS0012', 'REDIS0013', 'VALKEY080']

test.each([
  [['--json', '--top', '30', '--prefixes', '3']],
  [['--json', '--separator', '/']],
  [['--json', '--separator', '::', '--prefixes', '2']],
  [['--csv']],
  [['--keys']],
])('%j of a file and of a pipe', async (options) => {
  const file = join(scratch, 'strings.rdb')
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...VERSIONS),
      fc.array(fc.oneof({ weight: 12, arbitrary: record }, { weight: 1, arbitrary: other }), {
        maxLength: 120,
      }),
      fc.integer({ min: 1, max: 40 }),
      async (magic, records, times) => {
        const body = Array.from({ length: times }, () => records).flat()
        const bytes = Buffer.concat([Buffer.from(magic), ...body, Buffer.of(0xff), Buffer.alloc(8)])
        writeFileSync(file, bytes)
        const ofFile = await runCli(['inspect', file, ...options])
        const ofPipe = await runCli(['inspect', '-', ...options], { stdin: bytes })
        expect([ofFile.code, ofPipe.code, ofPipe.err]).toEqual([0, 0, ''])
        expect(ofFile.out.replace(JSON.stringify(file), '"stdin"')).toBe(ofPipe.out)
      },
    ),
    { numRuns: 60 },
  )
})

test.each([['--csv'], ['--keys'], ['--json']])(
  '%s: the head of a row is whole however long the number of the database',
  async (option) => {
    const file = join(scratch, 'far-db.rdb')
    const records = Array.from({ length: 5000 }, (_, i) =>
      Buffer.concat([Buffer.of(0), raw(Buffer.from(`key:${i}`)), raw(Buffer.from('value'))]),
    )
    const select = Buffer.from('fe807fffffff', 'hex')
    const tail = Buffer.concat([Buffer.of(0xff), Buffer.alloc(8)])
    const bytes = Buffer.concat([Buffer.from('REDIS0011'), select, ...records, tail])
    writeFileSync(file, bytes)
    const ofFile = await runCli(['inspect', file, option])
    const ofPipe = await runCli(['inspect', '-', option], { stdin: bytes })
    expect([ofFile.code, ofPipe.code]).toEqual([0, 0])
    expect(ofFile.out.replace(JSON.stringify(file), '"stdin"')).toBe(ofPipe.out)
    const head = option === '--csv' ? '2147483647,string,' : 'db2147483647 string '
    if (option !== '--json') expect(ofFile.out.split(head).length).toBe(5001)
  },
)

const fixtures = fixtureFiles('.rdb').map(({ path }) => path)

test.each([['--json'], ['--csv'], ['--keys']])(
  '%s of fixtures, as files and as pipes',
  async (option) => {
    expect(fixtures.length).toBeGreaterThan(0)
    for (const file of fixtures) {
      const bytes = readFileSync(file)
      const ofFile = await runCli(['inspect', file, option])
      const ofPipe = await runCli(['inspect', '-', option], { stdin: bytes })
      expect(ofPipe.code, file).toBe(ofFile.code)
      expect(ofPipe.out, file).toBe(ofFile.out.replaceAll(JSON.stringify(file), '"stdin"'))
    }
  },
)
