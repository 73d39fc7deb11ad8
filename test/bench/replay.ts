/**
 * `replay` of the files A and B into a local server, by RESTORE and by commands, against `redis-cli
 * --pipe` with a ready-made protocol file of the same content in the same form. The target is the
 * limit: our wall time is to be at most 1.05 of its, our own CPU at most a quarter of the wall time,
 * our memory under 120 MB. `RREP_BENCH_REPLAY=A` or `=B` takes one file.
 */
import { spawnSync } from 'node:child_process'
import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { walkRdb } from '../../src/source/read-rdb.js'
import { OutputBuffer } from '../../src/bytes/output-buffer.js'
import { CommandWriter } from '../../src/rewrite/command-writer.js'
import { KeyRewriter } from '../../src/rewrite/key-rewriter.js'
import { parseServerVersion, targetCapabilities } from '../../src/servers/capabilities.js'
import { startServer, type TestServer } from '../helpers/servers.js'
import { benchData, pairwise, RREP } from './harness.js'

const MAX_RSS_BYTES = 120 << 20
const MAX_CPU_SHARE = 0.25
const WRITE_BYTES = 1 << 20

export async function run(): Promise<void> {
  const target = await startServer()
  const address = `127.0.0.1:${target.port}`
  const empty = async (): Promise<void> => {
    await target.client.flushall()
  }
  try {
    for (const kind of ['A', 'B'] as const) {
      if ((process.env['RREP_BENCH_REPLAY'] ?? kind) !== kind) continue
      const rdb = await benchData(kind)
      for (const [name, restore] of [
        ['RESTORE', 'always'],
        ['commands', 'never'],
      ] as const) {
        const protocol = join(tmpdir(), `rrep-bench-replay-${kind}-${restore}.resp`)
        try {
          if (restore === 'always') await makeRestores(rdb, protocol, target)
          else makeCommands(rdb, protocol)
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
            `  own CPU ${share.toFixed(2)} of the wall time (at most ${MAX_CPU_SHARE}): ` +
              `${share <= MAX_CPU_SHARE ? 'met' : 'MISSED'}, ` +
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

/** The content as commands, as `--pipe` users have it. */
function makeCommands(rdb: string, protocol: string): void {
  const made = spawnSync(RREP[0], [RREP[1], 'export', rdb, '--format', 'resp', '-o', protocol], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  if (made.status !== 0) throw new Error(`rrep export ended with ${made.status}`)
}

/** The content as one RESTORE a key, with payloads that this target takes. */
export async function makeRestores(
  rdb: string,
  protocol: string,
  { binary }: Pick<TestServer, 'binary'>,
): Promise<void> {
  const fd = openSync(protocol, 'w', 0o600)
  try {
    const out = new OutputBuffer((bytes) => void writeSync(fd, bytes), WRITE_BYTES)
    const target = targetCapabilities(binary.family, parseServerVersion(binary.version))
    const writer = new CommandWriter(out)
    await walkRdb(rdb, new KeyRewriter({ target, writer, restore: 'always', conflict: 'ignore' }))
    out.flush()
  } finally {
    closeSync(fd)
  }
}
