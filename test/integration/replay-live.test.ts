/**
 * Live migrations between real servers: under writes, with links cut on both sides, the target
 * restarted, rrep killed and started again; keys whose time runs out while the load is slow.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { replay, type ReplayEvent, type ReplayCall } from '../../src/verbs/replay/run.js'
import { makeServerSettings } from '../../src/net/make-server-settings.js'
import { startProxy, type CuttingProxy } from '../helpers/cutting-proxy.js'
import { startWriter } from '../helpers/relay-fleet.js'
import { spawnRrep } from '../helpers/rrep-process.js'
import { digest, serverBinary, startServer, waitFor, type TestServer } from '../helpers/servers.js'

const start = ({ source, target, ...rest }: ReplayCall): ReturnType<typeof replay> =>
  replay(source, target, rest)

const settings = (port: number): ReturnType<typeof makeServerSettings> =>
  makeServerSettings(`127.0.0.1:${port}`)

describe('replay of a live server', () => {
  let source: TestServer
  let target: TestServer
  let dir: string
  let proxies: CuttingProxy[]

  beforeEach(async () => {
    dir = mkdtempSync(join(tmpdir(), 'rrep-live-'))
    source = await startServer({ args: ['--repl-backlog-size', '64mb'] })
    target = await startServer({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
    proxies = []
  })
  afterEach(async () => {
    for (const proxy of proxies) await proxy.stop()
    await source.stop()
    await target.stop()
    rmSync(dir, { recursive: true, force: true })
  })

  const proxied = async (server: TestServer): Promise<CuttingProxy> => {
    const proxy = await startProxy(server.port)
    proxies.push(proxy)
    return proxy
  }
  const options = (extra: Partial<ReplayCall> = {}): ReplayCall => ({
    source: { kind: 'server', server: settings(source.port) },
    target: settings(target.port),
    untilQuiet: true,
    spoolDir: join(dir, 'spool'),
    ...extra,
  })

  test('--until TIME takes what was received before, and not what came later', async () => {
    const sentMs: number[] = []
    let stopped = false
    const writing = (async () => {
      while (!stopped) {
        const now = Date.now()
        await source.client.multi().set('time', now).set('again', now).exec()
        sentMs.push(now)
      }
    })()
    try {
      const untilMs = Date.now() + 2000
      const result = await start(options({ untilQuiet: false, until: { unixMs: untilMs } }))
      expect(result).toMatchObject({ complete: true, stopped: false })
      const last = Number(await target.client.get('time'))
      // The spool notes times of arrival 5 ms apart.
      expect(last).toBeLessThanOrEqual(untilMs + 5)
      expect(last).toBeGreaterThanOrEqual(sentMs.findLast((each) => each < untilMs - 1000)!)
      expect(Number(await target.client.get('again'))).toBe(last)
      await waitFor(() => sentMs.at(-1)! > untilMs, { what: 'later writes' })
    } finally {
      stopped = true
      await writing
    }
    const past = start(options({ until: { unixMs: Date.now() - 1 } }))
    await expect(past).rejects.toMatchObject({ code: 'ERR_USAGE' })
  })

  test('--until TIME ends a run whose source is quiet', async () => {
    await source.client.set('a', '1')
    const untilMs = Date.now() + 1500
    await start(options({ untilQuiet: false, until: { unixMs: untilMs } }))
    expect(Date.now()).toBeGreaterThan(untilMs)
    expect(await target.client.get('a')).toBe('1')
  })

  test('ends when both are the same, and leaves nothing behind', async () => {
    const writer = startWriter(source.port, 2000)
    await waitFor(() => writer.writes > 1000, { what: 'some writes' })
    const events: string[] = []
    const running = start(options({ onEvent: ({ event }: ReplayEvent) => events.push(event) }))
    await waitFor(() => writer.writes > 6000, { what: 'more writes' })
    await writer.stop()
    const result = await running
    expect(result.complete).toBe(true)
    expect(events).toEqual(expect.arrayContaining(['snapshot', 'loaded', 'caught-up', 'synced']))
    expect(await digest(target)).toBe(await digest(source))
    expect(await target.client.exists('rrep:checkpoint')).toBe(0)
    // Times are the real ones again.
    const at = await source.client.call('PEXPIRETIME', 'expiring:3')
    expect(Number(at)).toBeGreaterThan(Date.now())
    expect(await target.client.call('PEXPIRETIME', 'expiring:3')).toBe(at)
  })

  test('links cut on both sides lose nothing and double nothing', async () => {
    const up = await proxied(source)
    const down = await proxied(target)
    const writer = startWriter(source.port, 3000)
    const running = start(
      options({
        source: { kind: 'server', server: settings(up.port) },
        target: settings(down.port),
        retries: 20,
      }),
    )
    await waitFor(async () => (await target.client.exists('rrep:checkpoint')) === 1, {
      what: 'the load to begin',
    })
    for (let cut = 0; cut < 6; cut += 1) {
      const before = writer.writes
      await waitFor(() => writer.writes > before + 1000, { what: 'writes between cuts' })
      if (cut % 2 === 0) down.cut()
      else up.cut()
    }
    await writer.stop()
    const result = await running
    expect(result.ledger.failures).toEqual([])
    expect(await target.client.get('counter')).toBe(await source.client.get('counter'))
    expect(await digest(target)).toBe(await digest(source))
  })

  test('a restart of the target, and kills of rrep, lose nothing and double nothing', async () => {
    const args = [
      ...['replay', `127.0.0.1:${source.port}`, `127.0.0.1:${target.port}`, '--until-quiet'],
      ...['--spool-dir', join(dir, 'spool'), '--retries', '20'],
    ]
    const applied = async (): Promise<number> =>
      Number((await target.client.hget('rrep:checkpoint', 'offset').catch(() => '0')) ?? 0)
    const advances = async (): Promise<void> => {
      const before = await applied()
      await waitFor(async () => (await applied()) > before + 50_000, {
        what: 'the target to follow',
      }).catch((error: unknown) => {
        throw new Error(`${String(error)}; rrep said: ${rrep.err()}`)
      })
    }
    const writer = startWriter(source.port, 3000)
    let rrep = spawnRrep(args)
    for (let round = 0; round < 2; round += 1) {
      await advances()
      rrep.child.kill('SIGKILL')
      await rrep.ended
      rrep = spawnRrep(args)
    }
    await advances()
    await target.restart()
    await advances()
    await writer.stop()
    const { code, err } = await rrep.ended
    expect(err).toContain('the same at offset')
    expect(code).toBe(0)
    expect(await target.client.get('counter')).toBe(await source.client.get('counter'))
    expect(await digest(target)).toBe(await digest(source))
  })

  test('stopped by SIGINT it keeps its place, and the same call goes on from there', async () => {
    await source.client.set('a', '1', 'EX', 1000)
    const stop = new AbortController()
    const running = start(options({ untilQuiet: false, signal: stop.signal }))
    await source.client.incr('n')
    await waitFor(async () => (await target.client.get('n')) === '1', { what: 'the stream' })
    stop.abort('SIGINT')
    const first = await running
    expect(first).toMatchObject({ stopped: true, complete: true })
    expect(await target.client.ttl('a')).toBeLessThanOrEqual(1000)
    await source.client.incr('n')
    const second = await start(options())
    expect(second.ledger.keys.read).toBe(0)
    expect(await target.client.get('n')).toBe('2')
    expect(await target.client.call('PEXPIRETIME', 'a')).toBe(
      await source.client.call('PEXPIRETIME', 'a'),
    )
    expect(await digest(target)).toBe(await digest(source))
  })

  for (const prefix of ['redis-7.0', 'valkey-9']) {
    test(`keys renewed each second during a slow load are all there (${prefix})`, async ({
      skip,
    }) => {
      const binary = serverBinary(prefix)
      if (binary === undefined) return skip(`no ${prefix} on this machine`)
      const other = await startServer({ binary })
      try {
        for (let i = 0; i < 40; i += 1) {
          await source.client.set(`filler:${i}`, randomText(100_000))
        }
        const renew = async (): Promise<void> => {
          const pipeline = source.client.pipeline()
          for (let i = 0; i < 200; i += 1) pipeline.expire(`short:${i}`, 2 + (i % 4))
          await pipeline.exec()
        }
        for (let i = 0; i < 200; i += 1) await source.client.set(`short:${i}`, i, 'EX', 5)
        await renew()
        const timer = setInterval(() => void renew(), 500)
        const began = performance.now()
        const running = start(
          options({
            target: settings(other.port),
            rateBytesPerSecond: 400_000,
            untilQuiet: false,
            until: undefined,
            signal: stopWhenCaughtUp(),
            onEvent: noteCaughtUp,
          }),
        )
        const result = await running
        clearInterval(timer)
        expect(performance.now() - began).toBeGreaterThan(6000)
        expect(result.ledger.keys.expired).toBe(0)
        const keys = await other.client.keys('short:*')
        expect(keys.length).toBe(200)
        expect(Math.max(...(await ttls(other, keys)))).toBeLessThanOrEqual(5000)
      } finally {
        await other.stop()
      }
    }, 60_000)
  }

  let caughtUp = new AbortController()
  function stopWhenCaughtUp(): AbortSignal {
    caughtUp = new AbortController()
    return caughtUp.signal
  }
  function noteCaughtUp(event: ReplayEvent): void {
    if (event.event === 'caught-up') caughtUp.abort('SIGINT')
  }
})

async function ttls(server: TestServer, keys: readonly string[]): Promise<number[]> {
  return await Promise.all(keys.map(async (key) => await server.client.pttl(key)))
}

function randomText(size: number): string {
  let text = ''
  while (text.length < size) text += Math.random().toString(36).slice(2)
  return text.slice(0, size)
}
