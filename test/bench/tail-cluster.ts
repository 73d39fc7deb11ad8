/**
 * `tail --cluster -o` of three shards that are written to at 20,000 commands a second each, for 20 seconds:
 * what it costs, by user and system time of its process over the time that passed. Target: 0.5 of a core.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encodeCommand } from '../../src/resp/encoder.js'
import { slotSet, tagIn } from '../../src/topology/key-slot.js'
import { startCluster, type ClusterNode } from '../helpers/cluster.js'
import { RestartingRrep } from '../helpers/restarting-rrep.js'
import { serverBinary, waitFor } from '../helpers/servers.js'
import { median } from './harness.js'

const WRITES_PER_SECOND = 20_000
const SECONDS = Number(process.env['BENCH_SECONDS'] ?? 20)
const RUNS = Number(process.env['BENCH_RUNS'] ?? 3)
const TICKS_PER_SECOND = 100
const BLOCK = 100

export async function run(): Promise<void> {
  const cores: number[] = []
  for (let i = 0; i < RUNS; i += 1) cores.push(await once())
  console.log(
    `tail --cluster -o, 3 shards at ${WRITES_PER_SECOND} writes/s each: ` +
      `${median(cores).toFixed(2)} of a core (${cores.map((each) => each.toFixed(2)).join(', ')})`,
  )
}

async function once(): Promise<number> {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-bench-cluster-'))
  const cluster = await startCluster(serverBinary('redis-7.0')!, { masters: 3, replicas: 0 })
  const rrep = new RestartingRrep(
    ...['tail', '--cluster', `127.0.0.1:${cluster.masters[0]!.port}`, '-o', join(dir, 'archive')],
    '--json',
  )
  const writers = cluster.masters.map((node, i) => new RawWriter(node, i))
  try {
    rrep.start()
    await waitFor(() => rrep.said.split('"event":"snapshot"').length > 3, {
      what: 'three snapshots',
    })
    for (const writer of writers) writer.start()
    await pass(2000)
    const [beforeMs, before] = [performance.now(), cpuSecondsOf(rrep.pid)]
    const sent = writers.map(({ count }) => count)
    const kept = bytesIn(dir)
    await pass(SECONDS * 1000)
    const seconds = (performance.now() - beforeMs) / 1000
    const cores = (cpuSecondsOf(rrep.pid) - before) / seconds
    const rates = writers.map(({ count }, i) => Math.round((count - sent[i]!) / seconds))
    const mbps = (bytesIn(dir) - kept) / seconds / 1e6
    console.log(
      `  ${cores.toFixed(2)} of a core at ${rates.join(', ')} writes/s, ${mbps.toFixed(1)} MB/s kept`,
    )
    return cores
  } finally {
    for (const writer of writers) writer.stop()
    rrep.kill()
    await cluster.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}

/** The same block of writes again and again, at the rate; what is answered is not looked at. */
class RawWriter {
  count = 0
  readonly #socket
  readonly #block: Buffer
  #timer: NodeJS.Timeout | undefined

  constructor(node: ClusterNode, shard: number) {
    this.#socket = connect(node.port, '127.0.0.1')
    this.#socket.on('error', () => undefined)
    const tag = tagIn(slotSet([[shard * 5462, shard * 5462]]))
    const writes = Array.from({ length: BLOCK }, (_, i) =>
      encodeCommand('SET', `key:{${tag}}:${String(i).padStart(6, '0')}`, 'v'.repeat(26)),
    )
    this.#block = Buffer.concat(writes)
    this.#socket.write(encodeCommand('CLIENT', 'REPLY', 'OFF'))
    this.#socket.resume()
  }

  start(): void {
    const startedMs = performance.now()
    this.#timer = setInterval(() => {
      const due = ((performance.now() - startedMs) / 1000) * WRITES_PER_SECOND
      while (this.count + BLOCK <= due) {
        this.#socket.write(this.#block)
        this.count += BLOCK
      }
    }, 5)
  }

  stop(): void {
    clearInterval(this.#timer)
    this.#socket.destroy()
  }
}

function bytesIn(dir: string): number {
  const names = readdirSync(dir, { recursive: true, encoding: 'utf8' })
  return names.reduce((sum, name) => sum + statSync(join(dir, name)).size, 0)
}

/** User and system time of all its threads. */
function cpuSecondsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

async function pass(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms))
}
