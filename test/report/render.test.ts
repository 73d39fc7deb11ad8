/** The page as text: what stands in it, and what can never stand in it. */
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { html } from '../../src/report/html.js'
import { renderReport } from '../../src/report/render.js'
import { treeRows } from '../../src/report/tree-data.js'
import { inspect } from '../../src/verbs/inspect/run.js'
import { runCli } from '../helpers/cli.js'
import { FIXTURES } from '../helpers/fixtures.js'
import { dumpOfNames, HOSTILE_NAMES } from '../helpers/hostile-names.js'

const DEMO = join(FIXTURES, 'demo/ecommerce.rdb')
const scratch = mkdtempSync(join(tmpdir(), 'rrep-report-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

function dump(name: string, bytes: Uint8Array): string {
  const file = join(scratch, name)
  writeFileSync(file, bytes)
  return file
}

async function pageOf(file: string): Promise<string> {
  const result = await inspect(file, { report: true })
  return renderReport(result, { nowMs: 1.8e12 })
}

test('what a template is filled with is text', () => {
  const name = `<b a="1" c='2'>&`
  expect(html`<p title="${name}">${name}${html`<i></i>`}</p>`.text).toBe(
    '<p title="&#60;b a=&#34;1&#34; c=&#39;2&#39;&#62;&#38;">&#60;b a=&#34;1&#34; c=&#39;2&#39;&#62;&#38;<i></i></p>',
  )
})

test('style and script are allowed by their hashes, and nothing else is', async () => {
  const page = await pageOf(DEMO)
  const policy = /http-equiv="Content-Security-Policy"\s+content="([^"]+)"/
    .exec(page)![1]!
    .replaceAll('&#39;', "'")
  for (const [directive, pattern] of [
    ['script-src', /<script>(.*?)<\/script>/s],
    ['style-src', /<style>(.*?)<\/style>/s],
  ] as const) {
    const hash = createHash('sha256').update(pattern.exec(page)![1]!).digest('base64')
    expect(policy).toContain(`${directive} 'sha256-${hash}'`)
  }
  expect(policy).toContain(`default-src 'none'`)
  expect(policy).not.toContain('unsafe')
  // The name of SVG is one, and no address.
  const text = page.replaceAll('http://www.w3.org/2000/svg', '')
  expect(text).not.toMatch(/\sstyle=|\son[a-z]+=|https?:\/\/|src=|@import|url\(/)
})

test('hostile names end no element and begin none', async () => {
  const page = await pageOf(dump('hostile.rdb', dumpOfNames(HOSTILE_NAMES)))
  const tags = page.match(/<\/?[a-z][a-z0-9]*/gi) ?? []
  expect(tags.filter((tag) => tag === '<script')).toHaveLength(2)
  expect(tags.filter((tag) => tag === '</script')).toHaveLength(2)
  expect(tags.filter((tag) => tag === '<img')).toEqual([])
  // eslint-disable-next-line no-control-regex -- that is the question
  expect(page).not.toMatch(/[\0-\x08\x0b-\x1f\x7f\u202a-\u202e\u2028\u2029]/)
  const data = /<script type="application\/json" id="data">(.*?)<\/script>/s.exec(page)![1]!
  expect(data).not.toMatch(/[<>&]/)
  expect((JSON.parse(data) as { prefixes: unknown[] }).prefixes.length).toBeGreaterThan(5)
})

test('the page is below 3 MB, however long and many the names', async () => {
  const names = Array.from({ length: 30_000 }, (_, at) =>
    Buffer.from(`${String(at % 150).padEnd(120, '<')}:${String(at).padEnd(120, '&')}:x`),
  )
  const file = dump('long.rdb', dumpOfNames(names, 1))
  const result = await inspect(file, { report: true })
  const page = renderReport(result, { nowMs: 1.8e12 })
  expect(Buffer.byteLength(page)).toBeLessThan(3_000_000)
  const rows = treeRows(result.report!.prefixes)
  // Those left out have least memory, and no row is without its parent.
  expect(rows.length).toBeGreaterThan(1000)
  for (const [at, row] of rows.entries()) expect(row[0]).toBeLessThan(at)
})

test('a dump without keys, and a damaged one, have a page too', async () => {
  expect(await pageOf(join(FIXTURES, 'redis-7.2/empty.rdb'))).toContain('There is no key.')
  const whole = readFileSync(DEMO)
  const cut = dump('cut.rdb', whole.subarray(0, 200_000))
  const file = join(scratch, 'cut.html')
  const { code } = await runCli(['inspect', cut, '--html', file])
  expect(code).toBe(6)
  expect(statSync(file).mode & 0o777).toBe(0o600)
  const { out, code: toStdout } = await runCli(['inspect', cut, '--html', '-'])
  expect(toStdout).toBe(6)
  expect(out).toContain('Damaged: the figures are of what came before the damage.')
})

test('what is no dump makes no page', async () => {
  const file = join(scratch, 'none.html')
  const { code } = await runCli(['inspect', dump('none.rdb', Buffer.from('hello')), '--html', file])
  expect(code).not.toBe(0)
  expect(() => statSync(file)).toThrow()
})

test('what stands out is three to eight sentences, each with its number and the line that shows more, largest first', async () => {
  for (const name of ['demo/ecommerce', 'redis-7.2/types', 'valkey-9.1/streams', 'redis-7.2/lru']) {
    const file = join(scratch, 'standing-out.html')
    await runCli(['inspect', join(FIXTURES, `${name}.rdb`), '--html', file])
    const page = readFileSync(file, 'utf8')
    const list = /<ol class="findings">(.*?)<\/ol>/s.exec(page)![1]!
    const leads = [...list.matchAll(/<span class="lead">([^<]*)<\/span>/g)].map(([, lead]) => lead)
    expect(leads.length, name).toBeGreaterThanOrEqual(3)
    expect(leads.length, name).toBeLessThanOrEqual(8)
    for (const lead of leads) expect(lead).toMatch(/\d/)
    const lines = [...list.matchAll(/<p class="command"><code>(rrep [^<]*)<\/code>/g)]
    expect(lines.length, name).toBe(leads.length)
  }
})
