/** The most frequent names in bounded memory, against counting all of them. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { HeavyHitters } from '../../src/analyze/traffic/heavy-hitters.js'

test('counts bound the true ones, and who is frequent enough is surely there', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          { weight: 5, arbitrary: fc.nat({ max: 3 }) },
          { weight: 3, arbitrary: fc.nat({ max: 200 }) },
        ),
        { maxLength: 2000 },
      ),
      fc.integer({ min: 1, max: 20 }),
      (names, promised) => {
        const hitters = new HeavyHitters(promised)
        const truth = new Map<string, number>()
        for (const each of names) {
          const name = `n${each}`
          hitters.add(name, 1)
          truth.set(name, (truth.get(name) ?? 0) + 1)
        }
        const isExact = hitters.isExact
        const found = new Map(hitters.take().map((each) => [each.name, each]))
        expect(found.size).toBeLessThanOrEqual(2 * promised)
        for (const [name, { commands, error }] of found) {
          expect(truth.get(name)!).toBeLessThanOrEqual(commands)
          expect(truth.get(name)!).toBeGreaterThanOrEqual(commands - error)
          if (isExact) expect(error).toBe(0)
        }
        for (const [name, count] of truth) {
          if (count > names.length / promised) expect(found.has(name), name).toBe(true)
        }
        if (isExact) expect(found.size).toBe(truth.size)
        expect(hitters.take()).toEqual([])
      },
    ),
  )
})
