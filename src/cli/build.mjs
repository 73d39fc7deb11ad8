/**
 * Makes dist/bin: the command line in a few files, since every file costs a start some time. What
 * every start needs of the dependencies is bundled with it, and their licences beside it.
 * `npm run build:cli`, behind the compiler's own run.
 */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'

const root = join(import.meta.dirname, '..', '..')
const target = join(root, 'dist', 'bin')
const BUNDLED = ['chalk', 'commander']

const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
rmSync(target, { recursive: true, force: true })
await build({
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
  logLevel: 'warning',
})

const notices = BUNDLED.map((name) => {
  const directory = join(root, 'node_modules', name)
  const { version } = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'))
  const licence = ['LICENSE', 'license'].map((file) => join(directory, file))
  return `${name} ${version}\n\n${readFirst(licence).trim()}\n`
})
writeFileSync(join(target, 'LICENSES.txt'), notices.join(`\n${'-'.repeat(80)}\n\n`))

function readFirst(paths) {
  for (const path of paths) {
    try {
      return readFileSync(path, 'utf8')
    } catch {
      // The next name, then.
    }
  }
  throw new Error(`none of these is there: ${paths.join(', ')}`)
}
