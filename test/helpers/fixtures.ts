/** The fixtures: every RDB with the state that its server reported. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

export interface RdbFixture {
  /** Such as `redis-7.2/types`. */
  name: string
  rdb: string
  expected: string
}

/** One line of `expected.jsonl` (its shapes: fixtures/README.md). */
export interface KeyState {
  db: number
  key: string
  type: string
  encoding: string
  expireAt: number | null
  value: unknown
}

/** Files of real servers, with what those servers said of them: fixtures/README.md. */
export const FIXTURES = join(import.meta.dirname, '../../fixtures')

/** More of the same kind, where RREP_FIXTURES names a folder of them. */
function fixtureRoots(): string[] {
  const more = process.env['RREP_FIXTURES']
  return more === undefined || more === '' ? [FIXTURES] : [FIXTURES, more]
}

/** Every `.rdb` with an `.expected.jsonl` beside it. */
export function rdbFixtures(): RdbFixture[] {
  const found = new Map<string, RdbFixture>()
  for (const root of fixtureRoots()) {
    for (const folder of readdirSync(root).sort()) {
      const path = join(root, folder)
      if (!statSync(path).isDirectory()) continue
      for (const file of readdirSync(path).sort()) {
        if (!file.endsWith('.rdb')) continue
        const expected = join(path, file.replace(/rdb$/, 'expected.jsonl'))
        if (!existsSync(expected)) continue
        const name = `${folder}/${file.slice(0, -4)}`
        if (!found.has(name)) found.set(name, { name, rdb: join(path, file), expected })
      }
    }
  }
  return [...found.values()]
}

/** All files of the fixtures whose name ends so; `name` is the path below the folder. */
export function fixtureFiles(end: string): { name: string; path: string }[] {
  const found = new Map<string, string>()
  for (const root of fixtureRoots()) {
    for (const name of readdirSync(root, { recursive: true, encoding: 'utf8' }).sort()) {
      if (name.endsWith(end) && !found.has(name)) found.set(name, join(root, name))
    }
  }
  return [...found].map(([name, path]) => ({ name, path }))
}

export function readStates(file: string): KeyState[] {
  return parseStates(readFileSync(file, 'utf8'))
}

export function parseStates(text: string): KeyState[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as KeyState)
}

/** By db and the bytes of the key, as expected.jsonl is ordered. */
export function sortStates(states: readonly KeyState[]): KeyState[] {
  return [...states].sort(
    (a, b) =>
      a.db - b.db || Buffer.compare(Buffer.from(a.key, 'base64'), Buffer.from(b.key, 'base64')),
  )
}

/** Scores differ as text between versions and are compared as doubles. */
export function withScoresAsNumbers(state: KeyState): KeyState {
  if (state.type !== 'zset') return state
  const pairs = state.value as [string, string][]
  return { ...state, value: pairs.map(([member, score]) => [member, parseScore(score)]) }
}

function parseScore(text: string): number {
  if (text === 'inf') return Infinity
  return text === '-inf' ? -Infinity : Number(text)
}
