/** The command line of replay against real servers: exit codes, conflicts, what is not held, and
 * targets that refuse for a while. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { digest, serverBinary, startServer, waitFor, type TestServer } from '../helpers/servers.js'

interface LedgerJson {
  complete: boolean
  keys: Record<string, number>
  notHeld: Record<string, number>
  failures: { key: string; reason: string }[]
  functions: Record<string, number>
}

describe('rrep replay', () => {
  let source: TestServer
  let target: TestServer
  let dir: string
  let rdb: string
  let address: string

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'rrep-replay-'))
    source = await startServer()
    target = await startServer()
    address = `127.0.0.1:${target.port}`
    const { client } = source
    await client.mset('a', '1', 'b', '2', 'user:1', 'x')
    await client.rpush('list', ...Array.from({ length: 2000 }, (_, i) => `element ${i}`))
    await client.hset(
      'hash',
      Object.fromEntries(Array.from({ length: 600 }, (_, i) => [`f${i}`, i])),
    )
    await client.call(
      'FUNCTION',
      'LOAD',
      "#!lua name=lib\nredis.register_function('f', function() return 1 end)",
    )
    rdb = join(dir, 'dump.rdb')
    expect((await runCli(['sync', `127.0.0.1:${source.port}`, '-o', rdb])).code).toBe(0)
  })
  beforeEach(async () => {
    await target.client.flushall()
    await target.client.call('FUNCTION', 'FLUSH')
  })
  afterAll(async () => {
    await source.stop()
    await target.stop()
    rmSync(dir, { recursive: true, force: true })
  })

  const json = (text: string): LedgerJson => JSON.parse(text) as LedgerJson

  test.each(['auto', 'always', 'never'])(
    'loads a dump whole with --restore %s',
    async (restore) => {
      const { code, out } = await runCli(['replay', rdb, address, '--restore', restore, '--json'])
      expect(code).toBe(0)
      expect(json(out)).toMatchObject({
        complete: true,
        keys: { read: 5, written: 5, skipped: 0, failed: 0, expired: 0 },
        functions: { read: 1, written: 1, skipped: 0, failed: 0 },
      })
      expect(await digest(target)).toBe(await digest(source))
      expect(await target.client.call('FCALL', 'f', 0)).toBe(1)
    },
  )

  test.each(['auto', 'never'])(
    'conflicts (--restore %s): left and named, skipped, or replaced',
    async (restore) => {
      await target.client.set('a', 'mine')
      await target.client.rpush('list', 'mine')
      const fail = await runCli(['replay', rdb, address, '--restore', restore, '--json'])
      expect(fail.code).toBe(7)
      expect(json(fail.out).keys).toMatchObject({ written: 3, failed: 2 })
      expect(
        json(fail.out)
          .failures.map(({ key }) => key)
          .sort(),
      ).toEqual(['a', 'list'])
      expect(await target.client.get('a')).toBe('mine')
      expect(await target.client.llen('list')).toBe(1)

      await target.client.call('FUNCTION', 'FLUSH')
      const skip = await runCli([
        'replay',
        rdb,
        address,
        '--restore',
        restore,
        '--on-conflict',
        'skip',
        '--json',
      ])
      expect(skip.code).toBe(0)
      expect(json(skip.out).keys).toMatchObject({ written: 0, skipped: 5 })

      const replace = await runCli([
        'replay',
        rdb,
        address,
        '--restore',
        restore,
        '--on-conflict',
        'replace',
        '--json',
      ])
      expect(replace.code).toBe(0)
      expect(await digest(target)).toBe(await digest(source))
    },
  )

  test('field expiries that 7.0 cannot hold are named, and the exit code is 7', async ({
    skip,
  }) => {
    const binary = serverBinary('redis-8')
    if (binary === undefined) return skip('no redis 8 on this machine')
    const newer = await startServer({ binary })
    try {
      await newer.client.hset('h', 'f', '1', 'g', '2')
      await newer.client.call('HEXPIRE', 'h', '1000', 'FIELDS', '1', 'f')
      await newer.client.set('plain', 'x')
      const file = join(dir, 'newer.rdb')
      await runCli(['sync', `127.0.0.1:${newer.port}`, '-o', file])
      const { code, out } = await runCli(['replay', file, address, '--json'])
      expect(code).toBe(7)
      const ledger = json(out)
      expect(ledger.notHeld).toEqual({ 'expiry of hash fields': 1 })
      expect(ledger.failures).toMatchObject([{ key: 'h' }])
      expect(await target.client.hgetall('h')).toEqual({ f: '1', g: '2' })
      expect(await target.client.get('plain')).toBe('x')
    } finally {
      await newer.stop()
    }
  })

  test('a target out of memory is waited for, key by key', async () => {
    await target.client.config('SET', 'maxmemory', '1')
    const running = runCli(['replay', rdb, address, '--json'])
    // Refused at least once before it is let through.
    await waitFor(
      async () => /errorstat_OOM:count=[1-9]/.test(await target.client.info('errorstats')),
      { what: 'the target to refuse' },
    )
    await target.client.config('SET', 'maxmemory', '0')
    const { code, out } = await running
    expect(code).toBe(0)
    expect(json(out).keys).toMatchObject({ written: 5, failed: 0 })
    expect(await digest(target)).toBe(await digest(source))
  })

  test('the ledger is plain text in a pipe, a ruled table in a terminal', async () => {
    const pipe = await runCli(['replay', rdb, address])
    expect(pipe.err).toContain(
      [
        'db  type    read  written  skipped  failed  expired',
        ' 0  hash       1        1        0       0        0',
        ' 0  list       1        1        0       0        0',
        ' 0  string     3        3        0       0        0',
      ].join('\n'),
    )
    expect(pipe.err).toMatch(/^[\x20-\x7e\n]*$/)
    await target.client.flushall()
    const terminal = await runCli(['replay', rdb, address, '--on-conflict', 'replace'], {
      tty: true,
    })
    expect(terminal.err).toContain('────')
  })

  test('filters, mapping and a transform module', async () => {
    const file = join(dir, 'transform.mjs')
    writeFileSync(
      file,
      `export function transform(item) {
        if (item.key.toString() === 'm:b') return null
        return item.key.toString() === 'm:a' ? [item, { ...item, key: Buffer.from('copy') }] : item
      }`,
    )
    const { code, out } = await runCli([
      ...['replay', rdb, address, '--json', '--type', 'string', '--no-match', 'user:*'],
      ...['--map-db', '0:3', '--rewrite-key', 's/^/m:/', '--transform', file],
    ])
    expect(code).toBe(0)
    const three = target.newClient(3)
    expect((await three.keys('*')).sort()).toEqual(['copy', 'm:a'])
    expect(await three.mget('copy', 'm:a')).toEqual(['1', '1'])
    expect(json(out).keys).toMatchObject({ written: 2, failed: 0 })
  })

  test('--verify compares when done: the same, or exit code 7', async () => {
    const same = await runCli(['replay', rdb, address, '--verify', '--json'])
    expect(same.code).toBe(0)
    expect(JSON.parse(same.out)).toMatchObject({ verified: { same: true, keysDifferent: 0 } })
    await target.client.set('a', 'mine')
    const other = await runCli(['replay', rdb, address, '--verify', '--on-conflict', 'skip'])
    expect(other.code).toBe(7)
    expect(other.err).toContain('1 value')
  })

  test('--dry-run tells what would be written', async () => {
    const { code, err } = await runCli(['replay', rdb, address, '--dry-run'])
    expect(code).toBe(0)
    expect(err).toContain('nothing was written')
    expect(await target.client.dbsize()).toBe(0)
  })

  test('--empty-target asks first, and deletes nothing where nobody can be asked', async () => {
    await target.client.set('mine', '1')
    expect((await runCli(['replay', rdb, address, '--empty-target'])).code).toBe(2)
    expect(await target.client.exists('mine')).toBe(1)
    expect((await runCli(['replay', rdb, address, '--empty-target', '--yes'])).code).toBe(0)
    expect(await digest(target)).toBe(await digest(source))
  })

  test.each([
    ['a file that is not there', ['no-such.rdb', '127.0.0.1:1'], 1],
    ['a target that is not there', ['RDB', '127.0.0.1:1', '--retries', '0'], 3],
    ['a db in the target address', ['RDB', 'redis://127.0.0.1:1/3'], 2],
    ['a bad rule', ['RDB', '127.0.0.1:1', '--rewrite-key', 'x'], 2],
    ['--until-synced of a file', ['RDB', 'TARGET', '--until-synced'], 2],
  ])('%s', async (_, args, code) => {
    const given = args.map((arg) => (arg === 'RDB' ? rdb : arg === 'TARGET' ? address : arg))
    expect((await runCli(['replay', ...given])).code).toBe(code)
  })

  test('a damaged file ends with 6, and the ledger says how far it came', async () => {
    const file = join(dir, 'cut.rdb')
    const bytes = readFileSync(rdb)
    writeFileSync(file, bytes.subarray(0, bytes.length - 20))
    const { code } = await runCli(['replay', file, address, '--json'])
    expect(code).toBe(6)
  })
})
