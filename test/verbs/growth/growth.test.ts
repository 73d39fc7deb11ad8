/** What became of the keys between two dumps, against a plain comparison of the keys' rows. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, test } from 'vitest'
import { TTL_BOUNDS } from '../../../src/analyze/totals.js'
import { addRows } from '../../../src/analyze/growth/sums.js'
import { growthLines } from '../../../src/analyze/growth/table.js'
import type { GrowthResult, GrowthRow, PrefixGrowth } from '../../../src/verbs/growth/options.js'
import { growth } from '../../../src/verbs/growth/run.js'
import { inspect } from '../../../src/verbs/inspect/run.js'
import { fixtureFiles } from '../../helpers/fixtures.js'
import { dumpOfNames, HOSTILE_NAMES } from '../../helpers/hostile-names.js'
import { rdbBytes } from '../../helpers/rdb-bytes.js'
import { str } from '../../helpers/rdb-values.js'

const directory = mkdtempSync(join(tmpdir(), 'rrep-growth-test-'))
afterAll(() => rmSync(directory, { recursive: true }))

interface PlainKey {
  db: number
  key: Buffer
  type: string
  memory: number
  /** Unix ms, or -1. */
  expireAt: number
}

interface PlainSide {
  keys: Map<string, PlainKey>
  asOfMs: number
}

async function plainSide(file: string, nowMs: number): Promise<PlainSide> {
  const keys = new Map<string, PlainKey>()
  const { madeMs } = await inspect(file, {
    onKey: ({ header, type, memory }) => {
      const key = Buffer.from(header.key.bytes.subarray(header.key.start, header.key.end))
      const expireAt = header.hasExpiry ? header.expireAtMs : -1
      keys.set(`${header.dbnum} ${key.toString('latin1')}`, {
        db: header.dbnum,
        key,
        type,
        memory,
        expireAt,
      })
    },
  })
  return { keys, asOfMs: madeMs ?? nowMs }
}

interface Pair {
  before: PlainKey | undefined
  now: PlainKey | undefined
}

function pairsOf(older: PlainSide, newer: PlainSide): Pair[] {
  const names = new Set([...older.keys.keys(), ...newer.keys.keys()])
  return [...names].map((name) => ({ before: older.keys.get(name), now: newer.keys.get(name) }))
}

const memoryOf = (key: PlainKey | undefined): number => key?.memory ?? 0

function rowOf(pairs: readonly Pair[], expiredByMs: number): GrowthRow {
  const sum = (wanted: (pair: Pair) => boolean, memory: (pair: Pair) => number) => {
    const all = pairs.filter(wanted)
    return { keys: all.length, memory: all.reduce((total, pair) => total + memory(pair), 0) }
  }
  const by = ({ before, now }: Pair): number => memoryOf(now) - memoryOf(before)
  const isBoth = ({ before, now }: Pair): boolean => before !== undefined && now !== undefined
  const isGone = ({ now }: Pair): boolean => now === undefined
  return {
    before: sum(
      ({ before }) => before !== undefined,
      ({ before }) => memoryOf(before),
    ),
    now: sum(
      ({ now }) => now !== undefined,
      ({ now }) => memoryOf(now),
    ),
    created: sum(
      ({ before }) => before === undefined,
      ({ now }) => memoryOf(now),
    ),
    gone: sum(isGone, ({ before }) => memoryOf(before)),
    expired: sum(
      (pair) =>
        isGone(pair) && pair.before!.expireAt !== -1 && pair.before!.expireAt <= expiredByMs,
      ({ before }) => memoryOf(before),
    ),
    grown: sum((pair) => isBoth(pair) && by(pair) > 0, by),
    shrunk: sum(
      (pair) => isBoth(pair) && by(pair) < 0,
      (pair) => -by(pair),
    ),
  }
}

/** Only its own figures. */
function plain({ before, now, created, gone, expired, grown, shrunk }: GrowthRow): GrowthRow {
  return { before, now, created, gone, expired, grown, shrunk }
}

function ttlClass(key: PlainKey, asOfMs: number): string {
  if (key.expireAt === -1) return 'none'
  return TTL_BOUNDS.find(({ untilMs }) => key.expireAt <= asOfMs + untilMs)!.name
}

function checkTree(node: PrefixGrowth, pairs: readonly Pair[], expiredByMs: number): void {
  const depthOf = (key: Buffer): number => Math.min(2, key.toString('latin1').split(':').length - 1)
  const own = pairs.filter(({ before, now }) => {
    const key = (now ?? before)!.key
    const pieces = node.prefix.toString('latin1').split(':').length - 1
    return depthOf(key) === pieces
  })
  expect(plain(node)).toEqual(rowOf(pairs, expiredByMs))
  expect(plain(node.own)).toEqual(rowOf(own, expiredByMs))
  let below = own.length
  for (const child of node.children) {
    const inside = pairs.filter(({ before, now }) =>
      (now ?? before)!.key.subarray(0, child.prefix.length).equals(child.prefix),
    )
    below += inside.length
    checkTree(child, inside, expiredByMs)
  }
  expect(below).toBe(pairs.length)
}

async function check(newerFile: string, olderFile: string, nowMs: number): Promise<GrowthResult> {
  const result = await growth(newerFile, olderFile, { nowMs })
  const newer = await plainSide(newerFile, nowMs)
  const older = await plainSide(olderFile, nowMs)
  const pairs = pairsOf(older, newer)
  expect(plain(result.total)).toEqual(rowOf(pairs, newer.asOfMs))
  checkTree(result.prefixes, pairs, newer.asOfMs)
  for (const [db, row] of result.databases) {
    const inside = pairs.filter(({ before, now }) => (now ?? before)!.db === db)
    expect(plain(row)).toEqual(rowOf(inside, newer.asOfMs))
  }
  // A key that changed type is gone of the one and new of the other.
  const byType = pairs.flatMap((pair): Pair[] => {
    const { before, now } = pair
    if (before === undefined || now === undefined || before.type === now.type) return [pair]
    return [
      { before: { ...before, expireAt: -1 }, now: undefined },
      { before: undefined, now },
    ]
  })
  expect(result.retyped).toBe(byType.length - pairs.length)
  for (const [type, row] of result.types) {
    const inside = byType.filter(({ before, now }) => (now ?? before)!.type === type)
    expect(plain(row)).toEqual(rowOf(inside, newer.asOfMs))
  }
  for (const { name, before, now } of result.ttl) {
    const count = (side: PlainSide) => {
      const all = [...side.keys.values()].filter((key) => ttlClass(key, side.asOfMs) === name)
      return { keys: all.length, memory: all.reduce((sum, { memory }) => sum + memory, 0) }
    }
    expect({ name, before, now }).toEqual({ name, before: count(older), now: count(newer) })
  }
  const by = (all: Pair[]): number[] =>
    all
      .map(({ before, now }) => Math.abs(memoryOf(now) - memoryOf(before)))
      .sort((a, b) => b - a)
      .slice(0, 10)
  const both = pairs.filter(({ before, now }) => before !== undefined && now !== undefined)
  const lists: [keyof GrowthResult & ('grown' | 'shrunk' | 'created' | 'gone'), Pair[]][] = [
    ['grown', both.filter(({ before, now }) => now!.memory > before!.memory)],
    ['shrunk', both.filter(({ before, now }) => now!.memory < before!.memory)],
    ['created', pairs.filter(({ before }) => before === undefined)],
    ['gone', pairs.filter(({ now }) => now === undefined)],
  ]
  for (const [name, expected] of lists) {
    expect(result[name].map(({ before, now }) => Math.abs(now - before))).toEqual(by(expected))
    for (const { db, key, type, before, now } of result[name]) {
      const label = `${db} ${key.toString('latin1')}`
      expect([older.keys.get(label)?.memory ?? 0, newer.keys.get(label)?.memory ?? 0]).toEqual([
        before,
        now,
      ])
      expect((newer.keys.get(label) ?? older.keys.get(label))?.type).toBe(type)
    }
  }
  return result
}

interface MadeKey {
  db: number
  name: string
  type: number
  bytes: number
  expireAt: number
}

function fileOf(name: string, keys: readonly MadeKey[]): string {
  const seen = new Set<string>()
  const body = keys.flatMap(({ db, name: key, type, bytes, expireAt }) => {
    if (seen.has(`${db} ${key}`)) return []
    seen.add(`${db} ${key}`)
    const expiry = Buffer.alloc(expireAt === -1 ? 0 : 9)
    if (expireAt !== -1) {
      expiry[0] = 0xfc
      expiry.writeBigUInt64LE(BigInt(expireAt), 1)
    }
    const value = str(Buffer.alloc(bytes, 'v'))
    const count = type === 0 ? Buffer.alloc(0) : Buffer.of(1)
    return [Buffer.of(0xfe, db), expiry, Buffer.of(type), str(Buffer.from(key)), count, value]
  })
  const path = join(directory, name)
  writeFileSync(path, rdbBytes({ body: Buffer.concat(body), checksum: 'zero' }))
  return path
}

const NOW_MS = 1_800_000_000_000

const keys = fc.array(
  fc.record({
    db: fc.integer({ min: 0, max: 2 }),
    name: fc
      .tuple(
        fc.array(fc.constantFrom('a', 'b', 'user', ''), { maxLength: 3 }),
        fc.integer({ min: 0, max: 12 }),
      )
      .map(([pieces, id]) => [...pieces, String(id)].join(':')),
    /** A string, a list, a set. */
    type: fc.constantFrom(0, 0, 0, 1, 2),
    bytes: fc.integer({ min: 1, max: 60 }),
    expireAt: fc.constantFrom(-1, -1, NOW_MS - 1, NOW_MS, NOW_MS + 10_000, NOW_MS + 9e8),
  }),
  { maxLength: 120 },
)

/**
 * Strings `k:<0 to 2>:<number>`, and one of the other name. Written into one Buffer: each part of a comparison
 * stores several chunks of so many keys, and a Buffer for each name takes longer than all that is tested.
 */
function dumpOfNumbers(from: number, to: number, other?: Buffer): Buffer {
  const value = str(Buffer.alloc(40, 'v'))
  const body = Buffer.alloc((to - from) * (value.length + 16))
  let end = 0
  for (let at = from; at < to; at += 1) {
    // The byte in front is the type, the next the length.
    const length = body.write(`k:${at % 3}:${at}`, end + 2, 'latin1')
    body[end + 1] = length
    end += 2 + length
    end += value.copy(body, end)
  }
  const last = other === undefined ? [] : [Buffer.of(0), str(other), value]
  const whole = [Buffer.of(0xfe, 0), body.subarray(0, end), ...last]
  return rdbBytes({ body: Buffer.concat(whole), checksum: 'zero' })
}

describe('growth', () => {
  test('is what a plain comparison of all keys says', async () => {
    await fc.assert(
      fc.asyncProperty(keys, keys, async (older, newer) => {
        await check(fileOf('newer.rdb', newer), fileOf('older.rdb', older), NOW_MS)
      }),
      { numRuns: 60 },
    )
  })

  test('is right of dumps of different versions', async () => {
    const files = fixtureFiles('types.rdb')
    expect(files.length).toBeGreaterThan(5)
    for (const [at, { path }] of files.entries()) {
      await check(path, files[(at + 1) % files.length]!.path, NOW_MS)
    }
  })

  test('of a dump and itself says that nothing changed', async () => {
    const path = fileOf('same.rdb', fc.sample(keys, 1)[0]!)
    const { total, grown, created, gone } = await check(path, path, NOW_MS)
    expect(total.before).toEqual(total.now)
    expect([grown, created, gone]).toEqual([[], [], []])
  })

  test('is exact where records and names lie on disk, and leaves nothing there', async () => {
    const long = Buffer.alloc(3 << 20, 'x')
    const path = (file: string, bytes: Buffer): string => {
      const at = join(directory, file)
      writeFileSync(at, bytes)
      return at
    }
    const older = path('large-older.rdb', dumpOfNumbers(0, 600_000))
    const newer = path('large-newer.rdb', dumpOfNumbers(1000, 602_000, long))
    const scratch = join(directory, 'scratch')
    mkdirSync(scratch)
    const { TMPDIR } = process.env
    process.env['TMPDIR'] = scratch
    const result = await growth(newer, older)
    if (TMPDIR === undefined) delete process.env['TMPDIR']
    else process.env['TMPDIR'] = TMPDIR
    expect(readdirSync(scratch)).toEqual([])
    expect(result.total.created.keys).toBe(2001)
    expect(result.total.gone.keys).toBe(1000)
    expect(result.total.grown.keys + result.total.shrunk.keys).toBe(0)
    expect(result.created[0]!.key.equals(long)).toBe(true)
    for (const { key } of result.gone) {
      expect(Number(key.toString().split(':')[2])).toBeLessThan(1000)
    }
    const before = await inspect(older, { prefixDepth: 0 })
    expect(result.total.before).toEqual({ keys: before.keys, memory: before.memory })
  })

  test('a name is the same by the kernel and without, whatever its length and bytes', async () => {
    const names = Array.from({ length: 400 }, (_, at) =>
      Buffer.concat([Buffer.of(at & 255, at >> 8), Buffer.alloc(at, 0x80 + (at % 128))]),
    )
    const older = join(directory, 'by-kernel.rdb')
    const newer = join(directory, 'by-events.rdb')
    writeFileSync(older, dumpOfNames(names))
    // Sets of one member.
    const sets = names.map((name) =>
      Buffer.concat([Buffer.of(2), str(name), Buffer.of(1), str(Buffer.from('m'))]),
    )
    const body = Buffer.concat([Buffer.of(0xfe, 0), ...sets])
    writeFileSync(newer, rdbBytes({ body, checksum: 'zero' }))
    const { retyped, total } = await growth(newer, older)
    expect([retyped, total.created.keys, total.gone.keys]).toEqual([names.length, 0, 0])
  })

  test('takes only the keys of the filter, of both', async () => {
    const older = fileOf('filter-older.rdb', [made('a:1', 10), made('b:1', 10)])
    const newer = fileOf('filter-newer.rdb', [made('a:1', 50), made('b:1', 50), made('b:2', 50)])
    const { total, newer: side } = await growth(newer, older, { filter: { match: ['b:*'] } })
    expect([total.before.keys, total.now.keys, total.grown.keys]).toEqual([1, 2, 1])
    expect(side.filteredOut).toBe(1)
  })

  test('damage of a side is told, and the rest compared', async () => {
    const whole = fileOf('whole.rdb', [made('a:1', 10), made('a:2', 10)])
    const path = join(directory, 'cut.rdb')
    writeFileSync(path, dumpOfNames([Buffer.from('a:1'), Buffer.from('a:2')]).subarray(0, -20))
    const result = await growth(whole, path)
    expect(result.error).toBe(result.older.error)
    expect(result.older.complete).toBe(false)
    expect(result.total.now.keys).toBe(2)
  })

  test('adds up where there are more prefixes than have rows of their own', async () => {
    const names = (from: number, to: number): Buffer[] =>
      Array.from({ length: to - from }, (_, at) => Buffer.from(`p${from + at}:${at % 7}:${at}`))
    const older = join(directory, 'prefixes-older.rdb')
    const newer = join(directory, 'prefixes-newer.rdb')
    writeFileSync(older, dumpOfNames(names(0, 60_000)))
    writeFileSync(newer, dumpOfNames([...names(20_000, 60_000), ...names(0, 300)], 20))
    const { prefixes, total } = await growth(newer, older)
    expect(total.now.keys).toBe(40_300)
    expect(total.gone.keys + total.created.keys).toBeGreaterThan(0)
    const walk = (node: PrefixGrowth): void => {
      const below = node.children.reduce<GrowthRow>(addRows, node.own)
      expect(plain(node)).toEqual(plain(below))
      node.children.forEach(walk)
    }
    walk(prefixes)
    expect(plain(prefixes)).toEqual(total)
    expect(prefixes.children.some(({ merged }) => merged > 0)).toBe(true)
  })

  test('lines add up, hostile names among them', async () => {
    const path = join(directory, 'hostile.rdb')
    writeFileSync(path, dumpOfNames([...HOSTILE_NAMES]))
    const empty = fileOf('empty.rdb', [])
    const { prefixes, total } = await growth(path, empty)
    for (const limit of [0, 1, 3, 1000]) {
      const top = growthLines(prefixes, limit).filter(({ depth }) => depth === 0)
      expect(top.reduce((sum, { row }) => sum + row.now.memory, 0)).toBe(total.now.memory)
    }
  })
})

function made(name: string, bytes: number): MadeKey {
  return { db: 0, name, type: 0, bytes, expireAt: -1 }
}
