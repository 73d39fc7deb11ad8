/** Every figure of the report, against a plain recomputation from the rows of `--csv`. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { MemoryReport } from '../../src/analyze/distributions/distributions.js'
import type { PrefixNode, PrefixSums } from '../../src/analyze/distributions/prefix-figures.js'
import { inspect } from '../../src/verbs/inspect/run.js'
import { keySlot } from '../../src/topology/key-slot.js'
import { runCli } from '../helpers/cli.js'
import { FIXTURES, rdbFixtures, type KeyState } from '../helpers/fixtures.js'

interface CsvRow {
  db: number
  type: string
  key: Buffer
  memory: number
  encoding: string
  elements: number
  longest: number
  /** Unix ms, or -1. */
  expireAt: number
}

/** A large dump to try as well. */
const LARGE = process.env['RREP_FIGURES_DUMP']

async function namesOf(file: string): Promise<{ code: number; out: string }> {
  const { code, out } = await runCli(['inspect', file, '--keys', '--json'])
  const lines = out.split('\n').filter((line) => line !== '')
  const states = lines.map((line) => {
    const row = JSON.parse(line) as { key: string; keyBase64?: string }
    return { ...row, key: row.keyBase64 ?? Buffer.from(row.key).toString('base64') }
  })
  return { code, out: states.map((state) => JSON.stringify(state)).join('\n') }
}

/** Names as `printable` writes them, back to bytes; the columns of `inspect --csv`. */
async function rowsOf(file: string): Promise<CsvRow[]> {
  const csv = await runCli(['inspect', file, '--csv'])
  // Of a large one the values have no room in one text.
  const json =
    file === LARGE
      ? await namesOf(file)
      : await runCli(['export', file, '--strings', 'base64', '--format', 'jsonl'])
  expect([csv.code, json.code]).toEqual([0, 0])
  const states = json.out
    .trimEnd()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as KeyState & { keyBase64?: string })
  const lines = csv.out.trimEnd().split('\n').slice(1)
  expect(lines.length).toBe(states.length)
  return lines.map((line, at) => {
    const state = states[at]!
    const fields = /,(\d+),([a-z]+),(\d+),(\d*),([^,]*)$/.exec(line)!
    return {
      db: state.db,
      type: state.type,
      key: Buffer.from(state.key, 'base64'),
      memory: Number(fields[1]),
      encoding: fields[2]!,
      elements: Number(fields[3]),
      longest: fields[4] === '' ? -1 : Number(fields[4]),
      expireAt: state.expireAt ?? -1,
    }
  })
}

const sum = (rows: readonly CsvRow[], of: (row: CsvRow) => number): number =>
  rows.reduce((total, row) => total + of(row), 0)
const memoryOf = (rows: readonly CsvRow[]): number => sum(rows, (row) => row.memory)

function checkTypes(report: MemoryReport, rows: readonly CsvRow[]): void {
  const names = [...new Set(rows.map(({ type }) => type))]
  expect(report.types.map(({ type }) => type).sort()).toEqual(names.sort())
  for (const row of report.types) {
    const own = rows.filter(({ type }) => type === row.type)
    expect(row).toMatchObject({ keys: own.length, memory: memoryOf(own) })
    const most = (of: (each: CsvRow) => number): number =>
      own.reduce((largest, each) => Math.max(largest, of(each)), 0)
    expect(row.memoryPercentiles.max).toBe(most(({ memory }) => memory))
    expect(row.elementsPercentiles.max).toBe(most(({ elements }) => elements))
    for (const [name, share] of [
      ['p50', 0.5],
      ['p90', 0.9],
      ['p99', 0.99],
    ] as const) {
      for (const [told, of] of [
        [row.memoryPercentiles[name], (each: CsvRow) => each.memory],
        [row.elementsPercentiles[name], (each: CsvRow) => each.elements],
      ] as const) {
        const sorted = own.map(of).sort((a, b) => a - b)
        const exact = sorted[Math.ceil(sorted.length * share) - 1]!
        expect(told).toBeGreaterThanOrEqual(exact)
        expect(told).toBeLessThanOrEqual(exact < 128 ? exact : exact * 1.0157)
      }
    }
    for (const size of row.sizes) {
      const inside = own.filter(
        ({ memory }) => memory >= size.from && memory < Math.max(1, size.from * 2),
      )
      expect(size).toEqual({ from: size.from, keys: inside.length, memory: memoryOf(inside) })
    }
    expect(row.sizes.reduce((total, size) => total + size.keys, 0)).toBe(own.length)
  }
}

const HOUR_MS = 3_600_000
const LEFT_MS = { '<1h': 1, '<1d': 24, '<7d': 168, '<30d': 720 } as const

function checkExpiry(report: MemoryReport, rows: readonly CsvRow[]): void {
  const left = ({ expireAt }: CsvRow): number => expireAt - report.asOfMs
  const bounds: [string, number, number][] = [['expired', Number.NEGATIVE_INFINITY, 0]]
  let from = 0
  for (const [name, hours] of Object.entries(LEFT_MS)) {
    bounds.push([name, from, hours * HOUR_MS])
    from = hours * HOUR_MS
  }
  bounds.push(['>=30d', from, Number.POSITIVE_INFINITY])
  for (const [name, above, upTo] of bounds) {
    const inside = rows.filter(
      (row) => row.expireAt !== -1 && left(row) > above && left(row) <= upTo,
    )
    expect(report.ttl.find((row) => row.name === name)).toEqual({
      name,
      keys: inside.length,
      memory: memoryOf(inside),
    })
  }
  for (const { hour, keys, memory } of report.hours) {
    const inside = rows.filter(
      (row) =>
        row.expireAt !== -1 &&
        left(row) > 0 &&
        left(row) <= 24 * HOUR_MS &&
        Math.min(23, Math.floor(left(row) / HOUR_MS)) === hour,
    )
    expect({ keys, memory }).toEqual({ keys: inside.length, memory: memoryOf(inside) })
  }
}

function checkSums(sums: PrefixSums, rows: readonly CsvRow[], asOfMs: number): void {
  const lasting = rows.filter(({ expireAt }) => expireAt === -1)
  const soon = rows.filter(
    ({ expireAt }) => expireAt !== -1 && expireAt > asOfMs && expireAt <= asOfMs + 24 * HOUR_MS,
  )
  expect(sums).toMatchObject({
    keys: rows.length,
    memory: memoryOf(rows),
    lastingKeys: lasting.length,
    lastingMemory: memoryOf(lasting),
    soonKeys: soon.length,
    soonMemory: memoryOf(soon),
    largest: rows.reduce((most, { memory }) => Math.max(most, memory), 0),
  })
  const types = Object.values(sums.types).reduce((total, keys) => total + keys, 0)
  expect(types).toBe(rows.length)
}

/** Each node is all keys that begin with it; `*` stands for any piece, but for those with a row. */
function checkPrefixes(node: PrefixNode, inside: readonly CsvRow[], asOfMs: number): void {
  checkSums(node, inside, asOfMs)
  // Names before stars.
  const children = [...node.children].sort((a, b) => Number(isStar(a)) - Number(isStar(b)))
  let own = inside
  for (const child of children) {
    const [below, rest]: [CsvRow[], CsvRow[]] = [[], []]
    for (const row of own) (isBelow(row.key, child) ? below : rest).push(row)
    checkPrefixes(child, below, asOfMs)
    own = rest
  }
  checkSums(node.own, own, asOfMs)
}

function isStar({ prefix, merged }: PrefixNode): boolean {
  return merged > 0 && prefix.includes('*')
}

function isBelow(key: Buffer, node: PrefixNode): boolean {
  if (!isStar(node)) return key.subarray(0, node.prefix.length).equals(node.prefix)
  const pieces = node.prefix.toString('latin1').split(':').slice(0, -1)
  const names = key.toString('latin1').split(':').slice(0, -1)
  return (
    names.length >= pieces.length &&
    pieces.every((piece, at) => piece === '*' || piece === names[at])
  )
}

const PACKED = ['listpack', 'listpackex', 'ziplist', 'zipmap', 'intset']

function checkThresholds(report: MemoryReport, rows: readonly CsvRow[]): void {
  for (const { type, byElements, byLongest, whatIf, wouldFit } of report.thresholds) {
    const own = rows.filter((row) => row.type === type)
    for (const [classes, of] of [
      [byElements, (row: CsvRow) => row.elements],
      [byLongest, (row: CsvRow) => row.longest],
    ] as const) {
      let above = Number.NEGATIVE_INFINITY
      for (const row of classes) {
        const inside = own.filter((each) => of(each) > above && of(each) <= row.upTo)
        const packed = inside.filter(({ encoding }) => PACKED.includes(encoding))
        const loose = inside.filter(({ encoding }) => !PACKED.includes(encoding))
        expect(row).toEqual({
          upTo: row.upTo,
          packedKeys: packed.length,
          packedMemory: memoryOf(packed),
          looseKeys: loose.length,
          looseMemory: memoryOf(loose),
        })
        above = row.upTo
      }
    }
    const loose = own.filter(({ encoding }) => !PACKED.includes(encoding))
    for (const each of whatIf) {
      const isHeld = each.setting.endsWith('-entries')
        ? (row: CsvRow) => row.longest <= MOST_BYTES && isBetween(row.elements, each)
        : (row: CsvRow) => row.elements <= MOST_ENTRIES[type]! && isBetween(row.longest, each)
      const held = loose.filter(isHeld)
      expect(each).toMatchObject({ keys: held.length, memory: memoryOf(held) })
      expect(each.saves).toBeLessThan(each.memory)
    }
    const fitting = loose.filter(
      ({ elements, longest }) => elements <= MOST_ENTRIES[type]! && longest <= MOST_BYTES,
    )
    const { keys, memory, saves } = wouldFit
    const expected = [fitting.length, memoryOf(fitting)]
    // Before 7.2 no set of strings is packed.
    expect(type === 'set' ? [expected, [0, 0]] : [expected]).toContainEqual([keys, memory])
    expect(saves).toBeLessThanOrEqual(memory)
  }
}

/** What all versions come with: of hashes the largest that any does. */
const MOST_ENTRIES: Readonly<Record<string, number>> = { hash: 512, set: 128, zset: 128 }
const MOST_BYTES = 64

function isBetween(figure: number, { now, proposed }: { now: number; proposed: number }): boolean {
  return figure > now && figure <= proposed
}

function checkTops(report: MemoryReport, rows: readonly CsvRow[]): void {
  for (const [top, of] of [
    [report.tops.memory, (row: CsvRow) => row.memory],
    [report.tops.elements, (row: CsvRow) => row.elements],
    [report.tops.longest, (row: CsvRow) => row.longest],
  ] as const) {
    const ranks = rows.map(of).sort((a, b) => b - a)
    expect(top.map(({ rank }) => rank)).toEqual(ranks.slice(0, 20))
    for (const { rank, facts } of top) {
      const row = rows.find(({ db, key }) => db === facts.dbnum && key.equals(facts.key))!
      expect(of(row)).toBe(rank)
    }
  }
}

function checkSlots(report: MemoryReport, rows: readonly CsvRow[]): void {
  const { slots } = report
  const [keys, memory] = [new Float64Array(16_384), new Float64Array(16_384)]
  for (const row of rows) {
    const slot = keySlot(row.key)
    keys[slot]! += 1
    memory[slot]! += row.memory
  }
  expect(slots.used).toBe(keys.filter((count) => count > 0).length)
  expect(slots.keys).toEqual(keys)
  expect(slots.memory).toEqual(memory)
  const most = [...memory].sort((a, b) => b - a).slice(0, slots.largest.length)
  expect(slots.largest.map((row) => row.memory)).toEqual(most)
  for (const row of slots.largest) {
    expect(row).toMatchObject({ keys: keys[row.slot], memory: memory[row.slot] })
  }
  // The first brace counts, and only with something up to the next closing one.
  const tagged = rows.filter(({ key }) => /^[^{]*\{[^}]+\}/s.test(key.toString('latin1')))
  expect(slots.taggedKeys).toBe(tagged.length)
  expect(slots.taggedMemory).toBe(memoryOf(tagged))
  for (const { tag, ...figures } of slots.tags) {
    const inside = tagged.filter(({ key }) => tagOf(key) === tag.toString('latin1'))
    expect(figures).toMatchObject({ keys: inside.length, memory: memoryOf(inside) })
  }
  expect(slots.tags.length === 0).toBe(tagged.length === 0)
}

function tagOf(key: Buffer): string {
  return /^[^{]*\{([^}]+)\}/s.exec(key.toString('latin1'))![1]!
}

const FILES = [
  { name: 'demo/ecommerce', rdb: join(FIXTURES, 'demo/ecommerce.rdb') },
  ...rdbFixtures().filter(({ name }) =>
    /(^|\/)(redis-(5.0|7.2|8.0)|valkey-9.1)\/(types|lru|lfu|expired|streams|hash-field-ttl)$/.test(
      name,
    ),
  ),
]

if (LARGE !== undefined) FILES.push({ name: LARGE, rdb: LARGE })

describe.each(FILES)('$name', ({ rdb }) => {
  test('every figure is what the rows of the dump come to', async () => {
    const rows = await rowsOf(rdb)
    const { report } = await inspect(rdb, { report: true })
    expect(report).toBeDefined()
    expect(report).toMatchObject({ keys: rows.length, memory: memoryOf(rows), isDated: true })
    checkTypes(report!, rows)
    checkExpiry(report!, rows)
    checkPrefixes(report!.prefixes, rows, report!.asOfMs)
    checkThresholds(report!, rows)
    checkTops(report!, rows)
    checkSlots(report!, rows)
  })
})

const IDLE_BOUNDS = [3600, 86_400, 604_800, 2_592_000, 7_776_000, Infinity]
const FREQUENCY_BOUNDS = [1, 6, 11, 51, 101, Infinity]

test('idle times and frequencies are those of the file', async () => {
  for (const name of ['redis-7.2/lru', 'valkey-9.1/lfu']) {
    const rdb = join(FIXTURES, `${name}.rdb`)
    const { out } = await runCli(['inspect', rdb, '--keys', '--json'])
    const rows = out
      .trimEnd()
      .split('\n')
      .map(
        (line) =>
          JSON.parse(line) as { idle?: number | null; freq?: number | null; memory: number },
      )
    const { report } = await inspect(rdb, { report: true })
    const isIdle = name.endsWith('lru')
    const figureOf = (row: (typeof rows)[number]): number => (isIdle ? row.idle : row.freq) ?? -1
    const told = rows.filter((row) => figureOf(row) >= 0)
    expect(told.length).toBeGreaterThan(0)
    let from = 0
    const classes = (isIdle ? IDLE_BOUNDS : FREQUENCY_BOUNDS).map((below) => {
      const inside = told.filter((row) => figureOf(row) >= from && figureOf(row) < below)
      from = below
      return [inside.length, inside.reduce((total, { memory }) => total + memory, 0)]
    })
    const spread = isIdle ? report!.idle : report!.frequency
    expect(spread!.map(({ keys, memory }) => [keys, memory])).toEqual(classes)
    const top = isIdle ? report!.tops.idle : report!.tops.frequency
    const ranks = told.map(figureOf).sort((a, b) => b - a)
    expect(top.map(({ rank }) => rank)).toEqual(ranks.slice(0, 20))
  }
})

test('the page is made of the script and the style that lie beside it', () => {
  const build = join(import.meta.dirname, '../../src/report/page/build.mjs')
  const printed = execFileSync(process.execPath, [build, '--print'], { encoding: 'utf8' })
  const kept = join(import.meta.dirname, '../../src/report/page.generated.ts')
  expect(readFileSync(kept, 'utf8')).toBe(printed)
})
