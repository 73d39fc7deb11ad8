/**
 * `replay` of the file A into a cluster of three masters, against the same into one server: at least as fast,
 * with an own CPU time of at most 0.4 of the wall time.
 */
import { startCluster } from '../helpers/cluster.js'
import { serverBinary, startServer } from '../helpers/servers.js'
import { benchData, pairwise, RREP } from './harness.js'

const MAX_CPU_SHARE = 0.4

export async function run(): Promise<void> {
  const rdb = await benchData('A')
  const server = await startServer()
  const cluster = await startCluster(serverBinary('redis-7.0') ?? server.binary, {
    masters: 3,
    replicas: 0,
  })
  const empty = async (): Promise<void> => {
    for (const { client } of [server, ...cluster.masters]) await client.flushall()
  }
  const replay = (port: number): string[] => [...RREP, 'replay', rdb, `127.0.0.1:${port}`, '-q']
  try {
    const { ours } = await pairwise(
      'A into a cluster of three',
      { name: 'a cluster', argv: replay(cluster.masters[0]!.port), before: empty },
      { name: 'one server', argv: replay(server.port), before: empty },
      { runs: 2, targetRatio: 1 },
    )
    const share = ours.cpuMs / ours.wallMs
    console.log(
      `  own CPU ${share.toFixed(2)} of the wall time (at most ${MAX_CPU_SHARE}): ` +
        `${share <= MAX_CPU_SHARE ? 'met' : 'MISSED'}, ` +
        `memory ${(ours.peakRssBytes / 2 ** 20).toFixed(0)} MB`,
    )
  } finally {
    await server.stop()
    await cluster.stop()
  }
}
