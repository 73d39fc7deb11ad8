/**
 * An archive shipped into a bucket of Swift under load, killed five times, with new bases and files all the
 * time; then random moments of it, brought back from the bucket alone and compared with what another link
 * to the master counted. Once with the archive on this disk too, once without (`--ship` alone), where the
 * network to the bucket drops, throttles and is gone for a while.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { exportKeys } from '../../src/index.js'
import { spawnRrep, type RrepProcess } from '../helpers/rrep-process.js'
import { startServer, waitFor, type TestServer } from '../helpers/servers.js'
import { startStoreProxy } from '../helpers/store-proxy.js'
import { envOf, hasSwift, startSwift } from '../helpers/swift.js'

const MOMENTS = Number(process.env['RREP_SOAK_TIMES'] ?? 1000)
const KILLS = 5
const SHIPPING = [...['--ship-every', '1s', '--rotate', '200kb', '--snapshot-every', '4s']]

export async function run(): Promise<void> {
  if (!hasSwift) {
    console.log('ship-moments: skipped, Swift is not installed')
    return
  }
  for (const isAlone of [false, true]) await shipAndCompare(isAlone)
}

async function shipAndCompare(isAlone: boolean): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-soak-ship-'))
  const [swift, source] = [await startSwift(), await startServer()]
  const proxy = await startStoreProxy(swift.port)
  const address = `127.0.0.1:${source.port}`
  const place = 's3://backups/soak'
  try {
    await swift.makeBucket('backups')
    Object.assign(process.env, swift.env)
    const counting = spawnRrep(['tail', address, '--json', '--command', 'INCR'], { stdout: 'keep' })
    await waitFor(async () => /connected_slaves:[1-9]/.test(await source.client.info()), {
      what: 'the link that counts',
    })
    const halt = new AbortController()
    const load = writeUntil(halt.signal, source)
    const here = join(dir, 'here')
    const where = isAlone ? ['--spool-dir', here] : ['-o', here]
    const env = envOf(isAlone ? proxy.port : swift.port)
    const keep = (): RrepProcess =>
      spawnRrep(['tail', address, ...where, '--ship', place, ...SHIPPING], { env })
    proxy.decide = (number) =>
      number % 20 === 5 ? 'drop' : number % 20 === 9 ? 'slow-down' : 'pass'
    let kept = keep()
    const first = await baseOf(kept)
    const passing = proxy.decide
    for (let kill = 0; kill < KILLS; kill += 1) {
      await new Promise((resolve) => setTimeout(resolve, 3000))
      kept.child.kill('SIGKILL')
      await kept.ended
      kept = keep()
      if (kill === 2) {
        await waitFor(() => kept.err().includes('going on behind'), { what: 'the next run' })
        proxy.decide = () => 'drop'
        await waitFor(() => !isAlone || kept.err().includes('not sent to the repository'), {
          what: 'the store to be missed',
          timeoutMs: 120_000,
        })
        proxy.decide = passing
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 3000))
    halt.abort()
    await load
    // The last one was begun just now: it has to catch up first.
    const end = Number(/master_repl_offset:(\d+)/.exec(await source.client.info())![1])
    const shipped = (): boolean =>
      [...kept.err().matchAll(/everything up to offset (\d+)/g)].some(([, at]) => Number(at) >= end)
    await waitFor(shipped, { what: 'the last of it', timeoutMs: 120_000 })
    kept.child.kill('SIGINT')
    await kept.ended
    if (isAlone && readdirSync(here).length > 0) throw new Error('the spool is left behind')
    await waitFor(async () => countOf(counting) === Number(await source.client.get('counter')), {
      what: 'the count',
    })
    counting.child.kill('SIGINT')
    rmSync(here, { recursive: true })
    const told = await compare(place, { lines: counting.out(), firstOffset: first, dir })
    console.log(`ship-moments, ${isAlone ? 'in the bucket alone' : 'on this disk too'}: ${told}`)
  } finally {
    await source.stop()
    await proxy.stop()
    await swift.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}

async function writeUntil(signal: AbortSignal, { client }: TestServer): Promise<void> {
  while (!signal.aborted) {
    const batch = client.pipeline()
    for (let at = 0; at < 10; at += 1) {
      batch.incr('counter')
      batch.set(`key:${at}`, 'v'.repeat(100))
    }
    await batch.exec()
    await new Promise((resolve) => setTimeout(resolve, 15))
  }
}

async function baseOf(kept: RrepProcess): Promise<number> {
  const offset = (): number | undefined => {
    const found = /snapshot kept: .* offset (\d+)/.exec(kept.err())
    return found === null ? undefined : Number(found[1])
  }
  await waitFor(() => offset() !== undefined, { what: 'the snapshot' })
  return offset()!
}

function countOf(counting: RrepProcess): number {
  return counting.out().trim().split('\n').length
}

async function compare(
  place: string,
  { lines, firstOffset, dir }: { lines: string; firstOffset: number; dir: string },
): Promise<string> {
  const offsets = lines
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { offset: number }).offset)
  const from = offsets.findIndex((offset) => offset > firstOffset)
  const output = join(dir, 'moment.jsonl')
  for (let at = 0; at < MOMENTS; at += 1) {
    const index = from + Math.floor(Math.random() * (offsets.length - from))
    const until = { offset: offsets[index]! }
    const filter = { match: [Buffer.from('counter')] }
    await exportKeys(`${place}@archive`, { format: 'jsonl', output, until, filter })
    const counter = /"value":"?(\d+)/.exec(readFileSync(output, 'utf8'))?.[1]
    if (counter === String(index + 1)) continue
    throw new Error(`offset ${until.offset}: ${counter ?? 'nothing'} in place of ${index + 1}`)
  }
  return `${MOMENTS} moments of ${offsets.length - from}, all exact`
}
