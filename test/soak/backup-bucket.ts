/**
 * `backup` into a bucket of Swift, through a network that drops every twentieth request, killed at random
 * moments: only whole backups are listed, each is what its record says, and the next run leaves nothing of
 * the killed ones, no unfinished upload either.
 */
import { ListObjectsV2Command } from '@aws-sdk/client-s3'
import { readCatalogue } from '../../src/index.js'
import { runCli } from '../helpers/cli.js'
import { spawnRrep } from '../helpers/rrep-process.js'
import { startServer } from '../helpers/servers.js'
import { startStoreProxy, type StoreProxy } from '../helpers/store-proxy.js'
import { envOf, hasSwift, startSwift } from '../helpers/swift.js'

const TIMES = Number(process.env['RREP_SOAK_TIMES'] ?? 100)
const BUCKET = 'backups'
const REPO = `s3://${BUCKET}/soak`

export async function run(): Promise<void> {
  if (!hasSwift) {
    console.log('backup-bucket: skipped, Swift is not installed')
    return
  }
  const swift = await startSwift()
  const proxy = await startStoreProxy(swift.port)
  proxy.decide = (number) => (number % 20 === 0 ? 'drop' : 'pass')
  const source = await startServer({ args: ['--repl-diskless-sync-delay', '0'] })
  const address = `127.0.0.1:${source.port}`
  const back = ['backup', address, '--to', REPO, '--name', 'k', '--keep-last', '3']
  let [killed, rounds] = [0, 0]
  let wholeMs = 0
  const verified = new Set<string>()
  try {
    await swift.makeBucket(BUCKET)
    Object.assign(process.env, swift.env)
    await source.client.config('SET', 'rdbcompression', 'no')
    await source.client.call('DEBUG', 'POPULATE', 5000, 'key', 10_000)
    for (let round = -1; killed < TIMES; round += 1) {
      rounds += 1
      const packed = round % 2 === 0 ? ['--compress', 'gzip:1'] : []
      const running = spawnRrep([...back, ...packed], { env: envOf(proxy.port) })
      const begunMs = performance.now()
      // The first one ends: the others are killed at any moment of the time that a whole one takes.
      const killMs = round < 0 ? 600_000 : 200 + Math.random() * wholeMs
      const timer = setTimeout(() => running.child.kill('SIGKILL'), killMs)
      const { signal } = await running.ended
      clearTimeout(timer)
      if (signal === 'SIGKILL') killed += 1
      else wholeMs = performance.now() - begunMs
      for (const { record } of (await readCatalogue(REPO)).backups) {
        if (verified.has(record.id)) continue
        const told = await runCli(['backup', 'verify', `${REPO}@${record.id}`])
        if (told.code !== 0) throw new Error(`round ${round}: ${record.id}: ${told.err}`)
        verified.add(record.id)
      }
    }
    const last = await runCli(back)
    if (last.code !== 0) throw new Error(last.err)
    const { backups, unfinished } = await readCatalogue(REPO)
    const listed = await swift.client.send(new ListObjectsV2Command({ Bucket: BUCKET }))
    const ids = new Set((listed.Contents ?? []).map(({ Key }) => Key!.split('/')[2]))
    const uploads = await swift.openUploads(BUCKET)
    if (unfinished.length > 0 || uploads.length > 0 || ids.size !== backups.length) {
      throw new Error(
        `left behind: ${[...unfinished, ...uploads].join(', ')}; ${[...ids].join(', ')}`,
      )
    }
    for (const { record } of backups) {
      const told = await runCli(['backup', 'verify', `${REPO}@${record.id}`])
      if (told.code !== 0) throw new Error(`at the end: ${record.id}: ${told.err}`)
    }
    await expectMuteIsTold(address, proxy)
    console.log(
      `backup-bucket: killed ${killed} times in ${rounds} rounds, ${verified.size} backups verified, ` +
        `${backups.length} are kept`,
    )
  } finally {
    await source.stop()
    await proxy.stop()
    await swift.stop()
  }
}

/** A store that takes a request and never answers is given up after a minute without a byte. */
async function expectMuteIsTold(address: string, proxy: StoreProxy): Promise<void> {
  const repo = `s3://${BUCKET}/mute`
  proxy.decide = (_, { url }) => (url?.includes('partNumber=2') === true ? 'mute' : 'pass')
  const env = { ...envOf(proxy.port), AWS_MAX_ATTEMPTS: '1' }
  const begunMs = performance.now()
  const running = spawnRrep(['backup', address, '--to', repo, '--json'], { env })
  const { code, err } = await running.ended
  const seconds = (performance.now() - begunMs) / 1000
  const { backups, unfinished } = await readCatalogue(repo)
  if (code !== 3 || !err.includes('ERR_STORE_UNREACHABLE') || backups.length > 0) {
    throw new Error(`a mute store: ${code ?? 'a signal'} after ${seconds.toFixed(0)} s: ${err}`)
  }
  if (unfinished.length > 0) throw new Error(`left behind: ${unfinished.join(', ')}`)
  console.log(`a store that never answers was given up after ${seconds.toFixed(0)} s`)
}
