/**
 * `tail -o` of a cluster's node leaves out what deletes the keys of a slot, since no server can
 * load it; after Ctrl-C nothing said so, and the archive kept keys that the node no longer had. And
 * where another data set answered at the address (a replica that had moved to another shard), it
 * said only that "the master no longer has what comes next".
 */
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { makeServerSettings } from '../../src/net/make-server-settings.js'
import { archive, type ArchiveEvent } from '../../src/verbs/tail/archive.js'
import { temporaryDirs } from '../helpers/archive-dirs.js'
import { startArchiveProcess } from '../helpers/archive-process.js'
import { runCli } from '../helpers/cli.js'
import { startProxy } from '../helpers/cutting-proxy.js'
import { serverBinary, startServer, waitFor, type TestServer } from '../helpers/servers.js'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function newServer(options: Parameters<typeof startServer>[0] = {}): Promise<TestServer> {
  const server = await startServer(options)
  cleanups.push(() => server.stop())
  return server
}

const binary = serverBinary('valkey-9.1')
test.skipIf(binary === undefined)(
  'CLUSTER FLUSHSLOT is told when it happens, at the end after SIGINT, and by the status',
  async () => {
    const node = await newServer({ binary: binary!, args: ['--cluster-enabled', 'yes'] })
    await node.client.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
    await waitFor(
      async () => String(await node.client.call('CLUSTER', 'INFO')).includes('cluster_state:ok'),
      { what: 'the cluster' },
    )
    await node.client.set('k', 'v')
    const dir = join(temporaryDirs(cleanups)(), 'archive')
    const running = startArchiveProcess(node.port, dir)
    cleanups.push(() => running.child.kill('SIGKILL'))
    const seen = (event: string): Record<string, unknown> | undefined =>
      running.events.find((each) => each['event'] === event)
    await waitFor(() => seen('snapshot') !== undefined, { what: 'the snapshot' })
    const slot = String(await node.client.call('CLUSTER', 'KEYSLOT', 'k'))
    await node.client.call('CLUSTER', 'FLUSHSLOT', slot)
    await waitFor(() => seen('dropped') !== undefined, { what: 'the event' })
    expect(seen('dropped')).toMatchObject({ command: 'CLUSTER FLUSHSLOT', count: 1 })
    running.child.kill('SIGINT')
    expect(await running.ended).toBe(130)
    expect(running.events.at(-1)).toMatchObject({
      event: 'stopped',
      dropped: { 'CLUSTER FLUSHSLOT': 1 },
      droppedCommands: 1,
    })
    expect(running.stderr).toContain('left out: 1 CLUSTER FLUSHSLOT')
    // An earlier run's is told again, and is no fault of this one.
    const next = await runCli(['tail', `127.0.0.1:${node.port}`, '-o', dir, '--for', '1s'])
    expect(next, next.err).toMatchObject({ code: 0 })
    expect(next.err).toContain('left out: 1 CLUSTER FLUSHSLOT')
  },
)

test('another history at the same address is called so', async () => {
  const first = await newServer()
  const other = await newServer()
  await other.client.set('of', 'another shard')
  const proxy = await startProxy(first.port)
  cleanups.push(() => proxy.stop())
  const stop = new AbortController()
  const events: ArchiveEvent[] = []
  const ended = archive(makeServerSettings(`127.0.0.1:${proxy.port}`), {
    dir: join(temporaryDirs(cleanups)(), 'archive'),
    signal: stop.signal,
    onEvent: (event) => events.push(event),
  }).catch((error: unknown) => error)
  const snapshots = (): number => events.filter(({ event }) => event === 'snapshot').length
  await waitFor(() => snapshots() === 1, { what: 'the snapshot' })
  proxy.retarget(other.port)
  proxy.cut()
  await waitFor(() => snapshots() === 2, { what: 'the other snapshot' })
  stop.abort()
  await ended
  expect(events.flatMap((each) => (each.event === 'full-resync' ? [each.reason] : []))).toEqual([
    'first',
    'other-history',
  ])
  expect(events.map(({ event }) => event)).toContain('gap')
})
