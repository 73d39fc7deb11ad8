/**
 * Makes ../page.generated.ts of the script and the style of the page: minified, as two strings, so
 * that the report needs no file at run time. The same sources give the same bytes.
 * `npm run build:page`; with an argument, it is printed instead.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'

const directory = import.meta.dirname
const target = join(directory, '..', 'page.generated.ts')

const { outputFiles } = await build({
  entryPoints: [join(directory, 'main.ts'), join(directory, 'page.css')],
  outdir: directory,
  bundle: true,
  write: false,
  minify: true,
  format: 'iife',
  target: 'es2022',
  charset: 'ascii',
  legalComments: 'none',
  logLevel: 'warning',
})
const textOf = (end) => outputFiles.find(({ path }) => path.endsWith(end)).text.trim()
const script = textOf('.js')
const style = textOf('.css')
if (/<\/(script|style)/i.test(script + style)) throw new Error('the page would end too early')
const text = [
  '/** Made by src/report/page/build.mjs from the sources there. Do not edit. */',
  '// prettier-ignore',
  `export const PAGE_SCRIPT = ${JSON.stringify(script)}`,
  '// prettier-ignore',
  `export const PAGE_STYLE = ${JSON.stringify(style)}`,
  '',
].join('\n')
if (process.argv.includes('--print')) process.stdout.write(text)
else if (!existsSync(target) || readFileSync(target, 'utf8') !== text) writeFileSync(target, text)
