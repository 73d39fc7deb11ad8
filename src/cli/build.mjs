/**
 * Makes dist/bin: the command line as one script (run.js), which start.cjs runs with the code that
 * V8 made of it here (*.cache), so that a start need not compile it: that takes a start half of
 * its time. Bundled with it is what every start needs of the dependencies; their licences lie
 * beside it. `npm run build:cli`, behind the compiler's own run; an argument is where to make it
 * instead.
 */
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'

const root = join(import.meta.dirname, '..', '..')
const target = process.argv[2] ?? join(root, 'dist', 'bin')
const BUNDLED = ['chalk', 'commander']
/** Bundles of their own: only who asks a server wants them. */
const APART = ['ioredis']
/** The same of what the library has no dependency for: it imports the bundle, too. By the module that
 * says what is used of it. */
const FOR_LIBRARY = {
  sdk: 'storage/s3/sdk',
  'age-library': 'storage/age/age-library',
  'parquet-library': 'formats/parquet/parquet-library',
  // No library, but as large, and wanted by as few.
  'pieces-worker.generated': 'verbs/threads/pieces-worker.generated',
}

const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const common = {
  bundle: true,
  platform: 'node',
  format: 'cjs',
  target: 'node20.19',
  // Bytes of the file are characters of the script: see start.cjs.
  charset: 'ascii',
  // Comments keep other characters, and the licences are in a file of their own.
  legalComments: 'none',
  minifyWhitespace: true,
  sourcemap: true,
  metafile: true,
  logLevel: 'warning',
}
/** As what `import` in the bundle finds them. */
const apart = {
  name: 'apart',
  setup(build) {
    build.onResolve({ filter: new RegExp(`^(${APART.join('|')})$`) }, ({ path, kind }) =>
      kind === 'entry-point' ? undefined : { path: `./${path}.cjs`, external: true },
    )
    const names = Object.keys(FOR_LIBRARY).join('|')
    build.onResolve({ filter: new RegExp(`^\\./(${names})\\.js$`) }, ({ path }) => ({
      path: path.replace(/\.js$/, '.cjs'),
      external: true,
    }))
  },
}

rmSync(target, { recursive: true, force: true })
const results = [
  await build({
    ...common,
    entryPoints: [join(root, 'src', 'cli', 'bundle.ts')],
    outfile: join(target, 'run.js'),
    plugins: [apart],
    external: Object.keys(dependencies).filter((name) => !BUNDLED.includes(name)),
    define: { 'import.meta.url': 'bundleUrl', 'import.meta.dirname': '__dirname' },
    banner: {
      js:
        '(function(exports,require,module,__filename,__dirname,native){' +
        'const bundleUrl=require("node:url").pathToFileURL(__filename).href;',
    },
    footer: { js: '})' },
  }),
]
for (const name of APART) {
  results.push(
    await build({ ...common, entryPoints: [name], outfile: join(target, `${name}.cjs`) }),
  )
}
for (const [name, module] of Object.entries(FOR_LIBRARY)) {
  results.push(
    await build({
      ...common,
      entryPoints: [join(root, 'src', `${module}.ts`)],
      outfile: join(target, `${name}.cjs`),
      minify: true,
      sourcemap: false,
    }),
  )
  const compiled = join(root, 'dist', `${module}.js`)
  if (existsSync(compiled)) writeFileSync(compiled, `export * from '../../bin/${name}.cjs'\n`)
}
// Scripts that run with kept code forget who imports for them: `native` is the import of start.cjs,
// with as many letters, for the source map.
const script = join(target, 'run.js')
const text = readFileSync(script, 'latin1').replace(/\bawait import\(/g, 'await native(')
if (/\bimport\(/.test(text)) throw new Error(`an import() in ${script} that is not awaited`)
writeFileSync(script, text, 'latin1')
copyFileSync(join(import.meta.dirname, 'start.cjs'), join(target, 'start.cjs'))

// All that came along with them too.
const packages = new Set(
  results
    .flatMap(({ metafile }) => Object.keys(metafile.inputs))
    .flatMap((path) => {
      const [, name] = /(?:^|\/)node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path) ?? []
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

const { status } = spawnSync(
  process.execPath,
  [join(import.meta.dirname, 'keep-code.cjs'), target, join(root, 'fixtures/demo/ecommerce.rdb')],
  { stdio: ['ignore', 'inherit', 'inherit'] },
)
if (status !== 0) process.stderr.write('build:cli: not all code was kept, starts take longer\n')
