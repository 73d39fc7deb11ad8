/**
 * A minute of 20,000 commands a second and more, of all kinds, into an archive whose link is cut
 * 30 times and whose process is killed 30 times at random moments. In the end a server that loads
 * the archive must have the master's digest, no counter may be off, and the master must have made
 * one full resync.
 */
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { archive } from '../../src/verbs/tail/archive.js'
import { makeServerSettings } from '../../src/net/make-server-settings.js'
import { AbortedError } from '../../src/errors.js'
import { startArchiveProcess, type ArchiveProcess } from '../helpers/archive-process.js'
import {
  checkAof,
  infoNumber,
  loadArchive,
  masterOffset,
  settleExpiries,
  sumCounters,
} from '../helpers/archives.js'
import { startProxy } from '../helpers/cutting-proxy.js'
import { digest, serverBinaries, startServer, waitFor } from '../helpers/servers.js'
import { startWorkload } from '../helpers/workload.js'

const SECONDS = Number(process.env['SOAK_SECONDS'] ?? 60)
const CUTS = Number(process.env['SOAK_CUTS'] ?? 30)
const KILLS = Number(process.env['SOAK_KILLS'] ?? 30)

export async function run(): Promise<void> {
  const binary = serverBinaries()[0]
  await scenario('no fault', { cuts: 0, kills: 0, seconds: SECONDS })
  await scenario(`link cut ${CUTS} times`, { cuts: CUTS, kills: 0, seconds: SECONDS })
  await scenario(`killed ${KILLS} times`, { cuts: 0, kills: KILLS, seconds: SECONDS })
  console.log(`on ${binary?.name ?? 'no server'}`)
}

async function scenario(
  name: string,
  faults: { cuts: number; kills: number; seconds: number },
): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), 'rrep-soak-'))
  const dir = join(root, 'archive')
  const master = await startServer({ args: ['--repl-backlog-size', '512mb'] })
  const proxy = await startProxy(master.port)
  const args = ['--rotate', '32mb', '--snapshot-every', '15s', '--keep', '3']
  const start = (): ArchiveProcess => startArchiveProcess(proxy.port, dir, args)
  let process_ = start()
  const runs = (): Promise<void> =>
    waitFor(
      () => process_.events.some((e) => e['event'] === 'snapshot' || e['event'] === 'continued'),
      { what: `the archive to run: ${process_.stderr}` },
    )
  await runs()
  const workload = await startWorkload({
    port: master.port,
    serverMajor: 7,
    bigBytes: 1_500_000,
    seed: Math.floor(Math.random() * 2 ** 31),
  })
  const startedMs = performance.now()
  const pause = async (ms: number): Promise<void> => {
    await new Promise((resolve) => setTimeout(resolve, ms))
  }
  for (let cut = 0; cut < faults.cuts; cut++) {
    await pause(Math.random() * ((2000 * faults.seconds) / faults.cuts / 2))
    proxy.cut()
  }
  for (let kill = 0; kill < faults.kills; kill++) {
    await runs()
    await pause(Math.random() * 1500)
    process_.child.kill('SIGKILL')
    await process_.ended
    process_ = start()
  }
  await runs()
  while (performance.now() - startedMs < 1000 * faults.seconds) await pause(200)
  const seconds = (performance.now() - startedMs) / 1000
  await workload.stop()
  if (workload.failed !== undefined) throw workload.failed
  await settleExpiries(master)
  const target = await masterOffset(master)
  process_.child.kill('SIGTERM')
  const code = await process_.ended
  if (code !== 143) throw new Error(`ended with ${code}: ${process_.stderr}`)
  // What the master still had to send when it was stopped.
  const controller = new AbortController()
  let replOffset = -1
  const rest = archive(makeServerSettings(`127.0.0.1:${proxy.port}`), {
    dir,
    signal: controller.signal,
    onProgress: (progress) => (replOffset = progress.replOffset),
  }).catch((error: unknown) => error)
  await waitFor(() => replOffset >= target, { what: 'the archive to catch up', timeoutMs: 120_000 })
  controller.abort('SIGTERM')
  const last = await rest
  if (!(last instanceof AbortedError)) throw last as Error
  const output = checkAof(dir, master.binary)
  if (!output.includes('are valid')) throw new Error(output)
  const loaded = await loadArchive(dir)
  const same = (await digest(loaded)) === (await digest(master))
  const counters = [await sumCounters(master), await sumCounters(loaded), workload.increments]
  const syncFull = await infoNumber(master, 'stats', 'sync_full')
  await loaded.stop()
  const bytes = readdirSync(join(dir, 'appendonlydir'))
    .map((file) => statSync(join(dir, 'appendonlydir', file)).size)
    .reduce((a, b) => a + b, 0)
  console.log(
    `${name}: ${Math.round(workload.commands / seconds)} commands/s for ${seconds.toFixed(0)} s, ` +
      `${(target / 1e6).toFixed(0)} MB of stream, ${(bytes / 1e6).toFixed(0)} MB kept, ` +
      `digest ${same ? 'equal' : 'DIFFERENT'}, counters ${counters.join(' = ')}, sync_full ${syncFull}`,
  )
  await proxy.stop()
  await master.stop()
  rmSync(root, { recursive: true, force: true })
  if (!same || new Set(counters).size !== 1) throw new Error(`${name}: the archive is wrong`)
}
