/** What a killed serve leaves is removed by the next; a full disk and a used port are told. */
import { spawnSync } from 'node:child_process'
import { createReadStream, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { startServeProcess } from '../helpers/serve-process.js'
import { startServer, waitFor, type TestServer } from '../helpers/servers.js'
import { startServing, upstreamOf } from '../helpers/serving.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-leftovers-'))
/** Too small for the snapshot. */
const small = join(dir, 'small')
mkdirSync(small)
const isMounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', small]).status === 0
let master: TestServer

beforeAll(async () => {
  master = await startServer({ args: ['--rdbcompression', 'no', '--dbfilename', 'dump.rdb'] })
  await master.client.call('DEBUG', 'POPULATE', '1000', 'key', '1000')
  await master.client.call('SAVE')
})

afterAll(async () => {
  await master.stop()
  if (isMounted) spawnSync('umount', ['-l', small])
  rmSync(dir, { recursive: true, force: true })
})

/** Runs the command line with this directory for what is temporary. */
async function withTemporaryDir<Value>(path: string, run: () => Promise<Value>): Promise<Value> {
  const before = process.env['TMPDIR']
  process.env['TMPDIR'] = path
  try {
    return await run()
  } finally {
    if (before === undefined) delete process.env['TMPDIR']
    else process.env['TMPDIR'] = before
  }
}

test('what a killed serve left in TMPDIR goes with the next, what a living one has stays', async () => {
  const temporary = join(dir, 'temporary')
  mkdirSync(temporary)
  const args = [`127.0.0.1:${master.port}`, '--listen', '127.0.0.1:0']
  const killed = await startServeProcess(args, { TMPDIR: temporary })
  await killed.kill('SIGKILL')
  const [left] = readdirSync(temporary).filter((name) => name.startsWith('rrep-serve-'))
  expect(left).toBeDefined()
  const source = { kind: 'server', server: upstreamOf(master) } as const
  const living = await startServing({ source, temporaryDir: temporary })
  const names = readdirSync(temporary).filter((name) => name.startsWith('rrep-serve-'))
  expect(names).toHaveLength(1)
  expect(names).not.toContain(left)
  const other = await startServing({ source, temporaryDir: temporary })
  expect(existsSync(join(temporary, names[0]!))).toBe(true)
  await Promise.all([living.stop(), other.stop()])
  expect(readdirSync(temporary).filter((name) => name.startsWith('rrep-serve-'))).toEqual([])
})

test.skipIf(!isMounted)(
  'stdin that does not fit into TMPDIR ends it before it listens',
  async () => {
    const result = await withTemporaryDir(small, async () =>
      runCli(['serve', '-', '--listen', '127.0.0.1:0'], {
        stdin: createReadStream(join(master.dir, 'dump.rdb')),
      }),
    )
    expect(result.code).toBe(1)
    expect(result.err).toContain('no space left on the disk')
    expect(result.err).toContain(small)
    expect(result.out + result.err).not.toContain('listening')
    expect(readdirSync(small)).toEqual([])
  },
)

test.skipIf(!isMounted)('a first snapshot that does not fit into TMPDIR ends it', async () => {
  const source = { kind: 'server', server: upstreamOf(master) } as const
  // It may end before it is seen to listen.
  const run = startServing({ source, temporaryDir: small }).then(({ ended }) => ended)
  await expect(run).rejects.toMatchObject({ code: 'ERR_DISK_FULL' })
  expect(readdirSync(small)).toEqual([])
})

test.skipIf(!isMounted)('a later one that does not fit is told, and tried again', async () => {
  const upstream = await startServer({ args: ['--rdbcompression', 'no'] })
  const source = { kind: 'server', server: upstreamOf(upstream) } as const
  const relay = await startServing({ source, temporaryDir: small })
  await waitFor(() => relay.count('upstream-snapshot') === 1, { what: 'the first snapshot' })
  await upstream.client.call('DEBUG', 'POPULATE', '1000', 'key', '1000')
  await upstream.client.call('DEBUG', 'CHANGE-REPL-ID')
  await upstream.client.call('CLIENT', 'KILL', 'TYPE', 'replica')
  const told = (): boolean =>
    relay.events.some(
      (each) => each.event === 'upstream-lost' && each.reason.includes('no space left'),
    )
  await waitFor(told, { what: 'the event' })
  await upstream.client.flushall()
  relay.handle.follow(upstreamOf(upstream))
  await waitFor(() => relay.count('upstream-snapshot') === 2, { what: 'the next snapshot' })
  await relay.stop()
  await upstream.stop()
})

test('a port that is used is told as such, exit 1', async () => {
  const holder = createServer()
  await new Promise<void>((resolve) => holder.listen(0, '127.0.0.1', resolve))
  const { port } = holder.address() as { port: number }
  const file = join(master.dir, 'dump.rdb')
  const used = `127.0.0.1:${port}`
  const result = await runCli(['serve', file, '--listen', used])
  const metrics = await runCli(['serve', file, '--listen', '127.0.0.1:0', '--metrics', used])
  await new Promise((resolve) => holder.close(resolve))
  for (const { code, out, err } of [result, metrics]) {
    expect(code).toBe(1)
    expect(err).toContain(`${used} is already in use`)
    expect(out + err).not.toContain('listening')
  }
})
