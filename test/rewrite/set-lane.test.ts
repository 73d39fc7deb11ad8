/**
 * Strings that the kernel writes as commands, in rows, are byte for byte those that are written one
 * by one. The latter are got by parsing from memory that is no kernel's.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ByteKernel } from '../../src/kernels/kernel.js'
import { OutputBuffer } from '../../src/bytes/output-buffer.js'
import { RdbError } from '../../src/errors.js'
import { RdbParser } from '../../src/rdb/parser.js'
import { CommandWriter } from '../../src/rewrite/command-writer.js'
import { KeyRewriter, type RewriteOptions } from '../../src/rewrite/key-rewriter.js'
import { METHOD } from '../../src/rewrite/key-plan.js'
import { targetCapabilities } from '../../src/servers/capabilities.js'
import { cutRandomly } from '../helpers/pieces.js'
import { anyRdb } from '../helpers/rdb-values.js'
import { FIXTURES } from '../helpers/fixtures.js'

const OUTPUT_BYTES = 1 << 18
const INPUT_BYTES = 1 << 16
const kernel = new ByteKernel(OUTPUT_BYTES + INPUT_BYTES)
const output = kernel.allocate(OUTPUT_BYTES)
const input = kernel.allocate(INPUT_BYTES)

/** With PXAT for SET, and without. */
const TARGETS = [targetCapabilities('redis', 70000), targetCapabilities('redis', 60000)]

type Options = Pick<RewriteOptions, 'target'> & Partial<RewriteOptions>

interface Written {
  text: string
  commands: number
  keys: number
  losses: object
  error: string | undefined
  inRows: number
}

function write(pieces: Iterable<Buffer>, fast: boolean, options: Options): Written {
  const chunks: Buffer[] = []
  const out = new OutputBuffer((bytes) => chunks.push(Buffer.from(bytes)), output)
  const writer = new CommandWriter(out)
  let inRows = 0
  let others = 0
  const rewriter = new KeyRewriter({
    writer,
    restore: 'never',
    conflict: 'ignore',
    keyDone: (_header, _stats, { method }) => {
      if (method !== METHOD.SKIP) others += 1
    },
    kernel,
    rows: { kernel, taken: (keys) => (inRows += keys) },
    ...options,
  })
  const parser = new RdbParser(rewriter, { lane: rewriter.lane })
  let error: string | undefined
  try {
    for (const piece of pieces) {
      for (let at = 0; at < piece.length; at += INPUT_BYTES) {
        const end = Math.min(piece.length, at + INPUT_BYTES)
        if (fast) {
          piece.copy(input, 0, at, end)
          parser.push(input.subarray(0, end - at))
          input.fill(0xaa, 0, end - at)
        } else {
          parser.push(piece.subarray(at, end))
        }
      }
    }
    parser.end()
  } catch (thrown) {
    if (!(thrown instanceof RdbError)) throw thrown
    error = thrown.message
  }
  // An error leaves a command unfinished.
  out.drop()
  out.flush()
  const text = Buffer.concat(chunks).toString('latin1')
  const keys = inRows + others
  return { text, commands: writer.commands, keys, losses: rewriter.losses, error, inRows }
}

function same(fast: Written, plain: Written): void {
  expect(plain.inRows).toBe(0)
  expect({ ...fast, inRows: 0 }).toEqual(plain)
}

test('generated files are written alike, whole, in pieces and damaged', () => {
  let inRows = 0
  fc.assert(
    fc.property(
      anyRdb,
      fc.constantFrom(...TARGETS),
      fc.nat(),
      fc.nat(255),
      (rdb, target, seed, byte) => {
        const plain = write([rdb], false, { target })
        const fast = write([rdb], true, { target })
        same(fast, plain)
        inRows += fast.inRows
        same(write(cutRandomly(rdb, seed), true, { target }), plain)
        const damaged = Buffer.from(rdb)
        damaged[9 + (seed % (rdb.length - 9))] = byte
        same(write([damaged], true, { target }), write([damaged], false, { target }))
      },
    ),
    { numRuns: 400 },
  )
  expect(inRows).toBeGreaterThan(1000)
})

test('rows are left alone where strings go by RESTORE or must not replace anything', () => {
  fc.assert(
    fc.property(anyRdb, (rdb) => {
      for (const options of [
        { target: TARGETS[0]!, restore: 'always' },
        { target: TARGETS[0]!, restore: 'auto' },
        { target: TARGETS[0]!, conflict: 'refuse' },
      ] as const) {
        same(write([rdb], true, options), write([rdb], false, options))
      }
    }),
    { numRuns: 50 },
  )
})

describe('fixtures', () => {
  const root = FIXTURES
  const names = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.rdb'),
  )

  test('all of them, the corrupt ones too', () => {
    expect(names.length).toBeGreaterThan(160)
    let inRows = 0
    for (const name of names) {
      const rdb = readFileSync(join(root, name))
      for (const target of TARGETS) {
        const fast = write([rdb], true, { target })
        same(fast, write([rdb], false, { target }))
        inRows += fast.inRows
      }
    }
    expect(inRows).toBeGreaterThan(1000)
  })
})
