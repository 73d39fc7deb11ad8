/**
 * Recorded links of masters that few machines have, played again: what the real ones sent, byte for
 * byte, through a cut, is read as they meant it. What the master held in the end is what a target
 * of `replay` holds, live and from an archive.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runCli, type CliResult } from '../helpers/cli.js'
import { FIXTURES } from '../helpers/fixtures.js'
import { playRecordedLink, readRecordedLink, type RecordedLink } from '../helpers/recorded-link.js'
import { comparable, expectedRows, serverRows, type StateRow } from '../helpers/server-state.js'
import { serverBinary, startServer, type TestServer } from '../helpers/servers.js'

const NAMES = readdirSync(join(FIXTURES, 'links'))
  .filter((name) => name.endsWith('.jsonl') && !name.endsWith('.expected.jsonl'))
  .map((name) => name.slice(0, -'.jsonl'.length))
  .sort()

/** Commands and types that no target here has: then they are counted and named. */
const NOT_HELD: Readonly<Record<string, RegExp>> = {
  'keydb-6.3.4': /^failed: 2 times: EXPIREMEMBER:/m,
  'keydb-6.3.4-active-replica': /^failed: 2 times: PEXPIREMEMBERAT:/m,
  'redis-8.8-dev': /^failed: .*ARSET:/m,
}
const DBS = [0, 1, 2, 3, 4]

test('there are recordings of twenty versions', () => {
  expect(NAMES).toHaveLength(20)
})

test.each(NAMES)('%s: sync has its snapshot, tail its last writes', async (name) => {
  const link = readRecordedLink(name)
  const master = await playRecordedLink(link)
  const source = `127.0.0.1:${master.port}`
  try {
    const synced = await runCli(['sync', source, '-o', '-'])
    expect(synced.code, synced.err).toBe(0)
    const { payload, isEof } = link.fullSyncs[0]!
    expect(synced.stdout.equals(isEof ? payload.subarray(0, -40) : payload)).toBe(true)
    if (link.replid === undefined) {
      // Up to 2.6 there are no offsets to begin at, and SELECT stands inline in the stream.
      const tailed = await runCli(['tail', source, '--db', '1', '--count', '1'])
      expect(tailed.code, tailed.err).toBe(0)
      expect(tailed.out).toMatch(/^\S+ \d+ db1 \w+ /)
      return
    }
    const keys = ['--match', 'd:[24]', '--command', 'SET', '--count', '2']
    const tailed = await runCli(['tail', source, '--no-full-sync', ...keys])
    expect(tailed.code, tailed.err).toBe(0)
    const writes = tailed.out.split('\n').map((line) => line.replace(/^\S+ \d+ /, ''))
    expect(writes).toEqual(['db1 SET "d:2" "x"', 'db0 SET "d:4" "z"', ''])
  } finally {
    await master.stop()
  }
})

describe('a target has what the master had', () => {
  const newer = serverBinary('redis-8.6')
  const targets: TestServer[] = []
  const kept = new Map<string, CliResult>()
  let dir: string

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'rrep-test-'))
    for (const options of [{}, ...(newer === undefined ? [] : [{ binary: newer }])]) {
      targets.push(await startServer(options))
    }
    // At once: most of their time they wait, behind the cut.
    await Promise.all(NAMES.map(async (name) => kept.set(name, await keep(name, join(dir, name)))))
  })

  afterAll(async () => {
    for (const each of targets) await each.stop()
    rmSync(dir, { recursive: true, force: true })
  })

  /** Fields that expire came with 7.4, and functions, streams and all else with 7.0. */
  function targetOf(name: string): TestServer | undefined {
    return /^(redis-7\.4|redis-8|valkey-9)/.test(name) ? targets[1] : targets[0]
  }

  test.for(NAMES)('%s: after a live replay', async (name, { skip }) => {
    const target = targetOf(name)
    if (target === undefined) return skip('needs a Redis 8.6')
    const link = readRecordedLink(name)
    await empty(target)
    // Masters up to 2.6 cannot go on behind a cut.
    const isOld = link.replid === undefined
    const master = await playRecordedLink(link, { fromLastSync: isOld })
    try {
      const end = isOld ? ['--until-quiet'] : ['--until', `offset:${link.lastReplOffset}`]
      const replayed = await runCli([
        ...['replay', `127.0.0.1:${master.port}`, at(target)],
        ...[...end, '--spool-dir', join(dir, `${name}-spool`)],
      ])
      expectCode(name, replayed)
    } finally {
      await master.stop()
    }
    await expectState(target, link)
  })

  test.for(NAMES)('%s: after a replay of its archive', async (name, { skip }) => {
    const target = targetOf(name)
    if (target === undefined) return skip('needs a Redis 8.6')
    const link = readRecordedLink(name)
    const { code, err } = kept.get(name)!
    if (link.replid === undefined) {
      expect(code).toBe(5)
      expect(err).toContain('the master has no PSYNC')
      return
    }
    expect(code, err).toBe(130)
    await empty(target)
    expectCode(name, await runCli(['replay', join(dir, name), at(target)]))
    await expectState(target, link)
  })
})

/** Archives a link up to its last byte, which is on disk when the master hears so. */
async function keep(name: string, dir: string): Promise<CliResult> {
  const link = readRecordedLink(name)
  const halt = new AbortController()
  const master = await playRecordedLink(link, {
    onAck: (_, fack) => {
      if (fack === link.lastReplOffset) halt.abort('SIGINT')
    },
  })
  try {
    const argv = ['tail', `127.0.0.1:${master.port}`, '-o', dir, '--durable', '--fsync', 'always']
    return await runCli(argv, { signal: halt.signal })
  } finally {
    await master.stop()
  }
}

async function empty(target: TestServer): Promise<void> {
  await target.client.flushall()
  await target.client.call('FUNCTION', 'FLUSH')
}

function at(server: TestServer): string {
  return `127.0.0.1:${server.port}`
}

function expectCode(name: string, { code, err }: CliResult): void {
  const notHeld = NOT_HELD[name]
  expect(code, err).toBe(notHeld === undefined ? 0 : 7)
  if (notHeld !== undefined) expect(err).toMatch(notHeld)
}

async function expectState(target: TestServer, link: RecordedLink): Promise<void> {
  const wanted = expectedRows(link.expected).filter(({ type }) => type !== 'array')
  const found = await serverRows(target.port, DBS)
  // A relative expiry begins when it is played.
  const lateMs = Date.now() - link.startedAtMs + 1000
  const shown = found.map((row, i) => {
    const like = wanted[i] ?? row
    const lag = (row.expireAt ?? 0) - (like.expireAt ?? 0)
    const isSame = (row.expireAt === null) === (like.expireAt === null)
    const expireAt = isSame && lag > -1000 && lag < lateMs ? like.expireAt : row.expireAt
    return shownOf({ ...row, expireAt }, like)
  })
  expect(shown).toEqual(wanted.map((row) => shownOf(row, row)))
}

interface Groups {
  groups: { entriesRead?: unknown; pending: [id: string, consumer: string, count: number][] }[]
}

/** Without what not every master propagates: how many entries a group has read; and an entry that
 * was released (8.8) has its last consumer where XNACK is not known. */
function shownOf(row: StateRow, like: StateRow): StateRow {
  const shown = comparable(row, like)
  if (row.type !== 'stream' || like.type !== 'stream') return shown
  const value = shown.value as Groups
  const groups = value.groups.map((group, at) => {
    const wanted = (like.value as Groups).groups[at]?.pending
    const pending = group.pending.map(([id, consumer, count], i) => {
      return [id, wanted?.[i]?.[1] === '' ? '' : consumer, count]
    })
    return { ...group, entriesRead: undefined, pending }
  })
  return { ...shown, value: { ...value, groups } }
}
