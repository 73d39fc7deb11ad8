/** Retention against a plain model of restic's rules: for each rule, the newest of each of the last so many
 * periods that have one. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { applyPolicy, isEmptyPolicy, type RetentionPolicy } from '../../src/repository/retention.js'

const HOUR = 3_600_000
const START = Date.UTC(2024, 1, 27)

/** The model: groups by period, newest first, the first of each group, so many groups. */
function modelOf(times: readonly number[], policy: RetentionPolicy): Set<number> {
  const newestFirst = [...times].sort((a, b) => b - a)
  const kept = new Set<number>()
  const rule = (count: number | undefined, period: (at: Date) => string): void => {
    const groups = new Map<string, number>()
    newestFirst.forEach((at, index) => {
      const key = period(new Date(at))
      if (!groups.has(key)) groups.set(key, index)
    })
    for (const index of [...groups.values()].slice(0, count ?? 0)) kept.add(index)
  }
  let number = 0
  rule(policy.last, () => String((number += 1)))
  rule(policy.hourly, (at) => at.toString().slice(0, 18))
  rule(policy.daily, (at) => at.toDateString())
  rule(policy.weekly, (at) => {
    // Back to its Monday.
    const monday = new Date(at.getFullYear(), at.getMonth(), at.getDate() - ((at.getDay() + 6) % 7))
    return monday.toDateString()
  })
  rule(policy.monthly, (at) => `${at.getFullYear()} ${at.getMonth()}`)
  rule(policy.yearly, (at) => String(at.getFullYear()))
  newestFirst.forEach((at, index) => {
    if (policy.withinMs !== undefined && at > newestFirst[0]! - policy.withinMs) kept.add(index)
  })
  if (times.length > 0) kept.add(0)
  return kept
}

test('random histories and policies keep what the model keeps', () => {
  const count = fc.option(fc.integer({ min: 1, max: 8 }), { nil: undefined })
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 24 * 900 }), { maxLength: 120 }),
      fc.record({
        last: count,
        hourly: count,
        daily: count,
        weekly: count,
        monthly: count,
        yearly: count,
        withinMs: fc.option(fc.integer({ min: 1, max: 40 * 24 * HOUR }), { nil: undefined }),
      }),
      (hours, policy) => {
        const times = hours.map((hour) => START + hour * HOUR)
        const items = times.map((atMs) => ({ atMs }))
        const found = applyPolicy(items, policy, Infinity)
        const kept = found.flatMap(({ reasons }, index) => (reasons.length > 0 ? [index] : []))
        expect(new Set(kept)).toEqual(modelOf(times, policy))
      },
    ),
    { numRuns: 400 },
  )
})

test('the newest and the future stay, whatever the policy', () => {
  const items = [1, 2, 3].map((day) => ({ atMs: START + day * 24 * HOUR }))
  const found = applyPolicy(items, { last: 1 }, START + 36 * HOUR)
  expect(found.map(({ reasons }) => reasons)).toEqual([
    ['last', 'future', 'newest'],
    ['future'],
    [],
  ])
  expect(isEmptyPolicy({ daily: 0 })).toBe(true)
  expect(isEmptyPolicy({ yearly: 1 })).toBe(false)
})
