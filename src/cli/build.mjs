/**
 * Makes dist/bin: the command line in a few files, since every file costs a start some time. What
 * every start needs of the dependencies is bundled with it, and their licences beside it.
 * `npm run build:cli`, behind the compiler's own run; an argument is where to make it instead.
 */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'

const root = join(import.meta.dirname, '..', '..')
const target = process.argv[2] ?? join(root, 'dist', 'bin')
const BUNDLED = ['chalk', 'commander', 'ioredis']

const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
rmSync(target, { recursive: true, force: true })
const { metafile } = await build({
  entryPoints: [join(root, 'src', 'cli', 'run.ts')],
  outdir: target,
  bundle: true,
  splitting: true,
  external: Object.keys(dependencies).filter((name) => !BUNDLED.includes(name)),
  // For what is CommonJS in them.
  banner: {
    js: [
      "import { createRequire as requireOfBundle } from 'node:module'",
      'const require = requireOfBundle(import.meta.url)',
    ].join('\n'),
  },
  platform: 'node',
  format: 'esm',
  target: 'node20.19',
  sourcemap: true,
  metafile: true,
  logLevel: 'warning',
})

// All that came along with them too.
const packages = new Set(
  Object.keys(metafile.inputs).flatMap((path) => {
    const [, name] = /^node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path) ?? []
    return name === undefined ? [] : [name]
  }),
)
const notices = [...packages].sort().map((name) => {
  const directory = join(root, 'node_modules', name)
  const { version, license } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'))
  const file = readdirSync(directory).find((entry) => /^licen[cs]e/i.test(entry))
  const text = file === undefined ? '' : `\n\n${readFileSync(join(directory, file), 'utf8').trim()}`
  return `${name} ${version} (${license})${text}\n`
})
writeFileSync(join(target, 'LICENSES.txt'), notices.join(`\n${'-'.repeat(80)}\n\n`))
