import { expect, test } from 'vitest'
import { clusterMoment } from '../../src/archive/cluster-moment.js'
import type {
  ClusterRecord,
  HandoverRecord,
  TopologyRecord,
} from '../../src/archive/cluster-record.js'

const [A, B] = ['a', 'b'].map((letter) => letter.repeat(40)) as [string, string]

function topology(seconds: number, a: number, moves: TopologyRecord['moves'] = []): TopologyRecord {
  const [unixMs, sinceMs] = [seconds * 1000, seconds * 1000 - 1000]
  const owners = [
    { shard: A, slots: [[0, a]] as const },
    { shard: B, slots: [[a + 1, 16_383]] as const },
  ]
  return { unixMs, sinceMs, owners, moves }
}

function record(topologies: TopologyRecord[], handovers: HandoverRecord[] = []): ClusterRecord {
  const shards = [A, B].map((id) => {
    return { id, directory: `shard-${id}`, members: [id], host: '', port: 0 }
  })
  const format = 'rrep-cluster-archive-1'
  return { format, source: '', shards, topology: topologies, handovers }
}

const at = (seconds: number) => ({ unixMs: seconds * 1000 })
const offsets = ({ shards }: ReturnType<typeof clusterMoment>) =>
  shards.map(({ until }) => (until !== undefined && 'unixMs' in until ? until.leastOffset : 'end'))

test('the owners are those that were seen last', () => {
  const kept = record([topology(100, 99), topology(200, 49)])
  expect(clusterMoment(kept, at(150)).owners[60]).toBe(0)
  expect(clusterMoment(kept, at(250)).owners[60]).toBe(1)
  expect(clusterMoment(kept, undefined).owners[60]).toBe(1)
  expect(() => clusterMoment(kept, at(50))).toThrow(/no state that old: it begins at 1970/)
  expect(() => clusterMoment(kept, { offset: 7 })).toThrow(/counts offsets of its own/)
})

test('a slot that moves key by key has keys of both, and its begin is read in any case', () => {
  const keys: HandoverRecord = {
    ...{ unixMs: 151_000, kind: 'keys', shard: B, replOffset: 7000, slots: [[60, 60]] },
    needs: { [A]: 500 },
  }
  const moves = [{ slot: 60, from: A, to: B }]
  const kept = record([topology(100, 99), topology(152, 99, moves), topology(160, 59)], [keys])
  const before = clusterMoment(kept, at(140))
  expect([before.owners[60], before.second[60], ...offsets(before)]).toEqual([
    ...[0, -1],
    ...[undefined, undefined],
  ])
  for (const seconds of [150, 151, 155]) {
    const cut = clusterMoment(kept, at(seconds))
    // Also of the begin of the next second, since the streams do not arrive at once.
    expect([cut.owners[60], cut.second[60], ...offsets(cut)]).toEqual([1, 0, undefined, 7000])
  }
  const behind = clusterMoment(kept, at(170))
  expect([behind.owners[60], behind.second[60]]).toEqual([1, -1])
})

test('what came as a whole counts from the new owner, whoever was seen with it', () => {
  const whole: HandoverRecord = {
    ...{ unixMs: 151_000, kind: 'slots', shard: B, replOffset: 7000, slots: [[60, 99]] },
    needs: { [A]: 500 },
  }
  const kept = record([topology(100, 99), topology(152, 59)], [whole])
  const before = clusterMoment(kept, at(149))
  expect([before.owners[60], before.second[60]]).toEqual([0, -1])
  const cut = clusterMoment(kept, at(151))
  expect([cut.owners[60], cut.second[60], ...offsets(cut)]).toEqual([1, -1, undefined, 7000])
})

test('a shard that owns nothing then is not read', () => {
  const kept = record([topology(100, 99), topology(200, -1)])
  expect(clusterMoment(kept, at(250)).shards.map(({ shard }) => shard)).toEqual([B])
})
