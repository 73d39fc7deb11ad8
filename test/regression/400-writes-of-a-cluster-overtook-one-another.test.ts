/**
 * When a connection to a cluster broke, what was sealed between the reading of the slots' checkpoints and the
 * return to the place where the stream begins again was sent first: it overtook what stands in front of it,
 * which was then left out as done already, or sent twice.
 */
import assert from 'node:assert/strict'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { CommandTable } from '../../src/resp/command-table.js'
import { clusterSeeds } from '../../src/index.js'
import { ClusterStreamWriter } from '../../src/target/cluster/cluster-writer.js'
import { Ledger } from '../../src/target/ledger.js'
import { TargetRewound } from '../../src/target/stream/target-rewound.js'
import { startCluster, type TestCluster } from '../helpers/cluster.js'
import { serverBinary } from '../helpers/servers.js'

const binary = serverBinary('redis-7.0')
const WRITES = 600
/** Behind these. */
const BREAKS = [150, 300, 450]
const IN_FLIGHT = 20

describe.skipIf(binary === undefined)('a stream into a cluster', () => {
  let cluster: TestCluster
  beforeAll(async () => {
    cluster = await startCluster(binary!, { masters: 2, replicas: 0 })
  })
  afterAll(async () => await cluster.stop())

  test('keeps its order and loses nothing when connections break in its midst', async () => {
    const [master] = cluster.masters
    const writer = new ClusterStreamWriter({
      seeds: clusterSeeds(`redis-cluster://127.0.0.1:${master!.port}`),
      clientName: 'rrep-test',
      checkpointKey: Buffer.from('rrep:checkpoint'),
      importSource: false,
      retries: 10,
      ledger: new Ledger(),
      table: new CommandTable(),
      hasExpireTime: true,
      onReconnect: () => undefined,
      onWarning: () => undefined,
    })
    let breaks = 0
    try {
      await writer.open()
      const begin = { replid: '', source: 'test', dbnum: 0, shiftMs: 0, owner: 'one', epoch: 1 }
      const checkpoint = { ...begin, targetWasEmpty: true, nextReplOffset: 0 }
      await writer.writeCheckpoint({ ...checkpoint, phase: 'load' })
      await writer.writeCheckpoint({ ...checkpoint, phase: 'stream' })
      const toBreak = new Set(BREAKS)
      let breakAt = -1
      for (let n = 1; n <= WRITES; n += 1) {
        push(writer, n)
        writer.seal()
        if (toBreak.delete(n)) {
          // What is sent from here on is not answered before the connections break.
          await onEach(cluster, 'CLIENT', 'PAUSE', '10000', 'WRITE')
          breakAt = n + IN_FLIGHT
        } else if (n === breakAt) {
          breakAt = -1
          await onEach(cluster, 'CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')
          await onEach(cluster, 'CLIENT', 'UNPAUSE')
        }
        await new Promise(setImmediate)
        try {
          await writer.drain()
          if (n === WRITES) await writer.flush()
        } catch (error) {
          if (!(error instanceof TargetRewound)) throw error
          breaks += 1
          writer.rewind(error.checkpoint)
          n = error.checkpoint.nextReplOffset
        }
      }
      for (const tag of ['a', 'b']) {
        const node = cluster.masters[tag === 'a' ? 1 : 0]!
        const expected = Array.from({ length: WRITES / 2 }, (_, i) =>
          String(2 * i + (tag === 'a' ? 2 : 1)),
        )
        assert.deepEqual(await node.client.lrange(`l:{${tag}}`, 0, -1), expected)
      }
      assert.ok(breaks > 0)
    } finally {
      writer.close()
    }
  })
})

async function onEach({ masters }: TestCluster, ...words: readonly string[]): Promise<void> {
  const [name, ...args] = words as [string, ...string[]]
  for (const { client } of masters) await client.call(name, ...args)
}

function push({ current }: ClusterStreamWriter, n: number): void {
  current.commandReplOffset = current.nextReplOffset = n
  current.beginCommand()
  current.beginFrame()
  current.out
    .begin(3)
    .ascii('RPUSH')
    .ascii(`l:{${n % 2 === 0 ? 'a' : 'b'}}`)
    .integer(n)
}
