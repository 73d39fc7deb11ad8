/** `inspect --key --json` showed a value as a list of objects that no other command knew. */
import { readFileSync, rmSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'

const FILES = ['fixtures/demo/ecommerce.rdb', 'fixtures/redis-8.6/types.rdb']
const dir = mkdtempSync(join(tmpdir(), 'rrep-key-json-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

interface Line {
  db: number
  key: string
  type: string
}

describe.each(FILES)('%s', (file) => {
  test.each(['text', 'base64'])(
    'a key of each type is as an export writes it (%s)',
    async (how) => {
      const lines = (await runCli(['export', file, '--strings', how, '-o', '-'])).out
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as Line)
      const names = (await runCli(['export', file, '-o', '-'])).out
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as Line)
      const seen = new Set<string>()
      for (const [at, { type, key, db }] of names.entries()) {
        if (seen.has(type) || key.includes('\\')) continue
        seen.add(type)
        const argv = ['inspect', file, '--key', key, '--db', String(db), '--json']
        const { out, code } = await runCli([...argv, '--strings', how])
        expect(code).toBe(0)
        const { event, ...found } = JSON.parse(out) as Line & { event: string }
        expect(event).toBe('key')
        expect(found).toMatchObject(lines[at]!)
      }
      expect(seen.size).toBeGreaterThanOrEqual(5)
    },
  )
})

test('the line of a key that breaks off anywhere is JSON', async () => {
  const whole = readFileSync(FILES[0]!)
  const { out } = await runCli(['inspect', FILES[0]!, '--key', 'cart:1000', '--json'])
  const { raw } = JSON.parse(out) as { raw: { valueByteOffset: number; bytes: number } }
  let broken = 0
  for (let at = 0; at < raw.bytes; at += 7) {
    const file = join(dir, 'cut.rdb')
    writeFileSync(file, whole.subarray(0, raw.valueByteOffset + at))
    const cut = await runCli(['inspect', file, '--key', 'cart:1000', '--json'])
    expect(cut.code).toBe(6)
    if (cut.out === '') continue
    expect(JSON.parse(cut.out)).toMatchObject({ event: 'key', key: 'cart:1000', complete: false })
    broken += 1
  }
  expect(broken).toBeGreaterThan(0)
})
