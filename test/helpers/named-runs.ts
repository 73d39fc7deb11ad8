/**
 * Runs the files of a folder by their names, as `npm run bench` and `npm run soak` do: all, or
 * those named on the command line. Each exports `run`; `*.lib.ts` are their helpers.
 */
import { readdirSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

interface NamedRun {
  run: () => Promise<void>
}

const OTHERS = new Set(['main.ts', 'harness.ts'])

/** Resolves with the exit code: 2 for a name that is not there. */
export async function runNamed(folder: string, wanted: readonly string[]): Promise<number> {
  const all = readdirSync(folder)
    .filter((name) => name.endsWith('.ts') && !OTHERS.has(name) && !name.endsWith('.lib.ts'))
    .map((name) => name.slice(0, -'.ts'.length))
  const unknown = wanted.filter((name) => !all.includes(name))
  if (unknown.length > 0) {
    process.stderr.write(`nothing is named ${unknown.join(', ')}; there are: ${all.join(', ')}\n`)
    return 2
  }
  const { length: cores, 0: first } = cpus()
  process.stdout.write(`Node ${process.versions.node}, ${cores} x ${first?.model ?? 'unknown'}\n`)
  for (const name of wanted.length > 0 ? wanted : all) {
    process.stdout.write(`\n== ${name}\n`)
    const found = (await import(pathToFileURL(join(folder, `${name}.ts`)).href)) as NamedRun
    await found.run()
  }
  return 0
}
