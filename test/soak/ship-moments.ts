/**
 * An archive shipped into a bucket of Swift under load, killed five times, with new bases and files all the
 * time; then random moments of it, brought back from the bucket alone and compared with what another link
 * to the master counted.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { exportKeys } from '../../src/index.js'
import { spawnRrep, type RrepProcess } from '../helpers/rrep-process.js'
import { startServer, waitFor, type TestServer } from '../helpers/servers.js'
import { hasSwift, startSwift } from '../helpers/swift.js'

const MOMENTS = Number(process.env['RREP_SOAK_TIMES'] ?? 1000)
const PLACE = 's3://backups/soak'
const KILLS = 5

export async function run(): Promise<void> {
  if (!hasSwift) {
    console.log('ship-moments: skipped, Swift is not installed')
    return
  }
  const dir = mkdtempSync(join(tmpdir(), 'rrep-soak-ship-'))
  const [swift, source] = [await startSwift(), await startServer()]
  const address = `127.0.0.1:${source.port}`
  try {
    await swift.makeBucket('backups')
    Object.assign(process.env, swift.env)
    const counting = spawnRrep(['tail', address, '--json', '--command', 'INCR'], { stdout: 'keep' })
    await waitFor(async () => /connected_slaves:[1-9]/.test(await source.client.info()), {
      what: 'the link that counts',
    })
    const halt = new AbortController()
    const load = writeUntil(halt.signal, source)
    const archive = join(dir, 'archive')
    const args = [
      '--ship',
      PLACE,
      '--ship-every',
      '1s',
      '--rotate',
      '200kb',
      '--snapshot-every',
      '4s',
    ]
    const keep = (): RrepProcess => spawnRrep(['tail', address, '-o', archive, ...args])
    let kept = keep()
    const first = await baseOf(kept)
    for (let kill = 0; kill < KILLS; kill += 1) {
      await new Promise((resolve) => setTimeout(resolve, 3000))
      kept.child.kill('SIGKILL')
      await kept.ended
      kept = keep()
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
    await waitFor(async () => countOf(counting) === Number(await source.client.get('counter')), {
      what: 'the count',
    })
    counting.child.kill('SIGINT')
    rmSync(archive, { recursive: true })
    await compare(counting.out(), first, dir)
  } finally {
    await source.stop()
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

async function compare(lines: string, firstOffset: number, dir: string): Promise<void> {
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
    await exportKeys(`${PLACE}@archive`, { format: 'jsonl', output, until, filter })
    const counter = /"value":"?(\d+)/.exec(readFileSync(output, 'utf8'))?.[1]
    if (counter === String(index + 1)) continue
    throw new Error(`offset ${until.offset}: ${counter ?? 'nothing'} in place of ${index + 1}`)
  }
  console.log(`ship-moments: ${MOMENTS} moments of ${offsets.length - from}, all exact`)
}
