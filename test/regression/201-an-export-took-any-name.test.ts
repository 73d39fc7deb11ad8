/** `export -o users.foo` wrote JSON lines under a name that means another form. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'

const FILE = 'fixtures/demo/ecommerce.rdb'
const dir = mkdtempSync(join(tmpdir(), 'rrep-names-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

test.each(['x.foo', 'x.txt', 'x.rdx.gz', 'x.parquet2'])(
  '%s is refused, with those that can be',
  async (name) => {
    const output = join(dir, name)
    const { code, err } = await runCli(['export', FILE, '-o', output])
    expect(code).toBe(2)
    expect(err).toContain('.jsonl')
    expect(err).toContain('.csv')
    expect(existsSync(output)).toBe(false)
    expect((await runCli(['export', FILE, '-o', output, '--format', 'jsonl'])).code).toBe(0)
  },
)

test('a name without an extension is JSON lines, and a pipe has whatever name it has', async () => {
  expect((await runCli(['export', FILE, '-o', join(dir, 'plain')])).code).toBe(0)
  const pipe = join(dir, 'pipe.foo')
  expect(spawnSync('mkfifo', [pipe]).status).toBe(0)
  const reader = spawnReader(pipe)
  expect((await runCli(['export', FILE, '-o', pipe])).code).toBe(0)
  expect((await reader).startsWith('{"db":0,')).toBe(true)
})

async function spawnReader(pipe: string): Promise<string> {
  const { readFile } = await import('node:fs/promises')
  return await readFile(pipe, 'utf8')
}
