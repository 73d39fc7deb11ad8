/** `npm run bench [-- NAME…]`: all benchmarks, or those named. Each is a file beside this one
 * that exports `run`; `*.lib.ts` are their helpers. */
import { readdirSync } from 'node:fs'
import { cpus } from 'node:os'

const OTHERS = new Set(['main.ts', 'harness.ts'])

interface Bench {
  run: () => Promise<void>
}

const all = readdirSync(import.meta.dirname)
  .filter((name) => name.endsWith('.ts') && !OTHERS.has(name) && !name.endsWith('.lib.ts'))
  .map((name) => name.slice(0, -'.ts'.length))
const wanted = process.argv.slice(2)
const unknown = wanted.filter((name) => !all.includes(name))
if (unknown.length > 0) {
  console.error(`no benchmark ${unknown.join(', ')}; there are: ${all.join(', ')}`)
  process.exitCode = 2
} else {
  console.log(`Node ${process.versions.node}, ${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}`)
  for (const name of wanted.length > 0 ? wanted : all) {
    console.log(`\n== ${name}`)
    const bench = (await import(`./${name}.ts`)) as Bench
    await bench.run()
  }
}
