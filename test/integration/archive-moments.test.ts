/** Every moment of a real archive, across its bases, is the state that the master had then. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeServerSettings } from '../../src/net/make-server-settings.js'
import { archive } from '../../src/verbs/tail/archive.js'
import { temporaryDirs } from '../helpers/archive-dirs.js'
import { masterOffset } from '../helpers/archives.js'
import { runCli } from '../helpers/cli.js'
import { digest, startServer, waitFor, type TestServer } from '../helpers/servers.js'

interface Recorded {
  replOffset: number
  digest: string
}

const OFFSETS = 15
const cleanups: (() => unknown)[] = []
const bases: number[] = []
const recorded: Recorded[] = []
let dir: string
let target: TestServer

beforeAll(async () => {
  dir = join(temporaryDirs(cleanups)(), 'archive')
  target = await startServer()
  cleanups.push(() => target.stop())
  const master = await startServer()
  try {
    await master.client.set('before', '1')
    await record(master)
  } finally {
    await master.stop()
  }
})
afterAll(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** Writes and notes every state while an archive is kept with one base after the other. */
async function record(master: TestServer): Promise<void> {
  const stop = new AbortController()
  let keptReplOffset = -1
  const ended = archive(makeServerSettings(`127.0.0.1:${master.port}`), {
    dir,
    snapshotEveryMs: 1,
    rotateBytes: 2000,
    signal: stop.signal,
    onEvent: (event) => {
      if (event.event === 'snapshot') bases.push(event.replOffset)
    },
    onProgress: ({ replOffset }) => (keptReplOffset = replOffset),
  }).catch((error: unknown) => error)
  try {
    await waitFor(() => bases.length > 0, { what: 'the first base' })
    for (let i = 0; bases.length < 3 || i < 100; i++) {
      await write(master, i)
      recorded.push({ replOffset: await masterOffset(master), digest: await digest(master) })
    }
    const last = recorded.at(-1)!.replOffset
    await waitFor(() => keptReplOffset >= last, { what: 'the end of the stream' })
  } finally {
    stop.abort('SIGTERM')
    await ended
  }
}

async function write(server: TestServer, i: number): Promise<void> {
  const { client } = server
  if (i % 5 === 0) await client.multi().incr('n').rpush('list', `${i}`).exec()
  else if (i % 5 === 1) await client.hset('hash', `field${i % 50}`, 'x'.repeat(i % 90))
  else if (i % 5 === 2) await client.xadd('stream', '*', 'i', `${i}`)
  else if (i % 5 === 3) await client.set(`key${i % 30}`, `${i}`, 'EX', 10_000)
  else {
    const other = server.newClient(3)
    await other.zadd('sorted', i, `member${i % 20}`)
    other.disconnect()
  }
}

/** The state that replay makes of a moment. */
async function restored(until: string): Promise<string> {
  await target.client.flushall()
  const replayed = await runCli(['replay', dir, `127.0.0.1:${target.port}`, '--until', until])
  expect(replayed, replayed.err).toMatchObject({ code: 0 })
  return await digest(target)
}

/** At or before it: between two of ours lies what changes no data. */
function stateAt(replOffset: number): string | undefined {
  return recorded.findLast((each) => each.replOffset <= replOffset)?.digest
}

test('offsets: in front of, at and behind each base, and spread over all of it', async () => {
  expect(bases.length).toBeGreaterThanOrEqual(3)
  const isCovered = (at: number): boolean => at >= 0 && recorded[at]!.replOffset >= bases[0]!
  const chosen = new Set<number>()
  for (const base of bases.slice(1)) {
    const at = recorded.findLastIndex((each) => each.replOffset <= base)
    for (const near of [at - 1, at, at + 1]) if (near < recorded.length) chosen.add(near)
  }
  for (let i = 0; chosen.size < OFFSETS; i++)
    chosen.add(Math.floor((recorded.length * i * 0.618) % recorded.length))
  for (const at of [...chosen].filter(isCovered).slice(0, OFFSETS)) {
    const { replOffset, digest: state } = recorded[at]!
    expect(await restored(`offset:${replOffset}`), `offset ${replOffset}`).toBe(state)
  }
})

test('seconds: all that came in them, and nothing later', async () => {
  const parts = join(dir, 'appendonlydir')
  const text = readdirSync(parts)
    .filter((name) => name.endsWith('.incr.aof'))
    .map((name) => readFileSync(join(parts, name), 'latin1'))
    .join('')
  // Beside the time of a second stands the offset in front of its first command.
  const began = [...text.matchAll(/#TS:(\d+)\r\n#RREP:@(\d+) /g)]
    .map((match) => ({ unixSeconds: Number(match[1]), replOffset: Number(match[2]) }))
    .sort((a, b) => a.unixSeconds - b.unixSeconds)
  expect(began.length).toBeGreaterThanOrEqual(2)
  for (const [i, { unixSeconds }] of began.slice(0, 5).entries()) {
    const end = began[i + 1]?.replOffset ?? Infinity
    const time = new Date(unixSeconds * 1000).toISOString()
    expect(await restored(time), time).toBe(stateAt(end))
  }
})
