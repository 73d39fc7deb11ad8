/**
 * Makes ../pieces-worker.generated.ts: the thread that reads pieces of dumps as one text, which starts from
 * memory wherever rrep runs from. The same sources give the same bytes. `npm run build:threads`, behind the
 * kernels, which are in it.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'

const directory = import.meta.dirname
const target = join(directory, '..', 'pieces-worker.generated.ts')

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
  // No thread writes it.
  external: ['./parquet-library.js'],
})
const text = [
  '/** Made by src/verbs/threads/worker/build.mjs from the sources there. Do not edit. */',
  '// prettier-ignore',
  `export const PIECES_WORKER_TEXT = ${JSON.stringify(outputFiles[0].text.trim())}`,
  '',
].join('\n')
if (!existsSync(target) || readFileSync(target, 'utf8') !== text) writeFileSync(target, text)
