/**
 * Keys that go in rows, by a kernel, are byte for byte those that go one by one; so are what the
 * ledger counts and what a batch knows of each key. The latter are got with a target without kernel.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ByteKernel } from '../../src/kernels/kernel.js'
import { OutputBuffer } from '../../src/bytes/output-buffer.js'
import { RdbError } from '../../src/errors.js'
import { compileKeyFilter } from '../../src/source/key-filter.js'
import { compileKeyMapping } from '../../src/target/key-mapping.js'
import type { KeyTarget } from '../../src/target/key-target.js'
import { Ledger, type KeyCounts } from '../../src/target/ledger.js'
import { SnapshotBatch } from '../../src/target/load/snapshot-batch.js'
import {
  SnapshotLoader,
  type SnapshotLoaderOptions,
} from '../../src/target/load/snapshot-loader.js'
import { CommandWriter } from '../../src/rewrite/command-writer.js'
import { targetCapabilities } from '../../src/servers/capabilities.js'
import { cutRandomly } from '../helpers/pieces.js'
import { anyRdb } from '../helpers/rdb-values.js'
import { FIXTURES } from '../helpers/fixtures.js'

/** Small, so that rows end for want of room. */
const OUTPUT_BYTES = 1 << 13
const INPUT_BYTES = 1 << 16
const kernel = new ByteKernel(OUTPUT_BYTES + INPUT_BYTES)
const output = kernel.allocate(OUTPUT_BYTES)
const input = kernel.allocate(INPUT_BYTES)

type Options = Pick<
  SnapshotLoaderOptions,
  | 'target'
  | 'restore'
  | 'onConflict'
  | 'keysByDb'
  | 'shiftMs'
  | 'keepExpired'
  | 'checkpointKey'
  | 'maxPayloadBytes'
> & { mapDb: ReadonlyMap<number, number> }

/** Everything in one batch that is never sent. */
class OneBatch implements KeyTarget {
  readonly batch = new SnapshotBatch()
  readonly commands: CommandWriter
  readonly kernel: ByteKernel | undefined
  keysInRows = 0
  readonly #out: OutputBuffer

  constructor(inRows: boolean) {
    this.kernel = inRows ? kernel : undefined
    this.#out = new OutputBuffer((bytes) => this.batch.addChunk(Buffer.from(bytes)), output)
    this.commands = new CommandWriter(this.#out)
  }

  beginKey(db: number, check: boolean): void {
    this.batch.openKeyDb = db
    if (check) this.batch.mustCheck = true
  }

  endKey(type: string, counts: KeyCounts): void {
    const { batch, commands } = this
    batch.addKey(this.#out.totalBytes, commands.commands, batch.openKeyDb, type, counts)
  }

  addRow(
    ...[db, keys, check, counts, keysByType]: Parameters<Required<KeyTarget>['addRow']>
  ): void {
    const { batch, commands } = this
    if (check) batch.mustCheck = true
    batch.addRow(this.#out.totalBytes, commands.commands, db, keys, counts, keysByType)
    this.keysInRows += keys
  }

  drain(): undefined {
    return undefined
  }

  flush(): Promise<void> {
    this.#out.drop()
    this.#out.flush()
    return Promise.resolve()
  }
}

interface Loaded {
  keys: unknown[]
  replies: number
  mustCheck: boolean
  report: unknown
  error: string | undefined
  keysRead: number
}

async function load(
  pieces: Iterable<Buffer>,
  inRows: boolean,
  options: Options,
): Promise<[Loaded, number]> {
  const writer = new OneBatch(inRows)
  const ledger = new Ledger()
  const loader = new SnapshotLoader({
    ...options,
    writer,
    ledger,
    databases: 16,
    hasModule: () => true,
    selection: compileKeyFilter(undefined),
    mapping: compileKeyMapping({ mapDb: options.mapDb }),
    transform: undefined,
  })
  let error: string | undefined
  try {
    for (const piece of pieces) {
      for (let at = 0; at < piece.length; at += INPUT_BYTES) {
        const end = Math.min(piece.length, at + INPUT_BYTES)
        piece.copy(input, 0, at, end)
        loader.push(input.subarray(0, end - at))
        input.fill(0xaa, 0, end - at)
      }
    }
    loader.parser.end()
  } catch (thrown) {
    if (!(thrown instanceof RdbError)) throw thrown
    error = thrown.message
  }
  await writer.flush()
  const { batch } = writer
  batch.countWritten()
  const keys = Array.from({ length: batch.keyCount }, (_, key) => ({
    name: batch.nameOfKey(key),
    type: batch.typeOf(key),
    db: batch.dbOf(key),
    bytes: batch.bytesOfKey(key).toString('latin1'),
    // The counters themselves differ from ledger to ledger.
    counts: { ...batch.countsOf(key) },
  }))
  const owners = Array.from({ length: batch.expectedReplies }, (_, reply) => {
    const key = batch.keyOfReply(reply)
    return [key, batch.commandOfReply(key, reply)]
  })
  const loaded = {
    keys: [keys, owners],
    replies: batch.expectedReplies,
    mustCheck: batch.mustCheck,
    report: ledger.report(),
    error,
    keysRead: loader.parser.keysRead,
  }
  return [loaded, writer.keysInRows]
}

const anyOptions: fc.Arbitrary<Options> = fc.record({
  target: fc.constantFrom(
    targetCapabilities('redis', 70200),
    targetCapabilities('redis', 60000),
    targetCapabilities('redis', 40000),
    targetCapabilities('redis', 20800),
    targetCapabilities('redis', 80800),
    targetCapabilities('valkey', 90100),
  ),
  restore: fc.constantFrom('auto', 'always', 'never'),
  onConflict: fc.constantFrom('fail', 'skip', 'replace'),
  keysByDb: fc.constantFrom(new Map<number, number>(), new Map([[0, 3]])),
  mapDb: fc.constantFrom(new Map<number, number>(), new Map([[0, 5]]), new Map([[0, 99]])),
  shiftMs: fc.constantFrom(0, 2 ** 40),
  keepExpired: fc.boolean(),
  checkpointKey: fc.constantFrom(undefined, Buffer.from('a'), Buffer.from(''), Buffer.alloc(300)),
  maxPayloadBytes: fc.constantFrom(undefined, 400),
})

test('generated files are loaded alike, whole, in pieces and damaged', async () => {
  let inRows = 0
  await fc.assert(
    fc.asyncProperty(
      anyRdb,
      anyOptions,
      fc.nat(),
      fc.nat(255),
      async (rdb, options, seed, byte) => {
        const [plain, none] = await load([rdb], false, options)
        const [fast, some] = await load([rdb], true, options)
        expect(none).toBe(0)
        expect(fast).toEqual(plain)
        inRows += some
        const [cut] = await load(cutRandomly(rdb, seed), true, options)
        expect(cut).toEqual(plain)
        const damaged = Buffer.from(rdb)
        damaged[9 + (seed % (rdb.length - 9))] = byte
        const [fastDamaged] = await load([damaged], true, options)
        const [plainDamaged] = await load([damaged], false, options)
        expect(fastDamaged).toEqual(plainDamaged)
      },
    ),
    { numRuns: 500 },
  )
  expect(inRows).toBeGreaterThan(1000)
})

describe('fixtures', () => {
  const root = FIXTURES
  const names = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.rdb'),
  )

  test.each(['auto', 'always', 'never'] as const)('all of them, with %s', async (restore) => {
    expect(names.length).toBeGreaterThan(160)
    const types = new Set<string>()
    let inRows = 0
    const options: Options = {
      target: targetCapabilities('redis', 80800),
      restore,
      onConflict: 'replace',
      keysByDb: new Map(),
      mapDb: new Map(),
      shiftMs: 0,
      keepExpired: restore === 'auto',
      checkpointKey: undefined,
      maxPayloadBytes: undefined,
    }
    for (const name of names) {
      const rdb = readFileSync(join(root, name))
      const [plain] = await load([rdb], false, options)
      const [fast, some] = await load([rdb], true, options)
      expect(fast, name).toEqual(plain)
      inRows += some
      const { databases } = fast.report as { databases: Record<string, object> }
      for (const db of Object.values(databases)) Object.keys(db).forEach((type) => types.add(type))
    }
    expect([...types]).toEqual(expect.arrayContaining(['string', 'list', 'set', 'zset', 'hash']))
    expect(inRows).toBeGreaterThan(1000)
  })
})
