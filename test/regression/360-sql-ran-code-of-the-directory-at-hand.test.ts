/** `rrep sql` looked for DuckDB in the current directory, too: whoever was sent a dump in a directory
 * with a `node_modules` ran what was in it. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildSync } from 'esbuild'
import { afterAll, beforeAll, expect, test } from 'vitest'

const dir = realpathSync(mkdtempSync(join(tmpdir(), 'rrep-duckdb-place-')))
const script = join(dir, 'installed/find.mjs')
const sources = join(import.meta.dirname, '../../src/verbs/sql/find-duckdb.ts')

beforeAll(() => {
  buildSync({
    stdin: {
      contents: `import { findDuckdb } from ${JSON.stringify(sources)}
        try { console.log(findDuckdb()) } catch (error) { console.log(error.code, error.hint) }`,
      resolveDir: dir,
    },
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile: script,
  })
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

/** A package of that name, in the directory's node_modules. */
function plant(directory: string): string {
  const place = join(directory, 'node_modules/@duckdb/node-api')
  mkdirSync(place, { recursive: true })
  writeFileSync(join(place, 'index.js'), '')
  return join(place, 'index.js')
}

function found(cwd: string, prefix = ''): string {
  const env = { PATH: process.env['PATH'], HOME: dir, npm_config_prefix: prefix }
  return execFileSync(process.execPath, [script], { cwd, env, encoding: 'utf8' }).trim()
}

test('DuckDB is taken from beside rrep or the global packages, never from the directory at hand', () => {
  const untrusted = join(dir, 'untrusted/a')
  const planted = plant(untrusted)
  mkdirSync(join(untrusted, 'b'))
  for (const cwd of [untrusted, join(untrusted, 'b')]) expect(found(cwd)).not.toBe(planted)
  // A prefix that is no absolute path would be one of that directory.
  plant(join(untrusted, 'lib'))
  expect(found(untrusted, '.')).not.toContain('untrusted')

  const prefix = join(dir, 'prefix')
  const global = plant(join(prefix, 'lib'))
  expect(found(untrusted, prefix)).toBe(global)
  const beside = plant(join(dir, 'installed'))
  expect(found(untrusted, prefix)).toBe(beside)
})
