/**
 * Every source in every verb that reads keys: the same keys come out, and they are those that the
 * server itself had. Each source is built once.
 */
import { execFileSync, spawn } from 'node:child_process'
import {
  appendFileSync,
  cpSync,
  createReadStream,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { archive as keepArchive } from '../../src/verbs/tail/archive.js'
import { makeServerSettings } from '../../src/net/make-server-settings.js'
import { runCli, type CliResult } from '../helpers/cli.js'
import { infoNumber } from '../helpers/archives.js'
import { serverRows, type StateRow } from '../helpers/server-state.js'
import { startServer, waitFor, type TestServer } from '../helpers/servers.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-sources-'))
const FUTURE_MS = Date.now() + 3_600_000

let master: TestServer
let target: TestServer
/** The keys that every source but those of the past comes to. */
let rows: StateRow[]
/** What `master` held before the last commands, and where that was. */
let earlier: StateRow[]
let earlierReplOffset = 0

async function fill(): Promise<void> {
  const { client } = master
  await client.set('text', 'one')
  await client.set('expires', 'two', 'PXAT', FUTURE_MS)
  await client.rpush('list', 'a', 'b')
  await client.zadd('scores', 1.5, 'x', 2, 'y')
}

async function change(): Promise<void> {
  const { client } = master
  await client.set('text', 'changed')
  await client.del('list')
  await client.hset('hash', 'field', 'value')
  await client.call('SELECT', '1')
  await client.set('other', 'db')
  await client.call('SELECT', '0')
}

/** While a sync of its AOF is under way a server holds back what it has answered already. */
async function aofHolds(word: string, times: number): Promise<void> {
  const folder = join(master.dir, 'appendonlydir')
  await waitFor(
    () => {
      const last = readdirSync(folder).filter((name) => name.endsWith('.incr.aof'))
      const text = last.map((name) => readFileSync(join(folder, name), 'latin1')).join('')
      return text.split(word).length > times
    },
    { what: `${word} in the AOF of the server` },
  )
}

beforeAll(async () => {
  master = await startServer({
    args: ['--appendonly', 'yes', '--auto-aof-rewrite-percentage', '0'],
  })
  target = await startServer()
  const stop = new AbortController()
  let replOffset = -1
  const kept = keepArchive(makeServerSettings(`127.0.0.1:${master.port}`), {
    dir: join(dir, 'archive'),
    signal: stop.signal,
    onProgress: (progress) => (replOffset = progress.replOffset),
  })
  kept.catch(() => undefined)
  const caughtUp = async (): Promise<void> => {
    const wanted = await infoNumber(master, 'replication', 'master_repl_offset')
    await waitFor(() => replOffset >= wanted, { what: 'the archive', timeoutMs: 20_000 })
  }
  await waitFor(() => replOffset >= 0, { what: 'the first snapshot', timeoutMs: 20_000 })
  await fill()
  await caughtUp()
  earlier = await serverRows(master.port, [0, 1])
  earlierReplOffset = replOffset
  // A server that began with its AOF on has an empty base, and all in increments.
  await waitFor(
    () => readdirSync(join(master.dir, 'appendonlydir')).some((name) => name.endsWith('.incr.aof')),
    { what: 'the increments of the server', timeoutMs: 5000 },
  )
  await change()
  await caughtUp()
  rows = await serverRows(master.port, [0, 1])
  // As a kill leaves it: no end was written, and half a command stands behind the last.
  cpSync(join(dir, 'archive'), join(dir, 'killed'), { recursive: true })
  const killedParts = join(dir, 'killed', 'appendonlydir')
  const last = readdirSync(killedParts).find((name) => name.endsWith('.incr.aof'))!
  appendFileSync(join(killedParts, last), '*3\r\n$3\r\nSET\r\n$4\r\nte')
  stop.abort()
  await kept.catch(() => undefined)
  for (const name of ['several bases', 'gap']) {
    cpSync(join(dir, 'archive'), join(dir, name), { recursive: true })
  }
  await goOn('several bases', { snapshotEveryMs: 50 })
  await aofHolds('other', 1)
  cpSync(join(master.dir, 'appendonlydir'), join(dir, 'empty-base'), { recursive: true })
  expect(
    (await runCli(['sync', `127.0.0.1:${master.port}`, '-o', join(dir, 'dump.rdb')])).code,
  ).toBe(0)
  writeFileSync(join(dir, 'dump.rdb.gz'), gzipSync(readFileSync(join(dir, 'dump.rdb'))))
  // The snapshot of before, as a preamble, with the commands behind it.
  await master.client.call('BGREWRITEAOF')
  await waitFor(
    async () =>
      (await infoNumber(master, 'persistence', 'aof_rewrite_in_progress')) === 0 &&
      // The files before it are unlinked in the background.
      readdirSync(join(master.dir, 'appendonlydir')).some((name) => name.endsWith('.2.base.rdb')) &&
      !readdirSync(join(master.dir, 'appendonlydir')).some((name) => name.includes('.1.')),
    { what: 'the rewrite', timeoutMs: 20_000 },
  )
  await master.client.set('behind', 'the base')
  await master.client.del('behind')
  await aofHolds('behind', 2)
  cpSync(join(master.dir, 'appendonlydir'), join(dir, 'full-base'), { recursive: true })
  const parts = readdirSync(join(dir, 'full-base'))
  const part = (end: string): Buffer =>
    readFileSync(
      join(
        dir,
        'full-base',
        parts.find((name) => name.endsWith(end))!,
      ),
    )
  writeFileSync(join(dir, 'single.aof'), Buffer.concat([part('.base.rdb'), part('.incr.aof')]))
  // Another history with the same data: the archive cannot tell what lies between.
  await master.client.call('DEBUG', 'CHANGE-REPL-ID')
  await goOn('gap')
}, 120_000)

afterAll(async () => {
  await master.stop()
  await target.stop()
  rmSync(dir, { recursive: true, force: true })
})

/** Goes on in an archive until there is a third base (or, behind a gap, a second). */
async function goOn(name: string, options: { snapshotEveryMs?: number } = {}): Promise<void> {
  const stop = new AbortController()
  const path = join(dir, name)
  const bases = (): number =>
    readdirSync(join(path, 'appendonlydir')).filter((file) => file.endsWith('.base.rdb')).length
  const wanted = options.snapshotEveryMs === undefined ? 2 : 3
  const kept = keepArchive(makeServerSettings(`127.0.0.1:${master.port}`), {
    dir: path,
    signal: stop.signal,
    ...options,
  })
  kept.catch(() => undefined)
  await waitFor(() => bases() >= wanted, { what: `bases of ${name}`, timeoutMs: 30_000 })
  stop.abort()
  await kept.catch(() => undefined)
}

interface Named {
  args: readonly string[]
  stdin?: () => ReturnType<typeof createReadStream>
}

const SOURCES: Readonly<Record<string, () => Named>> = {
  dump: () => ({ args: [join(dir, 'dump.rdb')] }),
  'gzipped dump': () => ({ args: [join(dir, 'dump.rdb.gz')] }),
  'standard input': () => ({ args: ['-'], stdin: () => createReadStream(join(dir, 'dump.rdb')) }),
  'AOF with a preamble': () => ({ args: [join(dir, 'single.aof')] }),
  'AOF by standard input': () => ({
    args: ['-'],
    stdin: () => createReadStream(join(dir, 'single.aof')),
  }),
  'multi-part AOF with an empty base': () => ({ args: [join(dir, 'empty-base')] }),
  'multi-part AOF with a full base': () => ({ args: [join(dir, 'full-base')] }),
  archive: () => ({ args: [join(dir, 'archive')] }),
  'archive with several bases': () => ({ args: [join(dir, 'several bases')] }),
  'archive with a gap': () => ({ args: [join(dir, 'gap')] }),
  'archive of a run that was killed': () => ({ args: [join(dir, 'killed')] }),
  FIFO: () => ({ args: [fifo()] }),
  server: () => ({ args: [`127.0.0.1:${master.port}`] }),
}

/** A pipe with a name, which somebody else writes the dump to. */
function fifo(): string {
  const path = join(dir, `fifo-${(fifos += 1)}`)
  execFileSync('mkfifo', [path])
  spawn('sh', ['-c', 'cat "$0" > "$1"', join(dir, 'dump.rdb'), path], { stdio: 'ignore' })
  return path
}
let fifos = 0

async function rrep(verb: string, named: Named, ...rest: string[]): Promise<CliResult> {
  const stdin = named.stdin?.()
  return await runCli([verb, ...named.args, ...rest], stdin === undefined ? {} : { stdin })
}

function keysOf(result: CliResult): unknown[] {
  return result.out
    .split('\n')
    .filter((line) => line !== '')
    .map(
      (line) =>
        JSON.parse(line) as { db: number; key: string; type: string; expireAt: number | null },
    )
    .map(({ db, key, type, expireAt }) => ({ db, key, type, expireAt }))
    .sort((left, right) => left.db - right.db || (left.key < right.key ? -1 : 1))
}

function portOf(chunk: Buffer): number | undefined {
  const found = /"(?:port|listen|address)":"?(?:127\.0\.0\.1:)?(\d+)/.exec(chunk.toString())
  return found === null ? undefined : Number(found[1])
}

/** Of a server that applies commands meanwhile: a key may go while it is looked at. */
async function rowsMeanwhile(): Promise<StateRow[]> {
  try {
    return await serverRows(target.port, [0, 1])
  } catch (error) {
    if (error instanceof TypeError) return []
    throw error
  }
}

function same(left: readonly StateRow[], right: readonly StateRow[]): boolean {
  return JSON.stringify(left) === JSON.stringify(right)
}

function expected(of: readonly StateRow[]): unknown[] {
  return of
    .map(({ db, key, type, expireAt }) => ({ db, key, type, expireAt }))
    .sort((left, right) => left.db - right.db || (left.key < right.key ? -1 : 1))
}

describe.each(Object.keys(SOURCES))('%s', (name) => {
  const named = (): Named => SOURCES[name]!()

  test('export writes the keys of the server', async () => {
    const result = await rrep('export', named(), '--strings', 'base64')
    expect([result.code, keysOf(result)]).toEqual([0, expected(rows)])
  })

  test('inspect counts them', async () => {
    const result = await rrep('inspect', named(), '--json')
    const { keys, expires } = JSON.parse(result.out) as { keys: number; expires: number }
    expect([result.code, keys, expires]).toEqual([0, rows.length, 1])
  })

  test('diff finds the server the same', async () => {
    const result = await rrep('diff', named(), `127.0.0.1:${master.port}`)
    expect([result.code, result.out]).toEqual([0, ''])
  })

  test('export as commands, loaded back, gives the same state', async () => {
    await target.client.flushall()
    const file = join(dir, 'commands.resp')
    expect((await rrep('export', named(), '--format', 'resp', '-o', file)).code).toBe(0)
    execFileSync(target.binary.cli, ['-p', String(target.port), '--pipe'], {
      input: readFileSync(file),
    })
    expect(await serverRows(target.port, [0, 1])).toEqual(rows)
  })

  test('inspect shows them as text', async () => {
    const result = await rrep('inspect', named())
    expect(result.code).toBe(0)
    expect(result.out).toContain('hash')
  })

  test('serve gives them to who syncs', async () => {
    const stop = new AbortController()
    let port: number | undefined
    const source = named()
    const stdin = source.stdin?.()
    const served = runCli(['serve', ...source.args, '--listen', '127.0.0.1:0', '--json'], {
      signal: stop.signal,
      ...(stdin === undefined ? {} : { stdin }),
      onStdout: (chunk) => (port ??= portOf(chunk)),
    })
    const ended = served.then(({ err }) => err)
    await waitFor(() => port !== undefined, { what: 'serve', timeoutMs: 30_000 })
    // A frozen master has commands behind its snapshot: a replica applies them.
    await target.client.call('REPLICAOF', '127.0.0.1', String(port))
    try {
      await waitFor(async () => same(await rowsMeanwhile(), rows), {
        what: 'the replica to hold the same',
        timeoutMs: 30_000,
      })
    } finally {
      await target.client.call('REPLICAOF', 'NO', 'ONE')
      stop.abort('SIGINT')
      await ended
    }
  })

  test.skipIf(name === 'server')('replay gives the same state', async () => {
    await target.client.flushall()
    expect((await rrep('replay', named(), `127.0.0.1:${target.port}`)).code).toBe(0)
    expect(await serverRows(target.port, [0, 1])).toEqual(rows)
  })
})

test.each(['archive', 'several bases', 'gap', 'killed'])(
  '%s has the state of an earlier offset, with its expiries',
  async (name) => {
    const until = `offset:${earlierReplOffset}`
    const exported = await runCli([
      'export',
      join(dir, name),
      '--until',
      until,
      '--strings',
      'base64',
    ])
    expect([exported.code, keysOf(exported)]).toEqual([0, expected(earlier)])
    const inspected = await runCli(['inspect', join(dir, name), '--until', until, '--json'])
    expect((JSON.parse(inspected.out) as { keys: number }).keys).toBe(earlier.length)
    await target.client.flushall()
    const address = `127.0.0.1:${target.port}`
    expect((await runCli(['replay', join(dir, name), address, '--until', until])).code).toBe(0)
    expect(await serverRows(target.port, [0, 1])).toEqual(earlier)
    const differs = await runCli(['diff', join(dir, name), address, '--until', until])
    expect([differs.code, differs.out]).toEqual([0, ''])
  },
)

test('the base alone is read with --base-only, and what is left out is told', async () => {
  const result = await runCli(['inspect', join(dir, 'empty-base'), '--base-only', '--json'])
  const told = JSON.parse(result.out) as { keys: number; commandsLeftOut: number }
  expect([told.keys, told.commandsLeftOut > 4]).toEqual([0, true])
  expect(result.err).toContain('behind the snapshot left out')
})

test('a snapshot of a server leaves nothing in the temporary directory', async () => {
  const mine = (): string[] => readdirSync(tmpdir()).filter((name) => name.startsWith('rrep-keys-'))
  const before = mine()
  expect((await runCli(['inspect', `127.0.0.1:${master.port}`, '--check'])).code).toBe(0)
  expect(mine().filter((name) => !before.includes(name))).toEqual([])
  expect(statSync(join(dir, 'dump.rdb')).isFile()).toBe(true)
})

test('/1 in an address is db 1, and is refused where all databases go together', async () => {
  const exported = await runCli(['export', `redis://127.0.0.1:${master.port}/1`])
  expect([exported.code, keysOf(exported)]).toEqual([
    0,
    [{ db: 1, key: 'other', type: 'string', expireAt: null }],
  ])
  const synced = await runCli([
    'sync',
    `redis://127.0.0.1:${master.port}/1`,
    '-o',
    join(dir, 'no.rdb'),
  ])
  expect([synced.code, synced.err]).toEqual([2, expect.stringContaining('takes all databases')])
})
