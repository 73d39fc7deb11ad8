/**
 * What a user saw: with rrep attached to a node, `CLUSTER SETSLOT` there failed with "NOREPLICAS Not
 * enough good replicas to write" after two seconds, and `valkey-cli --cluster reshard` stopped.
 * Valkey 8+ asks all replicas of a node to acknowledge first, where one of them is of the cluster.
 */
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startCluster, type ClusterNode, type TestCluster } from '../helpers/cluster.js'
import { runCli } from '../helpers/cli.js'
import { serverBinary, startServer, waitFor, type TestServer } from '../helpers/servers.js'

const SLOT = 100

describe.each(['valkey-9', 'valkey-8.1'])('%s', (prefix) => {
  const binary = serverBinary(prefix)
  if (binary === undefined) {
    test.skip(`needs ${prefix}`, () => undefined)
    return
  }
  let cluster: TestCluster | undefined
  let target: TestServer | undefined
  let dir: string
  /** Has the replica, and is given the slot of the other. */
  let b: ClusterNode
  let a: ClusterNode

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'rrep-test-'))
    ;[cluster, target] = await Promise.all([
      startCluster(binary, { masters: 2, replicas: 1 }),
      startServer({ binary }),
    ])
    ;[b, a] = [cluster.masters[0]!, cluster.masters[1]!]
    await b.client.call('SET', 'bar', 'y')
  })

  afterAll(async () => {
    await Promise.all([cluster?.stop(), target?.stop()])
    rmSync(dir, { recursive: true, force: true })
  })

  test.each([
    ['tail', () => ['tail', at(b)]],
    ['tail from a snapshot on', () => ['tail', at(b), '-o', join(dir, 'kept')]],
    ['tail --durable', () => ['tail', at(b), '-o', join(dir, 'durable'), '--durable']],
    ['serve', () => ['serve', at(b), '--listen', '127.0.0.1:0']],
    ['replay', () => ['replay', at(b), at(target!), '--spool-dir', join(dir, 'spool')]],
  ])('slots move while %s is attached', async (_, argv) => {
    const halt = new AbortController()
    const running = runCli(argv(), { signal: halt.signal })
    try {
      await waitFor(async () => (await onlineReplicas(b)) === 2, { what: 'rrep to be a replica' })
      // The slot is one of the other node, and goes there again.
      const own = SLOT + 8192
      expect(await b.client.call('CLUSTER', 'SETSLOT', own, 'IMPORTING', a.id)).toBe('OK')
      expect(await b.client.call('CLUSTER', 'SETSLOT', own, 'STABLE')).toBe('OK')
      expect(await b.client.call('CLUSTER', 'SETSLOT', SLOT, 'MIGRATING', a.id)).toBe('OK')
      expect(await b.client.call('CLUSTER', 'SETSLOT', SLOT, 'STABLE')).toBe('OK')
      // It is acknowledged: what WAIT counts is what is so.
      await b.client.call('SET', 'bar', 'z')
      expect(await b.client.call('WAIT', 2, 5000)).toBe(2)
    } finally {
      halt.abort()
      await running
    }
    await waitFor(async () => (await onlineReplicas(b)) === 1, { what: 'rrep to be gone' })
  })

  test('its own client moves slots to it while tail is attached', async () => {
    const halt = new AbortController()
    const running = runCli(['tail', at(b)], { signal: halt.signal })
    try {
      await waitFor(async () => (await onlineReplicas(b)) === 2, { what: 'rrep to be a replica' })
      const { stdout } = await promisify(execFile)(binary.cli, [
        ...['--cluster', 'reshard', at(b), '--cluster-from', a.id, '--cluster-to', b.id],
        ...['--cluster-slots', '2', '--cluster-yes'],
      ])
      expect(stdout).not.toContain('NOREPLICAS')
      const slots = String(await b.client.call('CLUSTER', 'NODES'))
      expect(slots).toMatch(/myself,master .* 0-8193\n/)
    } finally {
      halt.abort()
      await running
    }
  })
})

function at(server: TestServer): string {
  return `127.0.0.1:${server.port}`
}

async function onlineReplicas(node: ClusterNode): Promise<number> {
  const text = String(await node.client.call('INFO', 'replication'))
  return text.split('state=online').length - 1
}
