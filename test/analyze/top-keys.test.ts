import fc from 'fast-check'
import { expect, test } from 'vitest'
import { TopKeys } from '../../src/analyze/top-keys.js'
import { allocated } from '../../src/analyze/allocator.js'
import { TtlHistogram } from '../../src/analyze/totals.js'

test('the largest come out, in order, whatever the order they came in', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(1000), { maxLength: 200 }), fc.nat(12), (sizes, limit) => {
      const top = new TopKeys(limit)
      for (const [index, memory] of sizes.entries()) {
        if (!top.wants(memory)) continue
        const key = Buffer.from(String(index))
        top.add({ dbnum: 0, key, type: '', encoding: '', memory, elements: 0, expireAtMs: -1 })
      }
      const expected = [...sizes].sort((a, b) => b - a).slice(0, limit)
      expect(top.sorted().map((key) => key.memory)).toEqual(expected)
    }),
  )
})

test('of equal ones those of the lowest order are kept, whatever the order they came in', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(5), { maxLength: 60 }), fc.nat(8), fc.nat(), (ranks, limit, by) => {
      const top = new TopKeys(limit)
      const all = ranks.map((rank, order) => ({ rank, order }))
      const shuffled = [...all].sort(
        (a, b) => ((a.order * 7919 + by) % 61) - ((b.order * 7919 + by) % 61),
      )
      for (const { rank, order } of shuffled) {
        if (!top.wantsAt(rank, order)) continue
        const key = Buffer.of(order)
        const facts = { dbnum: 0, key, type: '', encoding: '', memory: 0, elements: 0 }
        top.add({ ...facts, expireAtMs: -1 }, rank, order)
      }
      const expected = all.sort((a, b) => b.rank - a.rank || a.order - b.order).slice(0, limit)
      expect(top.ranked().map(({ rank, facts }) => ({ rank, order: facts.key[0] }))).toEqual(
        expected,
      )
    }),
  )
})

test("allocations are rounded up to jemalloc's size classes", () => {
  const cases: [bytes: number, usable: number][] = [
    [1, 8], [8, 8], [9, 16], [17, 32], [33, 48], [113, 128], [128, 128], [129, 160], [161, 192],
    [225, 256], [257, 320], [4097, 5120], [14_337, 16_384], [16_385, 20_480], [262_155, 327_680],
    [1_048_577, 1_310_720],
  ] // prettier-ignore
  expect(cases.map(([bytes]) => [bytes, allocated(bytes)])).toEqual(cases)
  const odd: number[] = []
  for (let bytes = 1; bytes < 40_000; bytes += 1) {
    const usable = allocated(bytes)
    if (usable < bytes || allocated(usable) !== usable) odd.push(bytes)
  }
  expect(odd).toEqual([])
})

test('times to live fall into their classes, to the millisecond', () => {
  const ttl = new TtlHistogram(1_000_000)
  for (const left of [-5, 0, 1, 3_600_000, 3_600_001, 86_400_001, 604_800_001, 2_592_000_001]) {
    ttl.add(true, 1_000_000 + left, 10)
  }
  ttl.add(false, -1, 10)
  expect(ttl.rows().map((row) => [row.name, row.keys])).toEqual([
    ['expired', 2],
    ['<1h', 2],
    ['<1d', 1],
    ['<7d', 1],
    ['<30d', 1],
    ['>=30d', 1],
    ['none', 1],
  ])
})
