/** `tail --cluster -o` that went on behind a kill noted who owned the slots before their keys had come:
 * a moment of then had neither the old owner's nor the new one's. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { clusterMoment } from '../../src/archive/cluster-moment.js'
import {
  ClusterRecorder,
  readClusterRecord,
  type ClusterRecord,
} from '../../src/archive/cluster-record.js'
import type { ClusterWatch } from '../../src/topology/cluster-watch.js'
import { TopologyNotes } from '../../src/verbs/tail/topology-notes.js'
import { waitFor } from '../helpers/servers.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-323-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const SETTLE_MS = 100
const [A, B] = ['a', 'b'].map((letter) => letter.repeat(40)) as [string, string]

/** The cluster, with slots from 0 to `last` of A. */
function seen(last: number, master: Readonly<Record<string, number>>): ClusterWatch {
  const now = Date.now()
  const slots = { [A]: [[0, last]], [B]: [[last + 1, 16_383]] }
  return {
    shards: [A, B].map((id) => ({ id, members: [id], master: undefined, slots: slots[id] })),
    nodes: { nodes: [], openSlots: [], moves: [] },
    seenMs: now,
    lookedMs: now - 1000,
    look: async () => await Promise.resolve(),
    replOffsets: async () => await Promise.resolve(new Map(Object.entries(master))),
  } as unknown as ClusterWatch
}

test('who owns the slots is noted when the archives have what was written by then', async () => {
  const archived: Record<string, number> = { [A]: 100, [B]: 100 }
  const errors: unknown[] = []
  const begin = (): TopologyNotes =>
    new TopologyNotes(
      new ClusterRecorder(dir, 'cluster'),
      (shard) => archived[shard]!,
      (error) => errors.push(error),
      SETTLE_MS,
    )
  const kept = (): ClusterRecord => readClusterRecord(dir)!
  const first = begin()
  first.changed(seen(99, { [A]: 100, [B]: 100 }))
  expect(kept().topology).toHaveLength(1)
  await first.end()

  // Killed; slots 50 to 99 went to B meanwhile, whose stream comes late.
  const second = begin()
  second.changed(seen(49, { [A]: 200, [B]: 300 }))
  archived[A] = 200
  const askedMs = Date.now()
  await waitFor(() => Date.now() > askedMs + 3 * SETTLE_MS, { what: 'what was noted at once' })
  expect(kept().topology).toHaveLength(1)
  expect(kept().catchUps).toEqual([{ fromMs: expect.any(Number) as number }])
  archived[B] = 300
  await waitFor(() => kept().topology.length === 2, { what: 'the new owners' })
  const noted = kept().topology[1]!
  expect(noted.replOffsets).toEqual({ [A]: 200, [B]: 300 })
  expect(kept().catchUps).toEqual([{ fromMs: noted.sinceMs, toMs: noted.unixMs }])
  expect(clusterMoment(kept(), undefined).owners[60]).toBe(1)

  // One that is ended before that leaves it open: the next goes on with it.
  const third = begin()
  third.changed(seen(99, { [A]: 900, [B]: 900 }))
  await third.end()
  const { fromMs } = kept().catchUps![1]!
  const fourth = begin()
  fourth.changed(seen(99, { [A]: 900, [B]: 900 }))
  await fourth.end()
  expect(kept().catchUps!.slice(1)).toEqual([{ fromMs }])
  expect(kept().topology).toHaveLength(2)
  expect(errors).toEqual([])
})

test('a moment while the archives caught up is the last one before', () => {
  const owners = (last: number) => [
    { shard: A, slots: [[0, last]] as const },
    { shard: B, slots: [[last + 1, 16_383]] as const },
  ]
  const shards = [A, B].map((id) => {
    return { id, directory: `shard-${id}`, members: [id], host: '', port: 0 }
  })
  // B's stream came first: with it, that the slots had gone to A and come back.
  const late = { kind: 'slots', slots: [[50, 99]] as const, needs: {} } as const
  const kept: ClusterRecord = {
    ...{ format: 'rrep-cluster-archive-1', source: '', shards },
    topology: [
      { unixMs: 100_000, sinceMs: 100_000, owners: owners(49), moves: [] },
      {
        ...{ unixMs: 155_300, sinceMs: 150_400, owners: owners(49), moves: [] },
        replOffsets: { [A]: 500, [B]: 700 },
      },
    ],
    handovers: [
      { ...late, unixMs: 152_000, shard: B, replOffset: 600 },
      { ...late, unixMs: 154_000, shard: A, replOffset: 400 },
    ],
    catchUps: [{ fromMs: 150_400, toMs: 155_300 }],
  }
  for (const [unixMs, cutMs] of [
    [149_999, 149_999],
    [150_000, 149_999],
    [152_500, 149_999],
    [154_999, 149_999],
    [155_000, 155_000],
    [160_000, 160_000],
  ] as const) {
    const cut = clusterMoment(kept, { unixMs })
    expect([cut.owners[60], cut.second[60]]).toEqual([1, -1])
    const until = { unixMs: cutMs, leastOffset: undefined }
    expect(cut.shards.map((each) => each.until)).toEqual([until, until])
  }
  // Killed while it caught up: the newest state is the last whole one, too.
  const open = { ...kept, topology: kept.topology.slice(0, 1), catchUps: [{ fromMs: 150_400 }] }
  expect(clusterMoment(open, undefined).shards[0]!.until).toMatchObject({ unixMs: 149_999 })
})
