import { expect, test } from 'vitest'
import {
  hasSameOwners,
  isSameTopology,
  mastersOf,
  parseClusterNodes,
  slotsWithoutOwner,
} from '../../src/topology/cluster-nodes.js'

const [A, B, C, R] = ['a', 'b', 'c', 'd'].map((letter) => letter.repeat(40)) as [
  string,
  string,
  string,
  string,
]
const ASKED = { host: '10.0.0.9', port: 7000 }

test('addresses, flags, slots and what is on the move', () => {
  const text = [
    `${B} 127.0.0.1:7001@17001,name master - 0 1 2 connected 5461-10922 12000`,
    `${A} :7000@17000 myself,master - 0 0 1 connected 0-5460 [100->-${B}] [101-<-${C}]`,
    `${C} ::1:7002@17002 master,fail? - 1 1 3 connected 10923-11999 12001-16383`,
    `${R} 127.0.0.1:7003@17003 slave ${A} 0 1 1 connected`,
    `${'e'.repeat(40)} :0@0 master,noaddr - 1 1 0 disconnected`,
    `${'f'.repeat(40)} 127.0.0.1:7005@17005 handshake - 1 1 0 connected`,
    '',
  ].join('\n')
  const nodes = parseClusterNodes(text, ASKED)
  expect(nodes.openSlots).toEqual([100, 101])
  expect(nodes.nodes).toHaveLength(4)
  const masters = mastersOf(nodes)
  expect(masters.map(({ id, place, slots, isUp }) => [id, place, slots, isUp])).toEqual([
    [A, { host: '10.0.0.9', port: 7000 }, [[0, 5460]], true],
    [
      B,
      { host: '127.0.0.1', port: 7001 },
      [
        [5461, 10922],
        [12000, 12000],
      ],
      true,
    ],
    [
      C,
      { host: '::1', port: 7002 },
      [
        [10923, 11999],
        [12001, 16383],
      ],
      false,
    ],
  ])
  expect(nodes.nodes.find(({ id }) => id === R)).toMatchObject({ isMaster: false, masterId: A })
  expect(slotsWithoutOwner(masters)).toBe(0)
  expect(slotsWithoutOwner(masters.slice(1))).toBe(5461)
})

test('a topology is another one when a slot, a master or an open slot is', () => {
  const of = (...rows: string[]) =>
    parseClusterNodes(
      rows
        .map(
          (row, i) =>
            `${row.split(' ')[0]!} h:${i + 1}@1 master - 0 0 1 connected ${row.split(' ').slice(1).join(' ')}`,
        )
        .join('\n'),
      ASKED,
    )
  const before = of(`${A} 0-99`, `${B} 100-16383`)
  expect(isSameTopology(before, of(`${B} 100-16383`, `${A} 0-99`))).toBe(true)
  expect(hasSameOwners(before, of(`${A} 0-100`, `${B} 101-16383`))).toBe(false)
  expect(hasSameOwners(before, of(`${C} 0-99`, `${B} 100-16383`))).toBe(false)
  const open = of(`${A} 0-99 [5->-${B}]`, `${B} 100-16383`)
  expect(hasSameOwners(before, open)).toBe(true)
  expect(isSameTopology(before, open)).toBe(false)
})
