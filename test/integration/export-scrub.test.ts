/** `export --format rdb --scrub`: what stays, what goes, and what the rules may say. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { parseScrubRules, type ScrubRule } from '../../src/index.js'
import { Pseudonyms } from '../../src/target/scrub/pseudonyms.js'
import { exportToBuffer } from '../helpers/export.js'
import { fixtureFiles, parseStates, type KeyState } from '../helpers/fixtures.js'
import { runCli } from '../helpers/cli.js'
import { serverBinary, startServer } from '../helpers/servers.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-scrub-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))
const SECRET = 'a secret of the test, long enough'
let count = 0

async function states(source: string): Promise<KeyState[]> {
  return parseStates((await exportToBuffer({ source, format: 'jsonl', strings: 'base64' })).text)
}

async function scrubbed(source: string, rules: readonly ScrubRule[], secret = SECRET) {
  const made = await exportToBuffer({ source, format: 'rdb', scrub: { rules, secret } })
  const path = join(dir, `${(count += 1)}.rdb`)
  writeFileSync(path, made.bytes)
  return { ...made, path }
}

/** The numbers of elements and the lengths of all strings in a value, scores and times as they are. */
function sizes(value: unknown): unknown {
  if (typeof value === 'string') return Buffer.from(value, 'base64').length
  if (Array.isArray(value)) return value.map(sizes)
  return value
}

interface Stream {
  readonly entries: readonly (readonly [id: string, fields: readonly [string, string][]])[]
}

describe('fixtures', () => {
  const files = fixtureFiles('.rdb').filter(({ name }) =>
    /\/(types|hash-field-ttl|streams|module|vectorset|keymeta)\.rdb$/.test(name),
  )
  test.each(files)('$name keeps names, types, times and sizes', async ({ name, path }) => {
    const before = await states(path)
    const { result, path: made } = await scrubbed(path, [{ match: '*', do: 'hash' }])
    const after = await states(made)
    const lost = before.length - after.length
    expect(result.losses).toEqual(lost === 0 ? {} : { scrub: lost })
    const byName = new Map(before.map((each) => [`${each.db} ${each.key}`, each]))
    for (const each of after) {
      const was = byName.get(`${each.db} ${each.key}`)!
      expect([each.type, each.expireAt]).toEqual([was.type, was.expireAt])
      if (each.type === 'string' || each.type === 'list') {
        expect(sizes(each.value)).toEqual(sizes(was.value))
      } else if (each.type === 'stream') {
        const [{ entries, ...rest }, before] = [each.value, was.value] as [Stream, Stream]
        expect({ ...rest, entries: before.entries }).toEqual(before)
        const told = (stream: Stream['entries']): unknown =>
          stream.map(([id, fields]) => [id, fields.map(([field, value]) => [field, sizes(value)])])
        expect(told(entries)).toEqual(told(before.entries))
      } else {
        expect(Object.keys(each.value as object).length).toBe(
          Object.keys(was.value as object).length,
        )
      }
    }
    // Nobody knows what a module keeps beside a key.
    if (name.endsWith('keymeta.rdb')) return
    for (const { type } of before.filter(({ db, key }) => {
      return !after.some((each) => each.db === db && each.key === key)
    })) {
      expect(['string', 'list', 'set', 'zset', 'hash', 'stream']).not.toContain(type)
    }
  })
})

test('a server loads it, joins survive, and no original is left', async () => {
  const server = await startServer()
  const email = 'ada.lovelace@example.com'
  const redis = (...args: string[]): Promise<unknown> =>
    server.client.call(...(args as [string, ...string[]]))
  await redis('HSET', 'user:1000', 'email', email, 'name', 'Ada Lovelace', 'plan', 'gold-plan')
  await redis('SADD', 'emails', email, 'grace@example.org')
  await redis('ZADD', 'score', '1.5', email, '2', '1000')
  await redis('SADD', 'ints', '1', '2', '3', '1000')
  await redis('SET', 'session:77', 'token-1234', 'PX', '100000000')
  await redis('SET', 'long', `${email} `.repeat(20_000))
  await redis('XADD', 'stream', '1-1', 'email', email, 'n', '12345')
  await redis('XADD', 'stream', '1-2', 'email', email, 'n', '-12')
  await redis('XADD', 'stream', '1-3', 'name', 'Ada Lovelace')
  await redis('XDEL', 'stream', '1-2')
  await redis('XGROUP', 'CREATE', 'stream', 'readers', '0')
  await redis('XREADGROUP', 'GROUP', 'readers', 'one', 'STREAMS', 'stream', '>')
  const about = await redis('XINFO', 'STREAM', 'stream')
  const pending = await redis('XPENDING', 'stream', 'readers')
  await redis('SAVE')
  const dump = join(server.dir, 'dump.rdb')
  const rules: ScrubRule[] = [
    { match: 'user:*', fields: ['email', 'name'], do: 'hash', keys: 'ids' },
    { match: 'session:*', do: 'blank' },
    { match: '*', do: 'hash' },
  ]
  const one = await scrubbed(dump, rules)
  expect(one.result.losses).toEqual({})
  expect(one.result.scrubbed).toEqual({ hash: 6, blank: 1, keep: 0, unmatched: 0 })
  for (const gone of [email, 'Ada', 'grace', 'token', 'user:1000', 'lovelace']) {
    expect(one.bytes.includes(gone)).toBe(false)
  }
  expect(one.bytes.includes('gold-plan')).toBe(true)
  const again = await scrubbed(dump, rules)
  expect(again.bytes.equals(one.bytes)).toBe(true)
  const other = await scrubbed(dump, rules, 'another secret of the test')
  expect(other.bytes.equals(one.bytes)).toBe(false)
  await server.stop()

  const copy = await startServer({ args: loading(one.path) })
  const ask = (...args: string[]): Promise<unknown> =>
    copy.client.call(...(args as [string, ...string[]]))
  const hashed = (text: string): string => new Pseudonyms(SECRET).of(Buffer.from(text)).toString()
  expect(hashed(email)).toMatch(/^[a-z]{3}\.[a-z]{8}@[a-z]{7}\.[a-z]{3}$/)
  expect(await ask('HGET', `user:${hashed('1000')}`, 'email')).toBe(hashed(email))
  expect(await ask('SISMEMBER', 'emails', hashed(email))).toBe(1)
  expect(await ask('ZSCORE', 'score', hashed(email))).toBe('1.5')
  expect(await ask('ZSCORE', 'score', hashed('1000'))).toBe('2')
  expect(await ask('OBJECT', 'ENCODING', 'ints')).toBe('intset')
  expect(await ask('GET', 'session:77')).toBe('xxxxxx0000')
  expect(await ask('PTTL', 'session:77')).toBeGreaterThan(0)
  expect(await ask('STRLEN', 'long')).toBe(20_000 * (email.length + 1))
  expect(await ask('XRANGE', 'stream', '-', '+')).toEqual([
    ['1-1', ['email', hashed(email), 'n', hashed('12345')]],
    ['1-3', ['name', hashed('Ada Lovelace')]],
  ])
  const withoutEntries = (info: unknown): unknown =>
    (info as unknown[]).filter((each) => !Array.isArray(each))
  expect(withoutEntries(await ask('XINFO', 'STREAM', 'stream'))).toEqual(withoutEntries(about))
  expect(await ask('XPENDING', 'stream', 'readers')).toEqual(pending)
  await copy.stop()
})

test.each(['redis-7.0', 'redis-8.6', 'valkey-9.1'])(
  '%s loads streams that were scrubbed, and looks into each of their nodes',
  async (name) => {
    const binary = serverBinary(name)
    const { path } = fixtureFiles('.rdb').find((each) => each.name === `${name}/streams.rdb`)!
    if (binary === undefined) return
    const rules = [{ match: '*', do: 'hash', fieldNames: 'hash' }] as const
    const made = await scrubbed(path, rules)
    expect(made.result.losses).toEqual({})
    const server = await startServer({ binary, args: loading(made.path) })
    await server.client.save()
    const saved = await states(join(dir, basename(made.path)))
    expect(saved).toEqual(await states(made.path))
    await server.stop()
  },
)

/** Of a server: it loads the dump, and sees whether each value is sound to its last byte. */
function loading(path: string): string[] {
  return ['--dir', dir, '--dbfilename', basename(path), '--sanitize-dump-payload', 'yes']
}

test('different texts never become the same, numbers stay numbers, UTF-8 stays UTF-8', () => {
  const names = new Pseudonyms(SECRET)
  const all = Array.from({ length: 1000 }, (_, number) => String(number))
  const made = all.map((each) => names.of(Buffer.from(each)).toString())
  expect(new Set(made).size).toBe(1000)
  for (const [index, each] of made.entries()) {
    expect(each).toMatch(/^(\d|[1-9]\d+)$/)
    expect(each.length).toBe(all[index]!.length)
  }
  const texts = ['Zürich', '東京都', 'Ελλάδα', '😀 smile', '\u0800\ud7ff\u{10ffff}']
  for (const text of texts) {
    const to = names.of(Buffer.from(text))
    expect(Buffer.from(to.toString()).equals(to)).toBe(true)
    expect(to.length).toBe(Buffer.byteLength(text))
    expect(to.toString()).not.toBe(text)
  }
})

test('rules and secret are checked, with the place', async () => {
  const wrong: [string, string][] = [
    ['{', 'no JSON'],
    ['[]', 'no list "rules"'],
    ['{"rules":[]}', 'is empty'],
    ['{"rules":[{"match":"*","do":"hash"}],"x":1}', 'unknown word x'],
    ['{"rules":[{"match":"*","do":"hash"},{"match":"*","dо":"hash"}]}', 'rules[1]: unknown word'],
    ['{"rules":[{"match":1,"do":"hash"}]}', 'rules[0]: "match"'],
    ['{"rules":[{"match":"*","do":"mask"}]}', '"do" is not one of hash, blank, keep'],
    ['{"rules":[{"match":"*","fields":["a"]}]}', '"fields" without "do"'],
    ['{"rules":[{"match":"*"}]}', 'nothing to do'],
  ]
  for (const [text, message] of wrong) {
    expect(() => parseScrubRules(text, 'r.json')).toThrow(message)
  }
  const rules = join(dir, 'rules.json')
  writeFileSync(rules, '{"rules":[{"match":"*","do":"hash"}]}')
  const source = fixtureFiles('.rdb').find(({ name }) => name.startsWith('redis-7.0'))!.path
  const out = join(dir, 'out.rdb')
  const none = await runCli(['export', source, '--scrub', rules, '-o', out])
  expect([none.code, none.err]).toEqual([2, expect.stringContaining('a secret of at least 16')])
  const json = await runCli(['export', source, '--scrub', rules, '--format', 'jsonl'], {
    env: { RREP_SCRUB_SECRET: SECRET },
  })
  expect(json.code).toBe(2)
  expect(json.err).not.toContain(SECRET)
})
