/** A master by the name under which Sentinels watch it, in every verb, and through failovers. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { sync, tail } from '../../src/index.js'
import { runCli } from '../helpers/cli.js'
import { spawnRrep, type RrepProcess } from '../helpers/rrep-process.js'
import { MASTER, startSentinels, type Sentinels } from '../helpers/sentinels.js'
import { digest, serverBinary, startServer, waitFor, type TestServer } from '../helpers/servers.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-sentinel-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

async function synced(replica: TestServer, master: TestServer): Promise<void> {
  await waitFor(
    async () => {
      const info = await replica.client.info('replication')
      return info.includes('master_link_status:up') && info.includes(`master_port:${master.port}`)
    },
    { what: 'the replica' },
  )
}

const families = ['redis-7.0', 'redis-8.6', 'valkey-9.1'].filter(
  (name) => serverBinary(name) !== undefined,
)

describe.each(families)('%s', (family) => {
  const binary = serverBinary(family)!
  let servers: [TestServer, TestServer]
  let other: TestServer
  let sentinels: Sentinels
  let address: string
  const running: RrepProcess[] = []

  const master = async (): Promise<TestServer> => {
    const port = await sentinels.named()
    return servers.find((each) => each.port === port)!
  }

  beforeAll(async () => {
    const [first, second, third] = await Promise.all([
      startServer({ binary }),
      startServer({ binary }),
      startServer({ binary }),
    ])
    servers = [first, second]
    other = third
    await second.client.replicaof('127.0.0.1', first.port)
    await synced(second, first)
    await first.client.mset({ a: '1', b: '2' })
    sentinels = await startSentinels(binary, first)
    address = sentinels.address()
  })
  beforeEach(async () => {
    await other.client.flushall()
  })
  afterEach(async () => {
    for (const each of running.splice(0)) {
      each.child.kill('SIGKILL')
      await each.ended
    }
  })
  afterAll(async () => {
    await sentinels.stop()
    for (const each of [...servers, other]) await each.stop()
  })

  test('sync, inspect, export, diff, tail and replay take the name', async () => {
    const file = join(dir, `{host}-${family}.rdb`)
    const { file: written } = await sync(address, { output: file })
    expect(written).toBe(join(dir, `${MASTER}-${family}.rdb`))
    const inspected = await runCli(['inspect', address, '--json'])
    expect(JSON.parse(inspected.out)).toMatchObject({ keys: 2 })
    const exported = await runCli(['export', address, '-o', '-'])
    expect(exported.out.trim().split('\n')).toHaveLength(2)
    expect(
      await runCli(['replay', address, `127.0.0.1:${other.port}`, '--until-quiet']),
    ).toMatchObject({ code: 0 })
    expect(await runCli(['diff', address, `127.0.0.1:${other.port}`])).toMatchObject({ code: 0 })
    expect((await runCli(['sync', `${address}x`, '-o', file])).err).toContain(
      `know no master ${MASTER}x`,
    )
    const now = await master()
    const writing = setInterval(() => void now.client.incr('n'), 20)
    try {
      // What the Sentinels tell each other is in the stream, too.
      const commands = tail(address, { count: 2, commands: ['INCR'] })
      for await (const { args } of commands) expect(String(args[1])).toBe('n')
    } finally {
      clearInterval(writing)
    }
  })

  test('a dump goes into the master of that name', async () => {
    await other.client.set('from', 'elsewhere')
    await runCli(['replay', `127.0.0.1:${other.port}`, address, '--until-quiet'])
    expect(await (await master()).client.get('from')).toBe('elsewhere')
  })

  test('?replica takes one that is up', async () => {
    const now = await master()
    const replica = servers.find((each) => each !== now)!
    await synced(replica, now)
    await waitFor(
      async () => {
        const asked = await runCli(['inspect', address.replace('#', '?replica#'), '--check'])
        return asked.code === 0
      },
      { what: 'a replica that the Sentinels call good' },
    )
    expect(await replica.client.info('stats')).toMatch(/sync_full:[1-9]/)
  })

  test('tail and an archive follow a failover, and take nothing from the old master', async () => {
    const before = await master()
    const archive = join(dir, `archive-${family}`)
    const watching = spawnRrep(['tail', address, '--json'], { stdout: 'keep' })
    const keeping = spawnRrep(['tail', address, '-o', archive, '--json'], { stdout: 'keep' })
    running.push(watching, keeping)
    await waitFor(() => keeping.out().includes('"full-resync"'), { what: 'the archive' })
    await waitFor(
      async () => {
        await before.client.incr('before')
        return watching.out().includes('"before"')
      },
      {
        what: `the write: ${watching.err()}`,
      },
    )
    await sentinels.failover()
    const after = await master()
    expect(after).not.toBe(before)
    await waitFor(
      async () => {
        await after.client.incr('after')
        return watching.out().includes('"after"')
      },
      { what: `a write of the new master: ${watching.err()}` },
    )
    const held = async (): Promise<number> => {
      const built = await runCli(['export', archive, '--match', 'after', '-o', '-'])
      return built.out === '' ? 0 : Number((JSON.parse(built.out) as { value: string }).value)
    }
    const wanted = Number(await after.client.get('after'))
    await waitFor(async () => (await held()) >= wanted, { what: 'the archive to have it' })
  })

  test('a master that is frozen and thawed is left, though its line was never lost', async () => {
    const before = await master()
    const replica = servers.find((each) => each !== before)!
    await synced(replica, before)
    const watching = spawnRrep(['tail', address, '--json', '--timeout', '60s'], { stdout: 'keep' })
    running.push(watching)
    await waitFor(
      async () => {
        await before.client.incr('early')
        return watching.out().includes('"early"')
      },
      { what: `the stream: ${watching.err()}` },
    )
    process.kill(before.pid, 'SIGSTOP')
    try {
      await sentinels.untilNot(before.port)
    } finally {
      process.kill(before.pid, 'SIGCONT')
    }
    await waitFor(
      async () => {
        await replica.client.incr('late')
        return watching.out().includes('"late"')
      },
      { what: `a write of the new master: ${watching.err()}` },
    )
    expect(await replica.client.info('replication')).toContain('role:master')
  })

  test('a live replay ends as the same as the new master, or says that it cannot', async () => {
    const now = await master()
    const replica = servers.find((each) => each !== now)!
    await synced(replica, now)
    const target = `127.0.0.1:${other.port}`
    const moving = spawnRrep(['replay', address, target, '--until-quiet', '--verify', '--json'])
    running.push(moving)
    await moving.ended
    expect(moving.child.exitCode).toBe(0)
    expect(await digest(other)).toBe(await digest(await master()))
  })

  test('one of three Sentinels, alone, names nobody: it may have been cut off', async () => {
    sentinels.pauseOthers()
    const file = join(dir, 'minority.rdb')
    const asked = await runCli(['sync', address, '-o', file, '--retries', '0'])
    expect([asked.code, asked.err]).toEqual([3, expect.stringContaining('1 of 3 Sentinels')])
  })
})
