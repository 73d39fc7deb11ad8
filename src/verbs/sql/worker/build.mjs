/**
 * Makes ../worker.generated.ts: the thread that runs DuckDB as one text, which starts from memory wherever
 * rrep runs from. The same sources give the same bytes. `npm run build:sql`; with --print it is printed.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'

const directory = import.meta.dirname
const target = join(directory, '..', 'worker.generated.ts')

const { outputFiles } = await build({
  entryPoints: [join(directory, 'main.ts')],
  bundle: true,
  write: false,
  minify: true,
  platform: 'node',
  format: 'cjs',
  target: 'node20.19',
  charset: 'ascii',
  legalComments: 'none',
  logLevel: 'warning',
})
const text = [
  '/** Made by src/verbs/sql/worker/build.mjs from the sources there. Do not edit. */',
  '// prettier-ignore',
  `export const WORKER_TEXT = ${JSON.stringify(outputFiles[0].text.trim())}`,
  '',
].join('\n')
if (process.argv.includes('--print')) process.stdout.write(text)
else if (!existsSync(target) || readFileSync(target, 'utf8') !== text) writeFileSync(target, text)
