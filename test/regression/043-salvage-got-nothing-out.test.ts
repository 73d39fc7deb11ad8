/** `export --salvage`: the sound keys of a damaged dump are written, and the loss is told. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'

const DUMP = resolve(import.meta.dirname, '../../fixtures/demo/ecommerce.rdb')
const dir = mkdtempSync(join(tmpdir(), 'rrep-salvage-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

test.each([['jsonl'], ['resp']])(
  'what is sound comes out as %s, the loss is told, status 6',
  async (format) => {
    const bytes = Buffer.from(readFileSync(DUMP))
    const at = bytes.length >> 1
    bytes.fill(0xee, at, at + 200)
    const file = join(dir, 'damaged.rdb')
    writeFileSync(file, bytes)
    const out = join(dir, `out.${format}`)
    const result = await runCli(['export', file, '--salvage', '--format', format, '-o', out])
    expect([result.code, result.err]).toEqual([6, expect.stringContaining('lost')])
    const text = readFileSync(out, 'utf8')
    if (format !== 'jsonl') return
    const lines = text.split('\n').filter((line) => line !== '')
    for (const line of lines) JSON.parse(line)
    const whole = await runCli(['export', DUMP])
    const all = whole.out.split('\n').filter((line) => line !== '')
    expect(lines.length).toBeGreaterThan(all.length / 2)
    expect(lines.length).toBeLessThan(all.length)
    const known = new Set(all)
    expect(lines.filter((line) => !known.has(line)).length).toBe(0)
  },
)
