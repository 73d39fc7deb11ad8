/**
 * `npm run soak -- threads`: every fixture and random damage of the larger ones, by one thread and by two and
 * three in the smallest pieces: the same bytes, figures and errors. RREP_SOAK_RUNS: damages in all.
 */
import { readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { makeTemporaryDir, removeTemporaryDir } from '../../src/disk/temporary-dir.js'
import { fixtureFiles } from '../helpers/fixtures.js'
import { checked, compared, exported, inspected, type Outcome } from '../helpers/threaded.js'

const FORMS = [
  { format: 'jsonl' },
  { format: 'json', strings: 'base64' },
  { format: 'csv' },
  { format: 'resp' },
] as const
const RUNS = Number(process.env['RREP_SOAK_RUNS'] ?? 200)
const LARGEST_BYTES = 1 << 20

export async function run(): Promise<void> {
  const directory = makeTemporaryDir('rrep-soak-threads-')
  const files = fixtureFiles('.rdb').filter(({ path }) => statSync(path).size < LARGEST_BYTES)
  const large = files.filter(({ path }) => statSync(path).size > 2000)
  let compares = 0
  const check = (what: string, one: Outcome, other: Outcome): void => {
    compares += 1
    if (!isDeepStrictEqual(one, other)) {
      console.log(JSON.stringify({ one, other }).slice(0, 4000))
      throw new Error(`${what}: not the same`)
    }
  }
  const both = async (name: string, file: string, threads: number): Promise<void> => {
    for (const options of FORMS) {
      const one = await exported(file, directory, options)
      const other = await exported(file, directory, { ...options, threads })
      check(`${name} ${options.format} by ${threads}`, one, other)
    }
    check(`${name} checked by ${threads}`, await checked(file, 1), await checked(file, threads))
    check(`${name} inspected`, await inspected(file, 1), await inspected(file, threads))
    check(`${name} compared`, await compared(file, file, 1), await compared(file, file, threads))
  }
  try {
    for (const { name, path } of files)
      for (const threads of [2, 3]) await both(name, path, threads)
    console.log(`${files.length} fixtures: ${compares} times the same`)
    const damaged = join(directory, 'damaged.rdb')
    let errors = 0
    for (let run = 0; run < RUNS; run += 1) {
      const { name, path } = large[run % large.length]!
      const whole = readFileSync(path)
      const at = 9 + Math.floor(Math.random() * (whole.length - 9))
      const isCut = Math.random() < 0.3
      const bytes = Buffer.from(isCut ? whole.subarray(0, at) : whole)
      if (!isCut) bytes[at]! ^= 1 + Math.floor(Math.random() * 255)
      writeFileSync(damaged, bytes)
      const what = `${name} ${isCut ? 'cut' : 'changed'} at ${at} (run ${run})`
      const format = FORMS[run % FORMS.length]!
      const one = await exported(damaged, directory, format)
      if (one.error !== undefined) errors += 1
      check(what, one, await exported(damaged, directory, { ...format, threads: 2 }))
      check(what, await checked(damaged, 1), await checked(damaged, 2))
      check(what, await inspected(damaged, 1), await inspected(damaged, 2))
      check(what, await compared(damaged, path, 1), await compared(damaged, path, 2))
    }
    console.log(`${RUNS} damages, ${errors} errors told: the same each time`)
  } finally {
    removeTemporaryDir(directory)
  }
}
