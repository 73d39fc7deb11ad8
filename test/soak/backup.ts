/**
 * `backup` killed at random moments, with prunes, copies and restores beside it: only whole backups are
 * listed, each is what its record says, nothing of the killed ones stays behind the next run, and nothing
 * that a rule keeps is lost.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readCatalogue } from '../../src/index.js'
import { runCli } from '../helpers/cli.js'
import { spawnRrep } from '../helpers/rrep-process.js'
import { digest, startServer } from '../helpers/servers.js'

const TIMES = Number(process.env['RREP_SOAK_TIMES'] ?? 100)

export async function run(): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-soak-backup-'))
  const source = await startServer({ args: ['--repl-diskless-sync-delay', '0'] })
  const repo = join(dir, 'repo')
  const address = `127.0.0.1:${source.port}`
  const back = ['backup', address, '--to', repo, '--name', 'k', '--keep-last', '3']
  let [killed, rounds] = [0, 0]
  let wholeMs = 0
  const verified = new Set<string>()
  try {
    await source.client.call('DEBUG', 'POPULATE', 100_000, 'key', 500)
    for (let round = -1; killed < TIMES; round += 1) {
      rounds += 1
      const running = spawnRrep([...back, ...(round % 2 === 0 ? ['--compress', 'gzip'] : [])])
      const beside = round % 3 === 0 ? spawnRrep(back) : undefined
      const begunMs = performance.now()
      // The first one ends: the others are killed at any moment of the time that a whole one takes.
      const killMs = round < 0 ? 600_000 : 100 + Math.random() * wholeMs
      const timer = setTimeout(() => running.child.kill('SIGKILL'), killMs)
      const pruning = spawnRrep(['backup', 'prune', repo, '--keep-last', '3', '--yes'])
      const { signal } = await running.ended
      clearTimeout(timer)
      if (signal === 'SIGKILL') killed += 1
      else wholeMs = performance.now() - begunMs
      await Promise.all([beside?.ended, pruning.ended])
      const { backups, unfinished } = await readCatalogue(repo)
      if (unfinished.length > 0) throw new Error(`round ${round}: unfinished: ${unfinished.join()}`)
      for (const { record } of backups) {
        if (verified.has(record.id)) continue
        const told = await runCli(['backup', 'verify', `${repo}@${record.id}`])
        if (told.code !== 0) throw new Error(`round ${round}: ${record.id}: ${told.err}`)
        verified.add(record.id)
      }
    }
    const last = await runCli(back)
    if (last.code !== 0) throw new Error(last.err)
    const left = readdirSync(join(repo, 'k'))
    const { backups } = await readCatalogue(repo)
    if (left.length !== backups.length || backups.length !== 3) {
      throw new Error(`three are to be kept, and there are ${left.join(', ')}`)
    }
    for (const { record } of backups) {
      const told = await runCli(['backup', 'verify', `${repo}@${record.id}`])
      if (told.code !== 0) throw new Error(`at the end: ${record.id}: ${told.err}`)
    }
    await restoreBeside(repo, dir, await digest(source))
    console.log(
      `backup: killed ${killed} times in ${rounds} rounds, ${verified.size} backups verified, ` +
        `${backups.length} are kept`,
    )
  } finally {
    await source.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}

/** A restore that has begun ends whole, or says that its backup is gone. */
async function restoreBeside(repo: string, dir: string, wanted: string): Promise<void> {
  const { backups } = await readCatalogue(repo)
  const oldest = backups[0]!.record.id
  const data = join(dir, 'data')
  const restoring = spawnRrep(['restore', `${repo}@${oldest}`, data])
  const pruning = spawnRrep(['backup', 'prune', repo, '--keep-last', '1', '--yes'])
  const [restored] = await Promise.all([restoring.ended, pruning.ended])
  if (restored.code !== 0) {
    console.log(`the restore beside a prune: ${restored.err.trim()}`)
    return
  }
  const server = await startServer({ dir: data, args: ['--appendonly', 'yes'] })
  const same = (await digest(server)) === wanted
  await server.stop()
  if (!same) throw new Error('what was restored beside a prune is not what was stored')
}
