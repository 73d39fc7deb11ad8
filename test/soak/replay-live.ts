/**
 * A live migration under 20,000 writes a second for half a minute: links cut on both sides, the
 * target restarted, or killed with the end of its append-only file lost, rrep killed and started
 * again, over and over; at the end both are the same.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startProxy } from '../helpers/cutting-proxy.js'
import { startWriter } from '../helpers/relay-fleet.js'
import { spawnRrep } from '../helpers/rrep-process.js'
import { digest, startServer, waitFor, type TestServer } from '../helpers/servers.js'

const WRITES_PER_SECOND = 20_000
const FAULTS = 15
const BETWEEN_FAULTS_MS = 2500

export async function run(): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-soak-'))
  const source = await startServer({ args: ['--repl-backlog-size', '512mb'] })
  const target = await startServer({ args: ['--appendonly', 'yes', '--appendfsync', 'everysec'] })
  const up = await startProxy(source.port)
  const down = await startProxy(target.port)
  const args = [
    ...['replay', `127.0.0.1:${up.port}`, `127.0.0.1:${down.port}`, '--until-quiet'],
    ...['--spool-dir', join(dir, 'spool'), '--retries', '50'],
  ]
  let rrep = spawnRrep(args)
  const writer = startWriter(source.port, WRITES_PER_SECOND)
  try {
    await waitFor(async () => (await target.client.exists('rrep:checkpoint')) === 1, {
      what: 'the load to begin',
      timeoutMs: 60_000,
    }).catch((error: unknown) => {
      throw new Error(`${String(error)}; rrep said: ${rrep.err()}`)
    })
    for (let fault = 0; fault < FAULTS; fault += 1) {
      await new Promise((resolve) => setTimeout(resolve, BETWEEN_FAULTS_MS))
      const kinds = ['source link', 'target torn', 'target link', 'rrep killed', 'target restarted']
      const kind = kinds[fault % kinds.length]!
      console.log(`${kind}, at ${writer.writes} writes`)
      if (kind === 'source link') up.cut()
      else if (kind === 'target link') down.cut()
      else if (kind === 'target torn') await tear(target)
      else if (kind === 'rrep killed') {
        rrep.child.kill('SIGKILL')
        await rrep.ended
        rrep = spawnRrep(args)
      } else await target.restart()
    }
    await writer.stop()
    const stoppedMs = performance.now()
    const { code, err } = await rrep.ended
    if (code !== 0) throw new Error(`rrep ended with ${String(code)}:\n${err}`)
    const counters = await Promise.all(
      [source, target].map(async (server) => await server.client.get('counter')),
    )
    const digests = await Promise.all([digest(source), digest(target)])
    console.log(
      `${writer.writes} writes at ${Math.round(writer.rate)}/s; the same ` +
        `${((performance.now() - stoppedMs) / 1000).toFixed(1)} s after the last: ` +
        `counter ${counters.join(' = ')}, digest ${digests.join(' = ')}`,
    )
    if (counters[0] !== counters[1] || digests[0] !== digests[1]) throw new Error('they differ')
  } finally {
    await writer.stop()
    rrep.child.kill('SIGKILL')
    await up.stop()
    await down.stop()
    await source.stop()
    await target.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}

/** Killed, and back without the last tenth of what it has on disk, which it had confirmed. Cut behind
 * a transaction: some servers keep half of one in the file, and mix it into what follows. */
async function tear(target: TestServer): Promise<void> {
  await target.kill('SIGKILL')
  const directory = join(target.dir, 'appendonlydir')
  const path = join(
    directory,
    readdirSync(directory).find((name) => name.endsWith('.incr.aof'))!,
  )
  const bytes = readFileSync(path)
  const end = '*1\r\n$4\r\nEXEC\r\n'
  const at = bytes.lastIndexOf(end, Math.floor(bytes.length * 0.9))
  truncateSync(path, at < 0 ? 0 : at + end.length)
  await target.restart()
}
