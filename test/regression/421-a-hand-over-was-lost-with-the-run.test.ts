/** Slots that had arrived were noted when the other masters had said how far they were: a run that was killed
 * before that noted nothing, and a moment of then had neither the old owner's keys nor the new one's. */
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
import { Handovers } from '../../src/verbs/tail/handovers.js'
import { TopologyNotes } from '../../src/verbs/tail/topology-notes.js'
import { waitFor } from '../helpers/servers.js'

const root = mkdtempSync(join(tmpdir(), 'rrep-421-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

const [A, B] = ['a', 'b'].map((letter) => letter.repeat(40)) as [string, string]
const BEGIN_MS = 1_700_000_000_000
const SETTLE_MS = 100
const errors: unknown[] = []
const fail = (error: unknown): void => void errors.push(error)
const arrived = { kind: 'slots', slots: [[50, 99]], from: A } as const

function recorderIn(name: string): ClusterRecorder {
  const recorder = new ClusterRecorder(root, name)
  const owners = [
    { shard: A, slots: [[0, 99]] as const },
    { shard: B, slots: [[100, 16_383]] as const },
  ]
  const shards = [A, B].map((id) => {
    return { id, directory: `shard-${id}`, members: [id], host: '', port: 0 }
  })
  recorder.noteTopology(shards, { unixMs: BEGIN_MS, sinceMs: BEGIN_MS, owners, moves: [] })
  return recorder
}

const kept = (): ClusterRecord => readClusterRecord(root)!

/** Whose watch answers when it is told to. */
function watchOf(answer: Promise<ReadonlyMap<string, number>>): ClusterWatch {
  const shards = [A, B].map((id) => ({ id, members: [id], master: undefined, slots: [] }))
  return {
    ...{ shards, nodes: { nodes: [], openSlots: [], moves: [] } },
    ...{ seenMs: Date.now(), lookedMs: Date.now() - 1000 },
    look: async () => await Promise.resolve(),
    replOffsets: async () => await answer,
  } as unknown as ClusterWatch
}

test('slots that arrived are noted before anybody is asked, and read in any case', async () => {
  const handovers = new Handovers(recorderIn('1'), () => 0, fail)
  let answer: (offsets: ReadonlyMap<string, number>) => void = () => undefined
  handovers.watch = watchOf(new Promise((resolve) => (answer = resolve)))
  handovers.note(B, arrived, 7000, BEGIN_MS + 60_100)
  // As a kill now would leave it.
  const entry = { unixMs: BEGIN_MS + 60_000, shard: B, replOffset: 7000, slots: [[50, 99]] }
  expect(kept().handovers).toEqual([{ ...entry, kind: 'slots', needs: {} }])
  const cut = clusterMoment(kept(), { unixMs: BEGIN_MS + 60_500 })
  expect(cut.owners[60]).toBe(1)
  // What was not on disk at the kill came with a later time.
  expect(cut.shards[1]!.until).toEqual({ unixMs: BEGIN_MS + 60_500, leastOffset: 7000 })
  expect(clusterMoment(kept(), { unixMs: BEGIN_MS + 58_000 }).owners[60]).toBe(0)

  answer(new Map([[A, 500]]))
  await handovers.settle()
  expect(kept().handovers).toEqual([{ ...entry, kind: 'slots', needs: { [A]: 500 } }])
  expect(errors).toEqual([])
})

test('behind a kill a moment goes back to before what was received last', async () => {
  const notes = new TopologyNotes(new ClusterRecorder(root, '2'), () => 100, fail, SETTLE_MS)
  notes.changed(watchOf(Promise.resolve(new Map([[A, 100]]))))
  // The one that was quiet lately does not count.
  notes.goesOn(BEGIN_MS + 10_000)
  expect(kept().catchUps).toEqual([{ fromMs: BEGIN_MS + 8000 }])
  notes.goesOn(BEGIN_MS + 62_000)
  expect(kept().catchUps).toEqual([{ fromMs: BEGIN_MS + 60_000 }])
  const cut = clusterMoment(kept(), { unixMs: BEGIN_MS + 63_000 })
  expect(cut.shards[0]!.until).toMatchObject({ unixMs: BEGIN_MS + 59_999 })
  await waitFor(() => kept().topology.length === 2, { what: 'the owners of now' })
  expect(kept().topology[1]!.sinceMs).toBe(BEGIN_MS + 60_000)
  await notes.end()

  // The next one goes on with what is open, however late it received something.
  const again = new TopologyNotes(new ClusterRecorder(root, '3'), () => 0, fail)
  again.changed(watchOf(Promise.resolve(new Map([[A, 200]]))))
  again.goesOn(BEGIN_MS + 70_000)
  await again.end()
  const third = new TopologyNotes(new ClusterRecorder(root, '4'), () => 0, fail)
  third.changed(watchOf(Promise.resolve(new Map([[A, 200]]))))
  third.goesOn(BEGIN_MS + 80_000)
  await third.end()
  expect(kept().catchUps!.slice(1)).toEqual([{ fromMs: BEGIN_MS + 68_000 }])
  expect(errors).toEqual([])
})

test('until the snapshot of a shard that came, a moment goes back to before it came', async () => {
  rmSync(join(root, 'nodes.json'))
  const recorder = recorderIn('4')
  const reached: Record<string, number> = { [A]: 100, [B]: -1 }
  const notes = new TopologyNotes(recorder, (shard) => reached[shard]!, fail, SETTLE_MS)
  const watch = watchOf(Promise.resolve(new Map([[A, 100]])))
  notes.changed(watch)
  await waitFor(() => kept().topology.length === 2, { what: 'who owned what at the begin' })
  const { shards } = watch
  const seenMs = Date.now()
  Object.assign(watch, {
    lookedMs: seenMs - 1000,
    shards: shards.map((each) => ({ ...each, slots: each.id === B ? [[50, 99]] : [[0, 49]] })),
  })
  notes.changed(watch)
  expect(kept().catchUps!.slice(1)).toEqual([{ fromMs: seenMs - 1000 }])
  await waitFor(() => Date.now() > seenMs + 3 * SETTLE_MS, { what: 'what was noted without it' })
  expect(kept().topology).toHaveLength(2)
  reached[B] = 1
  await waitFor(() => kept().topology.length === 3, { what: 'the owners of now' })
  const { unixMs } = kept().topology[2]!
  expect(kept().catchUps!.slice(1)).toEqual([{ fromMs: seenMs - 1000, toMs: unixMs }])
  await notes.end()
})

test('slots that arrive in what was missed while a link was down are late', async () => {
  rmSync(join(root, 'nodes.json'))
  const recorder = recorderIn('5')
  let reached = 0
  const handovers = new Handovers(recorder, () => reached, fail)
  handovers.watch = watchOf(Promise.resolve(new Map([[B, 9000]])))
  const startedMs = BEGIN_MS + 200_000
  handovers.linkLost(B, startedMs)
  handovers.continued(B)
  handovers.note(B, arrived, 8000, startedMs + 4100)
  await handovers.settle()
  const late = { fromMs: startedMs, toMs: startedMs + 4250 }
  expect(kept().catchUps!.at(-1)).toEqual(late)
  reached = 9000
  const readMs = Date.now()
  await waitFor(() => Date.now() > readMs + 300, { what: 'the archive to have all' })
  handovers.note(B, arrived, 9500, startedMs + 20_000)
  await handovers.settle()
  expect(kept().catchUps!.at(-1)).toEqual(late)
  handovers.end()
  expect(errors).toEqual([])
})
