/**
 * `replay` of the files A and B into a local server, against `redis-cli --pipe` with a ready-made
 * protocol file of the same content. The target is the limit: our wall time is to be at most 1.05
 * of its, our own CPU at most a quarter of the wall time, our memory under 120 MB.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startServer } from '../helpers/servers.js'
import { benchData, pairwise, RREP } from './harness.js'

const MAX_RSS_BYTES = 120 << 20

export async function run(): Promise<void> {
  const target = await startServer()
  const address = `127.0.0.1:${target.port}`
  const empty = async (): Promise<void> => {
    await target.client.flushall()
  }
  try {
    for (const kind of ['A', 'B'] as const) {
      const rdb = await benchData(kind)
      for (const [name, restore] of [
        ['RESTORE', 'always'],
        ['commands', 'never'],
      ] as const) {
        const protocol = join(tmpdir(), `rrep-bench-replay-${kind}-${restore}.resp`)
        try {
          if (!existsSync(protocol)) await makeProtocol(rdb, protocol)
          const result = await pairwise(
            `${kind} by ${name}`,
            {
              name: 'rrep replay',
              argv: [...RREP, 'replay', rdb, address, '--restore', restore, '-q'],
              before: empty,
            },
            {
              name: 'redis-cli --pipe',
              argv: ['sh', '-c', `redis-cli -p ${target.port} --pipe < ${protocol}`],
              before: empty,
            },
            { runs: 2, targetRatio: 1.05 },
          )
          const { ours } = result
          const share = ours.cpuMs / ours.wallMs
          console.log(
            `  own CPU ${share.toFixed(2)} of the wall time (at most 0.25), ` +
              `memory ${(ours.peakRssBytes / 2 ** 20).toFixed(0)} MB ` +
              `(${ours.peakRssBytes < MAX_RSS_BYTES ? 'met' : 'MISSED'}: under 120)`,
          )
        } finally {
          rmSync(protocol, { force: true })
        }
      }
    }
  } finally {
    await target.stop()
  }
}

/** The same content as RESP, for redis-cli: as commands, which is what --pipe users have. */
async function makeProtocol(rdb: string, protocol: string): Promise<void> {
  const made = spawnSync(RREP[0], [RREP[1], 'export', rdb, '--format', 'resp', '-o', protocol], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  if (made.status !== 0) throw new Error(`rrep export ended with ${made.status}`)
  await Promise.resolve()
}
