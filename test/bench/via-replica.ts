/**
 * `replay --via-replica` of the files A and B into an empty server, against what the server takes to load
 * the same file itself (a start on it, until it answers: at most 1.15 of that, our start-up included),
 * and of A against `redis-cli --pipe` with ready-made RESTOREs (at most 0.5).
 * `RREP_BENCH_VIA=A` or `=B` takes one file.
 */
import { spawnSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startServer } from '../helpers/servers.js'
import { benchData, pairwise, RREP } from './harness.js'
import { makeRestores } from './replay.js'

const PORT = 27_631
/** Starts a server on the file and waits until it answers. */
const OWN_LOAD = `
redis-server --port ${PORT} --bind 127.0.0.1 --dir "$1" --save '' >/dev/null 2>&1 &
until redis-cli -p ${PORT} ping 2>/dev/null | grep -q PONG; do sleep 0.01; done`

export async function run(): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-bench-via-'))
  const target = await startServer()
  const address = `127.0.0.1:${target.port}`
  const empty = async (): Promise<void> => {
    endOwn()
    await target.client.flushall('SYNC')
  }
  try {
    for (const kind of ['A', 'B'] as const) {
      if ((process.env['RREP_BENCH_VIA'] ?? kind) !== kind) continue
      const rdb = await benchData(kind)
      copyFileSync(rdb, join(dir, 'dump.rdb'))
      const ours = {
        name: 'rrep --via-replica',
        argv: [...RREP, 'replay', rdb, address, '--via-replica', '-q'],
        env: { XDG_STATE_HOME: join(dir, 'state') },
        before: empty,
      }
      await pairwise(
        `${kind}: its own load`,
        ours,
        { name: 'redis-server', argv: ['sh', '-c', OWN_LOAD, 'sh', dir], before: empty },
        { runs: 3, targetRatio: 1.15 },
      )
      endOwn()
      const protocol = join(dir, 'restores.resp')
      await makeRestores(rdb, protocol, target)
      await pairwise(
        `${kind}: a pipeline`,
        ours,
        {
          name: 'redis-cli --pipe',
          argv: ['sh', '-c', `redis-cli -p ${target.port} --pipe < ${protocol}`],
          before: empty,
        },
        { runs: 2, ...(kind === 'A' ? { targetRatio: 0.5 } : {}) },
      )
      await pairwise(
        `${kind}: over connections`,
        ours,
        { name: 'rrep replay', argv: [...RREP, 'replay', rdb, address, '-q'], before: empty },
        { runs: 2 },
      )
      rmSync(protocol)
    }
  } finally {
    endOwn()
    await target.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}

function endOwn(): void {
  spawnSync('redis-cli', ['-p', String(PORT), 'shutdown', 'nosave'], { stdio: 'ignore' })
}
