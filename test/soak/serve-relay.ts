/**
 * A relay under 20,000 writes a second with eight replicas, two of them chained behind others;
 * its upstream cut 30 times, its replicas cut 30 times, itself killed and started again five
 * times; at last the master killed, a replica promoted, and everybody made to follow it.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { startProxy } from '../helpers/cutting-proxy.js'
import { startReplicas, startWriter } from '../helpers/relay-fleet.js'
import { startServeProcess, type ServeProcess } from '../helpers/serve-process.js'
import { digest, freePort, startServer, waitFor, type TestServer } from '../helpers/servers.js'
import { parseInfo, replicationInfo, syncCounts } from '../helpers/serving.js'

const WRITES_PER_SECOND = 20_000
const CUTS = 30
const KILLS = 5

export async function run(): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-soak-relay-'))
  const servers: TestServer[] = []
  const relays: ServeProcess[] = []
  const master = await startServer({ args: ['--repl-backlog-size', '256mb'] })
  servers.push(master)
  const upstream = await startProxy(master.port)
  const sourceFile = join(dir, 'upstream')
  writeFileSync(sourceFile, `127.0.0.1:${upstream.port}\n`)
  const port = await freePort()
  const args = [
    ...['--source-file', sourceFile, '--listen', `127.0.0.1:${port}`],
    ...['--backlog-dir', join(dir, 'backlog'), '--backlog', '512mb'],
  ]
  const startRelay = async (): Promise<ServeProcess> => {
    const relay = await startServeProcess(args)
    relays.push(relay)
    return relay
  }
  const downstream = await startProxy(port)
  try {
    await master.client.call('DEBUG', 'POPULATE', '100000')
    let relay = await startRelay()
    const direct = await startReplicas(6, downstream.port)
    servers.push(...direct)
    servers.push(...(await startReplicas(1, direct[0]!.port)))
    servers.push(...(await startReplicas(1, direct[1]!.port)))
    const replicas = servers.slice(1)
    await waitFor(() => relay.count('replica-online') === 6, {
      what: 'six replicas',
      timeoutMs: 60_000,
    })

    const writer = startWriter(master.port, WRITES_PER_SECOND)
    await waitFor(() => writer.writes > 200_000, { what: 'writes', timeoutMs: 120_000 })
    await writer.stop()
    await expectSame(master, replicas)
    const { fields } = await replicationInfo(master)
    const stats = parseInfo(await master.client.info('stats'))
    const streamed = Number(fields.get('master_repl_offset'))
    console.log(
      `${writer.writes} writes at ${writer.rate.toFixed(0)}/s: 8 digests equal; master saw ` +
        `${fields.get('connected_slaves')!} replica and ${stats.get('sync_full')!} full resync, sent ` +
        `${upstream.downBytes} bytes for ${streamed} of stream`,
    )
    assert.equal(fields.get('connected_slaves'), '1')
    assert.equal(stats.get('sync_full'), '1')

    await cuts(master, replicas, upstream, downstream, () => relay)
    for (let kill = 0; kill < KILLS; kill += 1) {
      const more = startWriter(master.port, WRITES_PER_SECOND / 2)
      await waitFor(() => more.writes > 10_000, { what: 'writes', timeoutMs: 60_000 })
      await relay.kill('SIGKILL')
      relay = await startRelay()
      await waitFor(() => relay.count('replica-online') >= 6, {
        what: 'replicas back',
        timeoutMs: 60_000,
      })
      await more.stop()
      assert.equal(relay.count('full-resync'), 0)
    }
    await expectSame(master, replicas)
    assert.equal((await syncCounts(master)).full, 1)
    console.log(`killed and started again ${KILLS} times: digests equal, no full resync of anybody`)

    await promote(master, replicas, relay, sourceFile)
  } finally {
    for (const relay of relays) await relay.kill('SIGKILL')
    await upstream.stop()
    await downstream.stop()
    for (const server of servers) await server.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}

async function cuts(
  master: TestServer,
  replicas: readonly TestServer[],
  upstream: { cut(): void },
  downstream: { cut(): void },
  relay: () => ServeProcess,
): Promise<void> {
  const writer = startWriter(master.port, WRITES_PER_SECOND / 2)
  for (let round = 1; round <= CUTS; round += 1) {
    const writes = writer.writes
    await waitFor(() => writer.writes > writes + 2000, { what: 'writes', timeoutMs: 60_000 })
    upstream.cut()
    downstream.cut()
    await waitFor(() => relay().count('upstream-continued') >= round, {
      what: `the relay to continue (${round})`,
      timeoutMs: 60_000,
    })
    await waitFor(() => relay().count('partial-resync') >= 6 * round, {
      what: `the replicas to continue (${round})`,
      timeoutMs: 60_000,
    })
  }
  await writer.stop()
  await expectSame(master, replicas)
  const full = relay().count('full-resync')
  assert.equal(full, 6)
  assert.equal((await syncCounts(master)).full, 1)
  console.log(
    `${CUTS} cuts upstream and ${CUTS} of all replicas: digests equal, partial resyncs only`,
  )
}

/** The master dies; the first write is accepted by a promoted replica; all follow it. */
async function promote(
  master: TestServer,
  replicas: readonly TestServer[],
  relay: ServeProcess,
  sourceFile: string,
): Promise<void> {
  // Direct ones are the first six; the promoted one has nobody behind it.
  const promoted = replicas[5]!
  const others = replicas.filter((each) => each !== promoted)
  const startedMs = performance.now()
  await master.kill()
  const client = new Redis({ port: promoted.port, host: '127.0.0.1' })
  await client.call('REPLICAOF', 'NO', 'ONE')
  await client.set('first write', 'after the promotion')
  const acceptedMs = performance.now() - startedMs
  writeFileSync(sourceFile, `127.0.0.1:${promoted.port}\n`)
  relay.signal('SIGHUP')
  await waitFor(() => relay.count('upstream-renamed') === 1, { what: 'the relay to follow' })
  await replicas[2]!.client.call('REPLICAOF', '127.0.0.1', String(promoted.port))
  const renamedMs = performance.now() - startedMs
  await expectSame(promoted, others)
  const { full, partial } = await syncCounts(promoted)
  assert.equal(full, 0)
  assert.equal(relay.count('full-resync'), 0)
  client.disconnect()
  console.log(
    `master killed: first write accepted by the promoted replica after ${acceptedMs.toFixed(0)} ms, ` +
      `relay follows after ${renamedMs.toFixed(0)} ms; ${partial} partial resyncs, no full one; digests equal`,
  )
}

async function expectSame(master: TestServer, replicas: readonly TestServer[]): Promise<void> {
  for (const replica of replicas) {
    await waitFor(
      async () => {
        const [ahead, behind] = await Promise.all([
          replicationInfo(master),
          replicationInfo(replica),
        ])
        return behind.linkUp && behind.replOffset >= ahead.replOffset
      },
      { what: `replica ${replica.port} to catch up`, timeoutMs: 90_000 },
    )
  }
  const wanted = await digest(master)
  for (const replica of replicas) assert.equal(await digest(replica), wanted)
}
