/** `rrep inspect` as a user calls it: on the demo's dump, on real servers' files, on damaged ones. */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, describe, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { FIXTURES } from '../helpers/fixtures.js'
import { startServer } from '../helpers/servers.js'

const DUMP = resolve(import.meta.dirname, '../../fixtures/demo/ecommerce.rdb')
const scratch = mkdtempSync(join(tmpdir(), 'rrep-inspect-'))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

interface Summary {
  file: string
  bytes: number
  rdbVersion: number
  aux: Record<string, string>
  checksum: string
  complete: boolean
  functions: number
  keys: number
  expires: number
  memory: number
  types: Record<
    string,
    { keys: number; elements: number; memory: number; largest: { key: string } }
  >
  encodings: Record<string, { keys: number; memory: number }>
  databases: Record<string, { keys: number; expires: number; memory: number }>
  ttl: Record<string, { keys: number }>
  top: {
    db: number
    key: string
    type: string
    memory: number
    elements: number
    expireAt: number | null
  }[]
  prefixes: { prefix: string; keys: number; memory: number; merged?: number }[]
}

async function summary(...args: string[]): Promise<Summary> {
  const { out, code, err } = await runCli(['inspect', DUMP, '--json', ...args])
  expect([code, err]).toEqual([0, ''])
  return JSON.parse(out) as Summary
}

/** Anything that drives a terminal; line breaks are ours. */
function hasControls(text: string): boolean {
  return /\p{Cc}/u.test(text.replaceAll('\n', ''))
}

function write(name: string, bytes: Uint8Array): string {
  const file = join(scratch, name)
  writeFileSync(file, bytes)
  return file
}

describe('the summary', () => {
  test('--json has the documented shape, and its sums agree with each other', async () => {
    const got = await summary()
    expect(got).toMatchObject({
      file: DUMP,
      bytes: 428_988,
      rdbVersion: 11,
      checksum: 'ok',
      complete: true,
      functions: 0,
    })
    expect(got.aux['redis-ver']).toBe('7.2.6')
    const total = (rows: object): number =>
      Object.values(rows as Record<string, { keys: number }>).reduce(
        (sum, row) => sum + row.keys,
        0,
      )
    for (const rows of [got.types, got.encodings, got.databases, got.ttl]) {
      expect(total(rows)).toBe(got.keys)
    }
    const memory = Object.values(got.types).reduce((sum, row) => sum + row.memory, 0)
    expect(Math.abs(memory - got.memory)).toBeLessThan(10)
    expect(got.top.map((key) => key.memory)).toEqual(
      got.top.map((key) => key.memory).sort((a, b) => b - a),
    )
    expect(got.top[0]).toMatchObject({
      db: 0,
      key: 'leaderboard:alltime',
      type: 'zset',
      expireAt: null,
    })
    expect(got.types['zset']!.largest.key).toBe('leaderboard:alltime')
  })

  test('prefixes, separator, depth and --top do what they say', async () => {
    const rows = await summary('--prefixes', '1', '--top', '3')
    expect(rows.top.length).toBe(3)
    expect(rows.prefixes.every((row) => row.prefix.split(':').length === 2)).toBe(true)
    const user = rows.prefixes.find((row) => row.prefix === 'user:')
    const { out } = await runCli(['inspect', DUMP, '--keys', '--match', 'user:*'])
    expect(user!.keys).toBe(out.trim().split('\n').length)
    const dashed = await summary('--separator', '-')
    expect(dashed.prefixes.length).toBeGreaterThan(0)
    expect(dashed.prefixes.every((row) => row.prefix.endsWith('-'))).toBe(true)
  })

  test('filters restrict every figure', async () => {
    const all = await summary()
    const zsets = await summary('--type', 'zset')
    expect(zsets.keys).toBe(all.types['zset']!.keys)
    expect(Object.keys(zsets.types)).toEqual(['zset'])
    const without = await summary('--ttl', 'none')
    expect([without.keys, without.expires]).toEqual([all.keys - all.expires, 0])
    expect((await summary('--db', '1')).keys).toBe(all.databases['1']!.keys)
    const large = await summary('--min-size', '10kb')
    expect(large.keys).toBe(all.top.filter((key) => key.memory >= 10_240).length)
  })

  test('a pipe gets plain text, a terminal bars and colours', async () => {
    const plain = await runCli(['inspect', DUMP])
    expect(plain.code).toBe(0)
    expect(plain.out).toContain('By type')
    expect(plain.out).toMatch(/^string +2,232 +2,232/m)
    expect(plain.out).not.toContain('█')
    expect(hasControls(plain.out)).toBe(false)
    const rich = await runCli(['inspect', DUMP], { tty: true, columns: 120 })
    expect(rich.out).toContain('█')
    expect(rich.out).toContain('\u001b[')
    const bare = await runCli(['inspect', DUMP, '--no-color'], { tty: true })
    expect(bare.out).not.toContain('\u001b[')
    const quiet = await runCli(['inspect', DUMP, '--quiet'])
    expect([quiet.out, quiet.err, quiet.code]).toEqual(['', '', 0])
  })

  test('stdin and gzip give what the file gives', async () => {
    const bytes = readFileSync(DUMP)
    const expected = await summary()
    for (const input of [bytes, gzipSync(bytes)]) {
      const { out } = await runCli(['inspect', '-', '--json'], { stdin: input })
      const got = JSON.parse(out) as Summary
      expect([got.file, got.keys, got.memory]).toEqual(['stdin', expected.keys, expected.memory])
    }
  })
})

describe('keys', () => {
  test('--csv has a row for each key, whose sizes add up to the summary', async () => {
    const { out } = await runCli(['inspect', DUMP, '--csv'])
    const [header, ...rows] = out.trimEnd().split('\n')
    expect(header).toBe(
      'database,type,key,size_in_bytes,encoding,num_elements,len_largest_element,expiry',
    )
    const { keys, memory } = await summary()
    expect(rows.length).toBe(keys)
    expect(rows.reduce((sum, row) => sum + Number(row.split(',')[3]), 0)).toBe(memory)
    const cells = rows.map((row) => row.split(','))
    expect(cells.every((row) => row.length === 8)).toBe(true)
    const times = cells.map((row) => row[7]!).filter((text) => text !== '')
    expect(times.every((text) => new Date(text).toISOString() === text)).toBe(true)
  })

  test('hostile keys reach neither the terminal nor a spreadsheet as they are', async () => {
    const server = await startServer()
    try {
      const keys = [
        'a,b',
        'say "x"',
        '=1+1',
        '\u001b[31mred',
        'line\nbreak',
        '',
        'ünïcode',
        'back\\slash',
      ]
      for (const key of keys) await server.client.set(key, 'v')
      await server.client.set(Buffer.from([0xff, 0x00, 0x9b]), 'v')
      await server.client.call('SAVE')
      const file = join(server.dir, 'dump.rdb')
      const csv = (await runCli(['inspect', file, '--csv'])).out
      const lines = csv
        .trimEnd()
        .split('\n')
        .slice(1)
        .map((line) => /^0,string,(.*?),\d+,embstr,/.exec(line)![1]!)
      expect(lines.sort()).toEqual(
        [
          '"a,b"',
          '"say ""x"""',
          `"'=1+1"`,
          '\\x1b[31mred',
          'line\\nbreak',
          '""',
          'ünïcode',
          'back\\\\slash',
          '\\xff\\x00\\x9b',
        ].sort(),
      )
      for (const args of [['--keys'], [], ['--json'], ['--key', '\u001b[31mred']]) {
        const { out } = await runCli(['inspect', file, ...args])
        expect(hasControls(out)).toBe(false)
      }
      const json = JSON.parse((await runCli(['inspect', file, '--json'])).out) as {
        top: { key: string; keyBase64?: string }[]
      }
      expect(json.top.map((key) => key.key)).toContain('\u001b[31mred')
      expect(json.top.find((key) => key.keyBase64 !== undefined)?.keyBase64).toBe('/wCb')
    } finally {
      await server.stop()
    }
  })

  test('--key shows a key whole, in every database that has it', async () => {
    const cart = await runCli(['inspect', DUMP, '--key', 'cart:1000', '--json'])
    const found = JSON.parse(cart.out) as {
      elements: number
      raw: { typeName: string; base64: string; bytes: number; valueByteOffset: number }
      value: Record<string, string>
    }
    expect(Object.keys(found.value).length).toBe(found.elements)
    expect(found.raw.typeName).toBe('hash-listpack')
    const { valueByteOffset, bytes } = found.raw
    const stored = readFileSync(DUMP).subarray(valueByteOffset, valueByteOffset + bytes)
    expect(found.raw.base64).toBe(stored.toString('base64'))
    expect(Object.keys(found.value).every((field) => field.startsWith('product:'))).toBe(true)
    const text = await runCli(['inspect', DUMP, '--key', 'events'])
    expect(text.out).toMatch(/^encoding +stream, 600 elements$/m)
    expect(text.out).toMatch(/^raw\n +\d+ {2}([0-9a-f]{2} ){15}[0-9a-f]{2} {2}[ -~]{16}$/m)
    expect(text.out.match(/^\[\d+-\d+\]$/gm)?.length).toBe(600)
    const missing = await runCli(['inspect', DUMP, '--key', 'nobody'])
    expect([missing.code, missing.out]).toEqual([1, ''])
  })

  test('--key of a long string comes in parts, of a damaged key as far as it goes', async () => {
    const value = Buffer.alloc(3_000_000, 'abc')
    const head = Buffer.concat([Buffer.from('REDIS0011'), Buffer.of(0, 1, 0x6b, 0x80, 0, 0, 0, 0)])
    head.writeUInt32BE(value.length, head.length - 4)
    const whole = Buffer.concat([head, value, Buffer.of(0xff), Buffer.alloc(8)])
    const { out, code } = await runCli([
      'inspect',
      write('long.rdb', whole),
      '--key',
      'k',
      '--json',
    ])
    const found = JSON.parse(out) as { value: string; raw: { bytes: number } }
    expect([code, found.raw.bytes]).toEqual([0, value.length + 5])
    expect(found.value === value.toString()).toBe(true)
    const cut = await runCli([
      'inspect',
      write('cut.rdb', whole.subarray(0, 2_500_000)),
      '--key',
      'k',
      '--json',
    ])
    expect(cut.code).toBe(6)
    const broken = JSON.parse(cut.out) as { value: string }
    expect(broken).toMatchObject({ event: 'key', key: 'k', complete: false })
    expect(value.toString().startsWith(broken.value)).toBe(true)
    expect(broken.value.length).toBeGreaterThan(2_000_000)
    const text = await runCli(['inspect', join(scratch, 'cut.rdb'), '--key', 'k'])
    expect([text.code, text.out.endsWith('(the rest of this key is damaged)\n')]).toEqual([6, true])
  })
})

describe('damage', () => {
  const bytes = readFileSync(DUMP)

  test('a truncated file: what came before is shown, exit 6', async () => {
    const file = write('short.rdb', bytes.subarray(0, 200_000))
    const { code, out, err } = await runCli(['inspect', file, '--json'])
    const got = JSON.parse(out) as Summary
    expect([code, got.complete, got.checksum]).toEqual([6, false, 'bad'])
    expect(got.keys).toBeGreaterThan(1000)
    expect(JSON.parse(err)).toMatchObject({ error: 'ERR_RDB_TRUNCATED', byteOffset: 200_000 })
    const text = await runCli(['inspect', file])
    expect(text.out).toContain('the file is damaged')
  })

  test('a flipped bit that only the checksum tells: exit 6, and --check says so', async () => {
    const flipped = Buffer.from(bytes)
    const at = flipped.indexOf('@example')
    flipped[at] = flipped[at]! ^ 1
    const file = write('flipped.rdb', flipped)
    for (const args of [[], ['--check'], ['--csv'], ['--keys']]) {
      const { code, err } = await runCli(['inspect', file, ...args])
      expect([args, code]).toEqual([args, 6])
      expect(err).toContain('checksum')
    }
    const sound = await runCli(['inspect', DUMP, '--check'])
    expect([sound.code, sound.out]).toEqual([
      0,
      'sound: RDB 11, 4,641 keys, 419 KiB, checksum ok\n',
    ])
  })

  test('what is no RDB is refused: exit 6; no file: exit 1; two modes: exit 2', async () => {
    expect(
      (await runCli(['inspect', write('text', Buffer.from('hello world, no RDB'))])).code,
    ).toBe(6)
    expect((await runCli(['inspect', write('empty', Buffer.alloc(0))])).code).toBe(6)
    expect((await runCli(['inspect', join(scratch, 'none.rdb')])).code).toBe(1)
    expect((await runCli(['inspect', DUMP, '--csv', '--check'])).code).toBe(2)
  })

  const corrupt = join(FIXTURES, 'corrupt')
  test('--check and the summary survive the corrupt set', async () => {
    const index = JSON.parse(readFileSync(join(corrupt, 'index.json'), 'utf8')) as unknown
    expect(index).toBeTruthy()
    const harmless = new Set(['checksum-zero.rdb', 'zeros-after-eof.rdb'])
    const files = readdirSync(corrupt).filter((name) => name.endsWith('.rdb'))
    expect(files.length).toBeGreaterThan(40)
    for (const name of files) {
      const { code } = await runCli(['inspect', join(corrupt, name), '--check'])
      expect([name, code]).toEqual([name, harmless.has(name) ? 0 : 6])
      const plain = await runCli(['inspect', join(corrupt, name), '--json'])
      expect([0, 6]).toContain(plain.code)
      await runCli(['inspect', join(corrupt, name), '--salvage', '--json'])
    }
  })
})

test('directories, preambles and plain AOFs: their commands are applied', async () => {
  const directory = join(FIXTURES, 'redis-7.2/aof-multi')
  const base = await runCli(['inspect', directory, '--base-only', '--json'])
  const got = JSON.parse(base.out) as Summary & { commandsLeftOut: number }
  expect([base.code, got.keys > 0, got.commandsLeftOut > 0]).toEqual([0, true, true])
  for (const name of ['aof-preamble', 'aof-plain']) {
    const { code, out } = await runCli([
      'inspect',
      join(FIXTURES, `redis-5.0/${name}/appendonly.aof`),
    ])
    expect([code, out]).toEqual([0, expect.stringContaining('Applied in')])
  }
})

describe('--report', () => {
  test('says more in JSON, in a tree that adds up, and as text', async () => {
    interface Node {
      keys: number
      memory: number
      own?: { keys: number; memory: number }
      other?: { keys: number; memory: number }
      children?: Node[]
    }
    const { out, code } = await runCli(['inspect', DUMP, '--report', '--json'])
    expect(code).toBe(0)
    const { report, keys } = JSON.parse(out) as {
      keys: number
      report: { keys: number; prefixes: Node; slots: { used: number } }
    }
    expect(report.keys).toBe(keys)
    const check = (node: Node): void => {
      const parts = [node.own, node.other, ...(node.children ?? [])]
      for (const name of ['keys', 'memory'] as const) {
        expect(parts.reduce((sum, part) => sum + (part?.[name] ?? 0), 0)).toBe(node[name])
      }
      for (const child of node.children ?? []) check(child)
    }
    check(report.prefixes)
    const text = await runCli(['inspect', DUMP, '--report'])
    expect(text.out).toContain('zset-max-listpack-entries')
    expect(text.out).toContain('Hash slots')
    const plain = await runCli(['inspect', DUMP])
    expect(text.out.startsWith(plain.out.slice(0, 2000))).toBe(true)
    expect(plain.out).not.toContain('Hash slots')
    expect((await runCli(['inspect', DUMP, '--report', '--csv'])).code).toBe(2)
  })
})
