import { expect, test } from 'vitest'
import type { ClusterNode, SlotRanges } from '../../src/topology/cluster-nodes.js'
import { followShards } from '../../src/topology/cluster-shards.js'

function node(id: string, slots: SlotRanges, more: Partial<ClusterNode> = {}): ClusterNode {
  const place = { host: id, port: 7000 }
  const base = { isMaster: true, masterId: undefined, isUp: true, configEpoch: 1 }
  return { id, place, slots, ...base, ...more }
}
const replica = (id: string, masterId: string): ClusterNode =>
  node(id, [], { isMaster: false, masterId })
const look = (...nodes: ClusterNode[]) => ({ nodes, openSlots: [], moves: [] })
const told = (shards: ReturnType<typeof followShards>) =>
  shards.map(({ id, master, slots }) => [id, master?.id, slots])

const A: SlotRanges = [[0, 99]]
const B: SlotRanges = [[100, 199]]
const first = followShards([], look(node('a', A), node('b', B), replica('r', 'a')))

test('a shard keeps its name when its replica is promoted, and when it is deposed again', () => {
  const down = node('a', A, { isUp: false })
  const failing = followShards(first, look(down, node('b', B), replica('r', 'a')))
  expect(told(failing)).toEqual([
    ['a', undefined, A],
    ['b', 'b', B],
  ])
  const promoted = node('r', A, { configEpoch: 3 })
  const empty = node('a', [], { isUp: false })
  const after = followShards(failing, look(empty, promoted, node('b', B)))
  expect(told(after)[0]).toEqual(['a', 'r', A])
  const back = followShards(after, look(replica('a', 'r'), promoted, node('b', B)))
  expect(told(back)[0]).toEqual(['a', 'r', A])
  const again = followShards(back, look(node('a', A, { configEpoch: 5 }), replica('r', 'a')))
  expect(told(again)[0]).toEqual(['a', 'a', A])
})

test('a deposed master that is up and says master is no shard of its own', () => {
  const promoted = node('r', A, { configEpoch: 3 })
  expect(told(followShards(first, look(node('a', []), promoted, node('b', B))))).toEqual([
    ['a', 'r', A],
    ['b', 'b', B],
  ])
})

test('a shard comes with its first slot, or when it has settled without one', () => {
  const nodes = look(node('a', A), node('b', B), node('c', []))
  expect(told(followShards(first, nodes))).toHaveLength(2)
  expect(told(followShards(first, nodes, new Set(['c'])))[2]).toEqual(['c', 'c', []])
  const moved = look(node('a', [[1, 99]]), node('b', B), node('c', [[0, 0]]))
  expect(told(followShards(first, moved))).toEqual([
    ['c', 'c', [[0, 0]]],
    ['a', 'a', [[1, 99]]],
    ['b', 'b', B],
  ])
})

test('a shard whose nodes all follow another is gone, and one without slots is not', () => {
  const all: SlotRanges = [[0, 199]]
  expect(told(followShards(first, look(node('a', []), node('b', all))))).toEqual([
    ['b', 'b', all],
    ['a', 'a', []],
  ])
  const joined = look(replica('a', 'b'), replica('r', 'b'), node('b', all))
  expect(told(followShards(first, joined))).toEqual([['b', 'b', all]])
})

test('a node that nobody knew leads the shard whose slots it has', () => {
  expect(told(followShards(first, look(node('x', A), node('b', B))))[0]).toEqual(['a', 'x', A])
})
