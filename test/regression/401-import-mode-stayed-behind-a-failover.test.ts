/**
 * Import-mode was ended at those that were the masters of the cluster in the beginning: one that had taken over
 * kept it, and nothing expired there any more.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { replay, type ReplayEvent } from '../../src/index.js'
import { startCluster } from '../helpers/cluster.js'
import { serverBinary, startServer, waitFor } from '../helpers/servers.js'

const binary = serverBinary('valkey-9.1')

test.skipIf(binary === undefined)('no node is left in import-mode', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-401-'))
  const [source, cluster] = await Promise.all([
    startServer({ binary: binary!, args: ['--repl-diskless-sync-delay', '0'] }),
    startCluster(binary!, { masters: 1, replicas: 1 }),
  ])
  const nodes = [...cluster.masters, ...cluster.replicas]
  const [replica] = cluster.replicas
  const modeOf = async ({ client }: (typeof nodes)[number]): Promise<string | undefined> =>
    (await client.config('GET', 'import-mode'))[1]
  const events: ReplayEvent[] = []
  const stop = new AbortController()
  try {
    await source.client.set('k', 'v')
    const running = replay(
      `127.0.0.1:${source.port}`,
      `redis-cluster://${nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')}`,
      { spoolDir: dir, signal: stop.signal, onEvent: (event) => events.push(event) },
    )
    const seen = (event: string): boolean => events.some((each) => each.event === event)
    await waitFor(() => seen('caught-up'), { what: 'the stream' })
    await replica!.client.call('CLUSTER', 'FAILOVER', 'TAKEOVER')
    await source.client.set('k', 'w')
    await waitFor(async () => (await replica!.client.get('k')) === 'w', { what: 'the write there' })
    expect(await modeOf(replica!)).toBe('yes')
    stop.abort()
    expect(await running).toMatchObject({ stopped: true, complete: true })
    for (const node of nodes) expect(await modeOf(node)).toBe('no')
  } finally {
    stop.abort()
    await Promise.all([source.stop(), cluster.stop()])
    rmSync(dir, { recursive: true, force: true })
  }
})
