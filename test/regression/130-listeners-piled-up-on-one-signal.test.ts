/**
 * A program that called the library often with one AbortSignal got a
 * MaxListenersExceededWarning: each call left a listener on it.
 */
import { getEventListeners } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { PassThrough, Writable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  archive,
  diff,
  exportKeys,
  finishReplay,
  inspect,
  makeServerSettings,
  replay,
  sync,
  watch,
} from '../../src/index.js'
import { openInput } from '../../src/source/source.js'
import { startServer, waitFor, type TestServer } from '../helpers/servers.js'

const DUMP = resolve(import.meta.dirname, '../../fixtures/demo/ecommerce.rdb')
const dir = mkdtempSync(join(tmpdir(), 'rrep-listeners-'))
const packed = join(dir, 'dump.rdb.gz')
const log = join(dir, 'log.aof')
const nothing = (): Writable => new Writable({ write: (_chunk: Buffer, _encoding, done) => done() })

let signal: AbortSignal
let server: TestServer
let target: TestServer
const source = (): ReturnType<typeof makeServerSettings> =>
  makeServerSettings(`127.0.0.1:${server.port}`)
const other = (): ReturnType<typeof makeServerSettings> =>
  makeServerSettings(`127.0.0.1:${target.port}`)

beforeAll(async () => {
  writeFileSync(packed, gzipSync(readFileSync(DUMP)))
  writeFileSync(log, '*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n')
  server = await startServer({ args: ['--repl-diskless-sync-delay', '0'] })
  target = await startServer()
  await server.client.set('a', '1', 'EX', 1000)
})

afterAll(async () => {
  await server.stop()
  await target.stop()
  rmSync(dir, { recursive: true, force: true })
})

beforeEach(() => {
  signal = new AbortController().signal
})

/** A stream's listener goes when the stream has closed, which is a moment later. */
async function expectNoListener(): Promise<void> {
  await waitFor(() => getEventListeners(signal, 'abort').length === 0, {
    what: 'a signal without listeners',
    timeoutMs: 3000,
  })
}

describe('no listener is left on the signal', () => {
  test('of 200 openings of a packed file, read or not, and of what is none', async () => {
    const broken = join(dir, 'broken.gz')
    writeFileSync(broken, readFileSync(packed).subarray(0, 12))
    for (let i = 0; i < 200; i += 1) {
      const input = await openInput(packed, { signal })
      if (i % 2 === 0) await input.pump(() => false, { signal })
      input.close()
      if (i % 20 === 0) await expect(openInput(broken, { signal })).rejects.toThrow(/broken/)
    }
    await expectNoListener()
  })

  const calls: [string, () => Promise<unknown>][] = [
    ['inspect', async () => await inspect(packed, { signal })],
    [
      'inspect of a pipe',
      async () => {
        const stdin = new PassThrough()
        stdin.end(readFileSync(packed))
        await inspect('-', { stdin, signal })
      },
    ],
    [
      'inspect of a server',
      async () => await inspect({ kind: 'server', server: source() }, { signal }),
    ],
    ['export', async () => await exportKeys(packed, { output: join(dir, 'out.jsonl'), signal })],
    ['export to a stream', async () => await exportKeys(packed, { output: nothing(), signal })],
    ['sync', async () => await sync(source(), { output: join(dir, 'dump.rdb'), signal })],
    ['sync to a stream', async () => await sync(source(), { output: nothing(), signal })],
    [
      'sync of nobody',
      async () => {
        const server = makeServerSettings('127.0.0.1:1')
        const output = join(dir, 'dump.rdb')
        await expect(sync(server, { output, retries: 1, signal })).rejects.toThrow(/connect/)
      },
    ],
    [
      'diff',
      async () =>
        await diff(
          { kind: 'file', path: packed },
          { kind: 'server', server: source() },
          { signal },
        ),
    ],
    [
      'diff by SCAN',
      async () =>
        await diff(
          { kind: 'server', server: source() },
          { kind: 'server', server: other() },
          { by: 'scan', signal },
        ),
    ],
    [
      'diff of an AOF',
      async () =>
        await diff({ kind: 'file', path: log }, { kind: 'file', path: packed }, { signal }),
    ],
    [
      'tail',
      async () =>
        await watch(source(), {
          durationMs: 20,
          output: { to: nothing(), format: 'text' },
          signal,
        }),
    ],
    [
      'replay of a file',
      async () =>
        await replay({ kind: 'file', path: packed }, other(), { onConflict: 'replace', signal }),
    ],
    [
      'replay of a live server',
      async () =>
        await replay({ kind: 'server', server: source() }, other(), {
          onConflict: 'replace',
          untilQuiet: true,
          signal,
        }),
    ],
    [
      'tail of an AOF',
      async () => await watch(log, { output: { to: nothing(), format: 'text' }, signal }),
    ],
    [
      'tail -o',
      async () => await archive(source(), { dir: join(dir, 'archive'), durationMs: 20, signal }),
    ],
    ['finish', async () => await finishReplay(other(), { signal })],
  ]
  test.each(calls)('of %s', async (_name, call) => {
    await call()
    await expectNoListener()
  })
})
