/**
 * How the build of a thread of a verb makes its text: one script, minified, in a module that exports it,
 * so that the thread starts from memory wherever rrep runs from. The same sources give the same bytes;
 * with --print they are printed.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'

/** Of main.ts of the folder `verbs/VERB/worker` the module `target` of `verbs/VERB`; `external` are left out. */
export async function writeWorkerText({ verb, target, constant, external = [] }) {
  const home = join(import.meta.dirname, verb)
  const file = join(home, target)
  const { outputFiles } = await build({
    entryPoints: [join(home, 'worker', 'main.ts')],
    bundle: true,
    write: false,
    minify: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20.19',
    charset: 'ascii',
    legalComments: 'none',
    logLevel: 'warning',
    external,
  })
  const text = [
    `/** Made by src/verbs/${verb}/worker/build.mjs from the sources there. Do not edit. */`,
    '// prettier-ignore',
    `export const ${constant} = ${JSON.stringify(outputFiles[0].text.trim())}`,
    '',
  ].join('\n')
  if (process.argv.includes('--print')) process.stdout.write(text)
  else if (!existsSync(file) || readFileSync(file, 'utf8') !== text) writeFileSync(file, text)
}
