/**
 * Found by a reader: `CLUSTER FLUSHSLOT` (Valkey 9.1) in a stream deletes keys that nobody names. It was
 * left out as talk between nodes: the target kept them, and the replay was called complete.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { replay } from '../../src/index.js'
import { startCluster } from '../helpers/cluster.js'
import { serverBinary, startServer, waitFor } from '../helpers/servers.js'

const binary = serverBinary('valkey-9.1')

test.skipIf(binary === undefined)('it is told, and the replay is not complete', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-241-'))
  const cluster = await startCluster(binary!, { masters: 1, replicas: 0 })
  const target = await startServer({ binary: binary! })
  const [node] = cluster.masters
  const end = new AbortController()
  try {
    await node!.client.set('bar', '1')
    const running = replay(`redis://127.0.0.1:${node!.port}`, `redis://127.0.0.1:${target.port}`, {
      spoolDir: dir,
      signal: end.signal,
    })
    await waitFor(async () => (await target.client.exists('bar')) === 1, { what: 'the key' })
    const slot = await node!.client.call('CLUSTER', 'KEYSLOT', 'bar')
    await node!.client.call('CLUSTER', 'FLUSHSLOT', Number(slot), 'SYNC')
    await node!.client.set('behind', '1')
    await waitFor(async () => (await target.client.exists('behind')) === 1, {
      what: 'what follows',
    })
    end.abort()
    const { complete, ledger } = await running
    expect(await target.client.exists('bar')).toBe(1)
    expect(complete).toBe(false)
    expect(ledger.notHeld).toEqual({ 'CLUSTER FLUSHSLOT': 1 })
  } finally {
    end.abort()
    await Promise.all([cluster.stop(), target.stop()])
    rmSync(dir, { recursive: true, force: true })
  }
})
