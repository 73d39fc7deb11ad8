/** A client that asks without end and reads nothing must cost the relay neither memory nor time. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startServeProcess, type ServeProcess } from '../helpers/serve-process.js'
import { startServer, waitFor, type TestServer } from '../helpers/servers.js'
import { follow } from '../helpers/serving.js'

const FLOOD_MS = 1200
const MAX_GROWTH_BYTES = 48 << 20
const dir = mkdtempSync(join(tmpdir(), 'rrep-flood-'))
const passwordFile = join(dir, 'password')
let master: TestServer
let replica: TestServer
let relay: ServeProcess

beforeAll(async () => {
  writeFileSync(passwordFile, 'secret\n')
  master = await startServer()
  replica = await startServer({ args: ['--masterauth', 'secret'] })
  relay = await startServeProcess([
    ...[`127.0.0.1:${master.port}`, '--listen', '127.0.0.1:0'],
    ...['--requirepass-file', passwordFile],
  ])
  await follow(replica, relay.port)
})

afterAll(async () => {
  await relay.kill('SIGKILL')
  await Promise.all([master.stop(), replica.stop()])
  rmSync(dir, { recursive: true, force: true })
})

/** Writes this again and again, on a new connection where the old one is closed; reads nothing. */
function flood(words: string, password?: string): { stop(): void } {
  const chunk = Buffer.from(words.repeat(Math.ceil((64 << 10) / words.length)))
  let isOver = false
  let socket: Socket
  const begin = (): void => {
    socket = connect(relay.port, '127.0.0.1')
    socket.pause()
    socket.on('error', () => undefined)
    socket.on('close', () => {
      if (!isOver) setTimeout(begin, 20)
    })
    if (password !== undefined) socket.write(`AUTH ${password}\r\n`)
    const more = (): void => {
      while (!isOver && !socket.destroyed && socket.write(chunk));
    }
    socket.on('connect', more)
    socket.on('drain', more)
  }
  begin()
  return {
    stop: () => {
      isOver = true
      socket.destroy()
    },
  }
}

let writes = 0

/** The longest that a write took to come through to the replica, for as long as the flood lasts. */
async function worstDelayMs(): Promise<number> {
  const untilMs = Date.now() + FLOOD_MS
  let worst = 0
  while (Date.now() < untilMs) {
    writes += 1
    const value = String(writes)
    const startMs = Date.now()
    await master.client.set('key', value)
    await waitFor(async () => (await replica.client.get('key')) === value, {
      what: 'a write to come through',
      timeoutMs: 30_000,
    })
    worst = Math.max(worst, Date.now() - startMs)
  }
  return worst
}

for (const [name, words] of [
  ['INFO', 'INFO\r\n'],
  ['COMMAND', 'COMMAND\r\n'],
  ['CONFIG GET *', 'CONFIG GET *\r\n'],
] as const) {
  test(`with the password, ${name} without end and unread keeps memory and replicas as they are`, async () => {
    const before = relay.rssBytes()
    const flooding = flood(words, 'secret')
    const delayMs = await worstDelayMs()
    const grown = relay.rssBytes() - before
    flooding.stop()
    expect(grown).toBeLessThan(MAX_GROWTH_BYTES)
    expect(delayMs).toBeLessThan(1000)
  })
}

test('without the password, PING without end and unread: the same, and SIGTERM is obeyed', async () => {
  const before = relay.rssBytes()
  const flooding = [flood('PING\r\n'), flood('PING\r\n'), flood('\n')]
  const delayMs = await worstDelayMs()
  expect(relay.rssBytes() - before).toBeLessThan(MAX_GROWTH_BYTES)
  expect(delayMs).toBeLessThan(1000)
  const startMs = Date.now()
  expect(await relay.kill('SIGTERM')).toBe(143)
  expect(Date.now() - startMs).toBeLessThan(1000)
  for (const each of flooding) each.stop()
})
