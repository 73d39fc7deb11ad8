/**
 * What CLUSTER NODES says: who is there, who owns which slots, which are on the move. One reply that
 * all versions since 3.0 give alike; the lists of newer ones differ in whom they leave out.
 */
import type { ServerPlace } from '../net/server-settings.js'

export const SLOT_COUNT = 16_384

/** First and last slot of each. */
export type SlotRanges = readonly (readonly [first: number, last: number])[]

export interface ClusterNode {
  /** 40 hex digits. */
  readonly id: string
  readonly place: ServerPlace
  readonly isMaster: boolean
  /** Of a replica: the id of its master. */
  readonly masterId: string | undefined
  /** Not down by its neighbours' word. */
  readonly isUp: boolean
  readonly configEpoch: number
  readonly slots: SlotRanges
}

export interface ClusterNodes {
  readonly nodes: readonly ClusterNode[]
  /** Of the node that was asked: slots on their way to or from another. */
  readonly openSlots: readonly number[]
  /** The same, with whom: told by the two nodes alone. */
  readonly moves: readonly SlotMove[]
}

/** A slot on its way from one node to another; both by their ids. */
export interface SlotMove {
  readonly slot: number
  readonly from: string
  readonly to: string
}

/** `asked`: whom a node that does not tell its own host is taken for. */
export function parseClusterNodes(text: string, asked: ServerPlace): ClusterNodes {
  const nodes: ClusterNode[] = []
  const moves: SlotMove[] = []
  for (const line of text.split(/\r?\n/)) {
    const [id, address, flagText, master, , , epoch, , ...slots] = line.trim().split(/\s+/)
    if (id === undefined || address === undefined || flagText === undefined) continue
    const flags = new Set(flagText.split(','))
    if (flags.has('handshake') || flags.has('noaddr')) continue
    const ranges: (readonly [number, number])[] = []
    for (const each of slots) {
      const open = /^\[(\d+)-([<>])-([0-9a-f]+)/.exec(each)
      if (open !== null) {
        const [, slot, way, other] = open
        const [from, to] = way === '>' ? [id, other!] : [other!, id]
        moves.push({ slot: Number(slot), from, to })
      }
      const range = /^(\d+)(?:-(\d+))?$/.exec(each)
      if (range !== null) ranges.push([Number(range[1]), Number(range[2] ?? range[1])])
    }
    nodes.push({
      id,
      place: placeOf(address, asked),
      isMaster: flags.has('master'),
      masterId: master === '-' ? undefined : master,
      isUp: !flags.has('fail') && !flags.has('fail?'),
      configEpoch: Number(epoch ?? 0),
      slots: ranges.sort((a, b) => a[0] - b[0]),
    })
  }
  return { nodes, openSlots: moves.map(({ slot }) => slot), moves }
}

/** Those that own slots, in the order of their slots: one of each shard. */
export function mastersOf({ nodes }: ClusterNodes): readonly ClusterNode[] {
  return nodes
    .filter((each) => each.isMaster && each.slots.length > 0)
    .sort((a, b) => a.slots[0]![0] - b.slots[0]![0])
}

/** How many slots nobody owns. */
export function slotsWithoutOwner(masters: readonly Pick<ClusterNode, 'slots'>[]): number {
  let owned = 0
  for (const [first, last] of masters.flatMap(({ slots }) => slots)) owned += last - first + 1
  return SLOT_COUNT - owned
}

/** The same masters with the same slots. */
export function hasSameOwners(a: ClusterNodes, b: ClusterNodes): boolean {
  const text = (nodes: ClusterNodes): string =>
    JSON.stringify(mastersOf(nodes).map(({ id, slots }) => [id, slots]))
  return text(a) === text(b)
}

/** And nothing on the move. */
export function isSameTopology(a: ClusterNodes, b: ClusterNodes): boolean {
  return a.openSlots.length === 0 && b.openSlots.length === 0 && hasSameOwners(a, b)
}

/** `ip:port@busport[,hostname]`; before 4.0 without the bus. */
function placeOf(address: string, asked: ServerPlace): ServerPlace {
  const found = /^(.*):(\d+)(?:@\d+)?(?:,.*)?$/.exec(address)
  const host = found?.[1] ?? ''
  return { host: host === '' ? asked.host : host, port: Number(found?.[2] ?? asked.port) }
}
