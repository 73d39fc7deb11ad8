/** `inspect --compare` lists the keys that changed most; where more changed by equally much than are
 * listed, two runs over the same dumps named different ones. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { growth } from '../../src/verbs/growth/run.js'
import { dumpOfNames } from '../helpers/hostile-names.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-ties-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

test('of keys that changed by equally much the first of the dump are listed', async () => {
  const names = (letter: string): Buffer[] =>
    Array.from({ length: 3000 }, (_, at) => Buffer.from(`${letter}:${1000 + ((at * 7919) % 3000)}`))
  const dump = (file: string, all: Buffer[], bytes: number): string => {
    writeFileSync(join(dir, file), dumpOfNames(all, bytes))
    return join(dir, file)
  }
  const older = dump('older.rdb', [...names('same'), ...names('old')], 10)
  const newer = dump('newer.rdb', [...names('same'), ...names('new')], 90)
  const { grown, created, gone } = await growth(newer, older, { top: 7 })
  // Shown by name.
  const first = (letter: string): string[] => names(letter).slice(0, 7).map(String).sort()
  const shown = (list: typeof grown): string[] => list.map(({ key }) => key.toString())
  expect(shown(gone)).toEqual(first('old'))
  expect(shown(created)).toEqual(first('new'))
  expect(shown(grown)).toEqual(first('same'))
})
