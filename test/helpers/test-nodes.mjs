// The tests on other versions of Node, each by the npm package `node`:
//
//   npm run test:nodes                    all tests on 20, 22, 24 and the newest
//   npm run test:nodes -- 22 test/resp    version 22 alone, and only these tests
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'

const root = join(import.meta.dirname, '../..')
const isVersion = (text) => /^\d+(\.\d+)*$|^latest$/.test(text)
const given = process.argv.slice(2)
const asked = given.filter(isVersion)
const filters = given.filter((text) => !isVersion(text))
const versions = asked.length > 0 ? asked : ['20', '22', '24', 'latest']
const vitest = join(root, 'node_modules/vitest/vitest.mjs')

const failed = versions.filter((version) => {
  process.stderr.write(`test:nodes: node@${version}\n`)
  const args = ['--yes', '--package', `node@${version}`, '--', 'node', vitest, 'run', ...filters]
  return spawnSync('npx', args, { cwd: root, stdio: 'inherit' }).status !== 0
})
process.stderr.write(
  failed.length === 0 ? 'test:nodes: all passed\n' : `test:nodes: failed on ${failed.join(', ')}\n`,
)
process.exitCode = failed.length === 0 ? 0 : 1
