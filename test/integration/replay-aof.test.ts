/**
 * Append-only files into real servers: the multi-part fixtures to each of their steps, single
 * files with and without a preamble, unfinished ends, and a second run behind an interrupted one.
 */
import type { SourceName } from '../../src/source/classify.js'
import {
  appendFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { replay, type ReplayOptions, type ReplayResult } from '../../src/verbs/replay/run.js'
import { makeServerSettings } from '../../src/net/make-server-settings.js'
import { FIXTURES } from '../helpers/fixtures.js'
import { comparable, expectedRows, serverRows, type StateRow } from '../helpers/server-state.js'
import {
  serverBinary,
  startServer,
  type ServerBinary,
  type TestServer,
} from '../helpers/servers.js'

const root = FIXTURES

interface Steps {
  steps: { timestamp: number; expected: string }[]
}

async function load(
  target: TestServer,
  source: SourceName,
  options: Partial<ReplayOptions> = {},
): Promise<ReplayResult> {
  await target.client.flushall()
  await target.client.call('FUNCTION', 'FLUSH')
  return await replay(source, makeServerSettings(`127.0.0.1:${target.port}`), { ...options })
}

/** The target has what the file says; keys whose time is past by now are gone from both. */
async function expectRows(target: TestServer, expected: string): Promise<void> {
  const now = Date.now()
  const wanted = expectedRows(expected).filter((row) => row.expireAt === null || row.expireAt > now)
  const dbs = new Set([0, ...wanted.map((row) => row.db)])
  const found = await serverRows(
    target.port,
    [...dbs].sort((a, b) => a - b),
  )
  const shown = found.map((row, i) => comparable(row, wanted[i] ?? row))
  const withoutReads = /redis-7\.[02]/.test(expected)
  const strip = (row: StateRow): StateRow => (withoutReads ? withoutEntriesRead(row) : row)
  expect(shown.map(strip)).toEqual(wanted.map((row) => strip(comparable(row, row))))
}

/** Up to 7.2 the stream does not carry how many entries a group has read: a server that loads its
 * own file has another number, too. */
function withoutEntriesRead(row: StateRow): StateRow {
  if (row.type !== 'stream') return row
  const stream = row.value as { groups: object[] }
  const groups = stream.groups.map((group) => ({ ...group, entriesRead: 0 }))
  return { ...row, value: { ...stream, groups } }
}

describe('replay of a multi-part directory', () => {
  const targets = new Map<string, TestServer>()

  beforeAll(async () => {
    for (const prefix of ['redis-7.0', 'redis-8.6', 'valkey-8.1', 'valkey-9.1']) {
      const binary = serverBinary(prefix)
      if (binary !== undefined) targets.set(prefix, await start(binary))
    }
  })
  afterAll(async () => {
    for (const target of targets.values()) await target.stop()
  })

  /** Each directory into the server that can hold what is in it. */
  const cases: [fixture: string, target: string][] = [
    ['redis-7.0/aof', 'redis-7.0'],
    ['redis-7.2/aof', 'redis-7.0'],
    ['redis-7.2/aof-multi', 'redis-7.0'],
    ['redis-7.4/aof', 'redis-8.6'],
    ['redis-8.0/aof', 'redis-8.6'],
    ['redis-8.6/aof', 'redis-8.6'],
    ['valkey-8.0/aof', 'valkey-8.1'],
    ['valkey-8.0/aof-multi', 'valkey-9.1'],
    ['valkey-8.1/aof', 'valkey-8.1'],
    ['valkey-9.1/aof', 'valkey-9.1'],
  ]
  for (const [fixture, name] of cases) {
    test(`${fixture}: --until each step gives exactly that state`, async ({ skip }) => {
      const target = targets.get(name)
      if (target === undefined) return skip(`no ${name} on this machine`)
      const { steps } = JSON.parse(
        readFileSync(join(root, `${fixture}.steps.json`), 'utf8'),
      ) as Steps
      expect(steps.length).toBeGreaterThan(1)
      for (const step of steps) {
        const result = await load(
          target,
          { kind: 'directory', path: join(root, fixture) },
          { until: { unixMs: step.timestamp * 1000 } },
        )
        expect(result.ledger.failures).toEqual([])
        await expectRows(target, join(root, fixture, '..', step.expected))
        expect(await target.client.exists('rrep:checkpoint')).toBe(0)
      }
      const whole = await load(target, { kind: 'directory', path: join(root, fixture) })
      expect(whole.complete).toBe(true)
      await expectRows(target, join(root, `${fixture}.expected.jsonl`))
    })
  }

  for (const name of ['redis-8.0', 'redis-8.6', 'valkey-8.1', 'valkey-9.1']) {
    test(`${name}/aof-newcmds arrives whole in a server that knows them`, async ({ skip }) => {
      const target = targets.get(name === 'redis-8.0' ? 'redis-8.6' : name)
      if (target === undefined) return skip(`no server for ${name}`)
      const result = await load(target, {
        kind: 'directory',
        path: join(root, name, 'aof-newcmds'),
      })
      expect(result.ledger.failures).toEqual([])
      await expectRows(target, join(root, name, 'aof-newcmds.expected.jsonl'))
    })
  }

  for (const fixture of ['redis-4.0', 'redis-5.0', 'redis-6.2'].flatMap((server) => [
    `${server}/aof-plain`,
    `${server}/aof-preamble`,
  ])) {
    test(`${fixture} arrives whole`, async () => {
      const target = targets.get('redis-7.0')!
      const path = join(root, fixture, 'appendonly.aof')
      const result = await load(target, { kind: 'file', path })
      expect(result.complete).toBe(true)
      await expectRows(target, join(root, `${fixture}.expected.jsonl`))
    })
  }
})

describe('replay of an append-only file', () => {
  let target: TestServer
  let dir: string

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'rrep-replay-'))
    target = await startServer()
  })
  afterAll(async () => {
    await target.stop()
    rmSync(dir, { recursive: true, force: true })
  })

  const write = (name: string, ...lines: string[]): string => {
    const path = join(dir, name)
    writeFileSync(path, '')
    for (const line of lines)
      appendFileSync(path, line.startsWith('#') ? `${line}\r\n` : resp(line))
    return path
  }

  test('an unfinished command at the end is left out, as redis-server does', async () => {
    const path = write('short.aof', 'SET a 1', 'SET b 2')
    truncateSync(path, statSync(path).size - 3)
    const result = await load(target, { kind: 'file', path })
    expect(await target.client.keys('*')).toEqual(['a'])
    expect(result.ledger.notes).toHaveProperty('unfinished end left out (bytes)')
    expect(result.complete).toBe(true)
  })

  test('a transaction without its EXEC never happened', async () => {
    const path = write('multi.aof', 'SET a 1', 'MULTI', 'INCR a', 'INCR a')
    const result = await load(target, { kind: 'file', path })
    expect(await target.client.get('a')).toBe('1')
    expect(result.ledger.commands).toMatchObject({ read: 1, written: 1 })
  })

  test('--until offset:N stops behind the last command that ends there', async () => {
    const path = write('offset.aof', 'SET a 1', 'SET b 2', 'SET c 3')
    const one = resp('SET a 1').length
    await load(target, { kind: 'file', path }, { until: { offset: 2 * one } })
    expect((await target.client.keys('*')).sort()).toEqual(['a', 'b'])
    await load(target, { kind: 'file', path }, { until: { offset: 2 * one - 1 } })
    expect(await target.client.keys('*')).toEqual(['a'])
  })

  test('--from leaves out what is older, and follows its SELECTs', async () => {
    const path = write('from.aof', '#TS:100', 'SELECT 3', 'SET a 1', '#TS:200', 'SET b 2')
    const result = await load(target, { kind: 'file', path }, { fromMs: 200_000 })
    expect(await target.newClient(3).keys('*')).toEqual(['b'])
    expect(result.ledger.commands).toMatchObject({ read: 2, skipped: 1, written: 1 })
  })

  test('relative expiries count from the time of their stamp, not from now', async () => {
    const now = Math.floor(Date.now() / 1000)
    const path = write(
      'relative.aof',
      `#TS:${now - 60}`,
      'SET a 1 PX 100000',
      'SETEX b 100 2',
      'SET c 3',
      'EXPIRE c 50',
      'SET d 4',
      'PEXPIRE d 100000',
    )
    const result = await load(target, { kind: 'file', path })
    expect(result.complete).toBe(true)
    const at = (now - 60) * 1000 + 100_000
    for (const key of ['a', 'b', 'd']) {
      expect(Number(await target.client.call('PEXPIRETIME', key))).toBe(at)
    }
    expect(await target.client.exists('c')).toBe(0)
  })

  test('a key past its time that a later command renews is there at the end', async () => {
    const path = write('renew.aof', 'SET a 1 PXAT 1000', 'PEXPIREAT a 4102444800000')
    await load(target, { kind: 'file', path })
    expect(Number(await target.client.call('PEXPIRETIME', 'a'))).toBe(4_102_444_800_000)
  })

  test('commands that fail are named, the others written, and the run is not complete', async () => {
    const path = write('wrong.aof', 'SET a x', 'LPUSH a 1', 'NOSUCHCOMMAND a', 'SET b 2')
    const result = await load(target, { kind: 'file', path })
    expect(result.complete).toBe(false)
    expect(result.ledger.commands).toMatchObject({ read: 4, written: 2, failed: 2 })
    expect(result.ledger.failures.map(({ key, command }) => [key, command])).toEqual([
      ['a', 'NOSUCHCOMMAND'],
      ['a', 'LPUSH'],
    ])
    expect((await target.client.keys('*')).sort()).toEqual(['a', 'b'])
  })

  test('what a client may not send or would act twice is rewritten or left out', async () => {
    const path = write(
      'odd.aof',
      'PING',
      'zadd z 1 a',
      'XADD x IDMP p i 5-1 f v',
      'XADD x IDMP p i * f v',
      'CLUSTER SYNCSLOTS CONF x',
      'TRIMSLOTS RANGES 1 0 16383',
      'PUBLISH c m',
      'SET s v IFEQ x',
      'HSETEX h KEEPTTL FIELDS 1 f 3.1',
      'DELEX nothing IFEQ x',
    )
    const result = await load(target, { kind: 'file', path })
    expect(await target.client.xlen('x')).toBe(1)
    expect(await target.client.hget('h', 'f')).toBe('3.1')
    expect(await target.client.get('s')).toBe('v')
    expect(result.ledger.commands.leftOut).toEqual({
      PING: 1,
      'XADD duplicate (IDMP)': 1,
      'cluster command': 1,
      PUBLISH: 1,
    })
    // What it deletes stays in the target: that is a loss.
    expect(result.ledger.notHeld).toEqual({
      TRIMSLOTS: 1,
      'ids of stream producers (IDMP)': 1,
    })
    expect(result.ledger.commands.failed).toBe(1)
    expect(result.complete).toBe(false)
  })

  test('SELECT beyond the databases of the target does not write into another one', async () => {
    const path = write('select.aof', 'SET a 1', 'SELECT 99', 'SET b 2', 'SELECT 0', 'SET c 3')
    const result = await load(target, { kind: 'file', path })
    expect((await target.client.keys('*')).sort()).toEqual(['a', 'c'])
    expect(result.ledger.failures).toMatchObject([{ db: 99, key: 'b', command: 'SET' }])
  })

  test('filters, mapping and renaming work on commands', async () => {
    const path = write(
      'map.aof',
      'MSET user:1 a other 9 user:2 b',
      'SELECT 1',
      'SET user:3 c',
      'SELECT 0',
      'RENAME user:1 user:9',
      'DEL other user:2',
    )
    const result = await load(
      target,
      { kind: 'file', path },
      {
        filter: { match: ['user:*'], dbs: [0] },
        mapDb: new Map([[0, 5]]),
        rewriteKey: [{ pattern: /^user:/, replacement: 'member:' }],
      },
    )
    expect(result.complete).toBe(true)
    expect(await target.client.dbsize()).toBe(0)
    const five = target.newClient(5)
    expect(await five.keys('*')).toEqual(['member:9'])
    expect(await five.get('member:9')).toBe('a')
  })

  test('a transform sees every command and decides what becomes of it', async () => {
    const path = write('transform.aof', 'SET keep 1', 'SET drop 2', 'SET twice 3')
    const result = await load(
      target,
      { kind: 'file', path },
      {
        transform: (item) => {
          if (item.kind !== 'command') return item
          const name = item.key?.toString()
          if (name === 'drop') return null
          if (name === 'twice')
            return [item, { ...item, args: [item.args[0]!, Buffer.from('copy'), item.args[2]!] }]
          return item
        },
      },
    )
    expect((await target.client.keys('*')).sort()).toEqual(['copy', 'keep', 'twice'])
    expect(result.ledger.commands).toMatchObject({ read: 3, skipped: 1 })
  })

  test('--dry-run reads all and writes nothing', async () => {
    const path = write('dry.aof', 'SET a 1', 'MULTI', 'SET b 2', 'SET c 3', 'EXEC')
    const result = await load(target, { kind: 'file', path }, { dryRun: true })
    expect(result.ledger.commands).toMatchObject({ read: 3, written: 3 })
    expect(await target.client.dbsize()).toBe(0)
  })
})

async function start(binary: ServerBinary): Promise<TestServer> {
  return await startServer({ binary, args: ['--databases', '16385'] })
}

function resp(line: string): string {
  const words = line.split(' ')
  return `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`
}
