/**
 * The relay: four readers of one snapshot against a redis-server replica that feeds the same four;
 * the stream passed on, in MB for each second of CPU; the delay that a hop adds.
 */
import { Redis } from 'ioredis'
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startServeProcess } from '../helpers/serve-process.js'
import { startServer, waitFor } from '../helpers/servers.js'
import { benchData, median } from './harness.js'
import { followStream, readSnapshots, startBlaster } from './serve-peers.lib.js'

const READERS = 4
const RUNS = 3
const STREAM_BYTES = 2_000_000_000
const DELAY_SAMPLES = 2000

export async function run(): Promise<void> {
  await snapshots()
  await passThrough()
  await delay()
}

export async function snapshots(): Promise<void> {
  const dump = await benchData('D')
  const dir = mkdtempSync(join(tmpdir(), 'rrep-bench-serve-'))
  copyFileSync(dump, join(dir, 'dump.rdb'))
  const master = await startServer({ dir, args: ['--repl-backlog-size', '64mb'] })
  try {
    await waitFor(async () => !(await master.client.info('persistence')).includes('loading:1'), {
      what: 'the master to load',
      timeoutMs: 120_000,
    })
    const relay = await startServeProcess([`127.0.0.1:${master.port}`, '--listen', '127.0.0.1:0'])
    await waitFor(() => relay.count('upstream-snapshot') === 1, {
      what: 'the relay to have the snapshot',
      timeoutMs: 180_000,
    })
    const replica = await startServer({ args: ['--replicaof', `127.0.0.1 ${master.port}`] })
    await waitFor(
      async () => (await replica.client.info('replication')).includes('link_status:up'),
      {
        what: 'the replica',
        timeoutMs: 240_000,
      },
    )
    const ours: number[] = []
    const theirs: number[] = []
    const ourWaits: number[] = []
    const theirWaits: number[] = []
    for (let turn = 0; turn < RUNS; turn += 1) {
      const one = await readSnapshots(relay.port, READERS)
      const other = await readSnapshots(replica.port, READERS)
      ours.push(one.bytes / 1e6 / (one.transferMs / 1000))
      theirs.push(other.bytes / 1e6 / (other.transferMs / 1000))
      ourWaits.push(one.waitMs)
      theirWaits.push(other.waitMs)
    }
    const ratio = median(ours.map((each, index) => each / theirs[index]!))
    console.log(
      `${READERS} readers of D: relay ${median(ours).toFixed(0)} MB/s after ${median(ourWaits).toFixed(0)} ms, ` +
        `redis-server replica ${median(theirs).toFixed(0)} MB/s after ${median(theirWaits).toFixed(0)} ms, ` +
        `ratio ${ratio.toFixed(2)} (wanted: 0.8 or more); relay peak ${(relay.peakRssBytes() / 1048576).toFixed(0)} MiB`,
    )
    await replica.stop()
    await relay.kill()
  } finally {
    await master.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}

export async function passThrough(): Promise<void> {
  for (const readers of [1, 4]) {
    const blaster = await startBlaster(STREAM_BYTES)
    const relay = await startServeProcess([
      ...[`127.0.0.1:${blaster.port}`, '--listen', '127.0.0.1:0'],
      ...['--backlog', '256mb', '--replica-limit', '2gb'],
    ])
    const links = await Promise.all(
      Array.from({ length: readers }, async () => await followStream(relay.port)),
    )
    await waitFor(() => links.some((link) => link.bytes > 0), { what: 'the stream' })
    const cpuMs = relay.cpuMs()
    const startedMs = performance.now()
    await waitFor(() => links.every((link) => link.bytes >= STREAM_BYTES), {
      what: 'the end of the stream',
      timeoutMs: 120_000,
    })
    const wallMs = performance.now() - startedMs
    const usedMs = relay.cpuMs() - cpuMs
    console.log(
      `stream to ${readers}: ${(STREAM_BYTES / 1e3 / wallMs).toFixed(0)} MB/s, ` +
        `${(STREAM_BYTES / 1e3 / usedMs).toFixed(0)} MB for each second of CPU (wanted: 200); ` +
        `peak ${(relay.peakRssBytes() / 1048576).toFixed(0)} MiB`,
    )
    for (const link of links) link.close()
    await relay.kill()
    blaster.stop()
  }
}

export async function delay(): Promise<void> {
  const master = await startServer({ args: ['--repl-diskless-sync', 'no'] })
  const relay = await startServeProcess([`127.0.0.1:${master.port}`, '--listen', '127.0.0.1:0'])
  await waitFor(() => relay.count('upstream-snapshot') === 1, { what: 'the relay' })
  const direct = await followStream(master.port)
  const behind = await followStream(relay.port)
  const arrivals = [direct, behind].map((link) => {
    const at: number[] = []
    link.onBytes = (bytes) => {
      if (bytes.includes('delay-mark')) at.push(performance.now())
    }
    return at
  })
  const client = new Redis({ port: master.port, host: '127.0.0.1' })
  const delays: number[] = []
  for (let sample = 0; sample < DELAY_SAMPLES; sample += 1) {
    await client.set('delay-mark', sample)
    await waitForCount(arrivals[0]!, sample + 1)
    await waitForCount(arrivals[1]!, sample + 1)
    delays.push(arrivals[1]![sample]! - arrivals[0]![sample]!)
  }
  const sorted = [...delays].sort((left, right) => left - right)
  console.log(
    `delay added by a hop: median ${median(delays).toFixed(3)} ms (wanted: under 1), ` +
      `99% ${sorted[Math.floor(sorted.length * 0.99)]!.toFixed(3)} ms, ${DELAY_SAMPLES} writes`,
  )
  client.disconnect()
  direct.close()
  behind.close()
  await relay.kill()
  await master.stop()
}

async function waitForCount(list: readonly number[], count: number): Promise<void> {
  while (list.length < count) await new Promise((resolve) => setImmediate(resolve))
}
