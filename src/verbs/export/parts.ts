/** Into how many files a dump is split, by the hash slots of a cluster, and what each is called. */
import { compressionOfName } from '../../disk/compression.js'
import { UsageError } from '../../errors.js'
import type { ServerSettings } from '../../net/server-settings.js'
import {
  mastersOf,
  SLOT_COUNT,
  slotsWithoutOwner,
  type SlotRanges,
} from '../../topology/cluster-nodes.js'
import { readNodesFile } from '../../source/nodes-file.js'
import { readCluster } from '../../topology/cluster.js'

/** So many equal shares; the owners in a `nodes.json`; or those of a live cluster, by one of its nodes. */
export type Split = number | { readonly nodesFile: string } | { readonly node: ServerSettings }

export interface Part {
  /** Its number, or the id of the node. */
  readonly name: string
  readonly file: string
  readonly slots: SlotRanges
}

/** Each is an open file with a buffer of its own. */
const MOST_PARTS = 256

/** Rejects with UsageError, FileError, LinkError, AuthError or ProtocolError. */
export async function partsOf(
  split: Split,
  output: string,
  signal: AbortSignal | undefined,
): Promise<readonly Part[]> {
  const shares = await sharesOf(split, signal)
  if (shares.length === 0 || shares.length > MOST_PARTS) {
    throw new UsageError(`a dump is split into 1 to ${MOST_PARTS} parts, not ${shares.length}`)
  }
  const holes = slotsWithoutOwner(shares)
  if (holes > 0) {
    throw new UsageError(`${holes} slots have no owner: their keys would be in no part`)
  }
  return shares.map(({ name, slots }) => ({ name, slots, file: partName(output, name) }))
}

/** By slot: the number of its part, or -1. */
export function partBySlot(parts: readonly Part[]): Int16Array {
  const found = new Int16Array(SLOT_COUNT).fill(-1)
  parts.forEach(({ slots }, index) => {
    for (const [first, last] of slots) found.fill(index, first, last + 1)
  })
  return found
}

async function sharesOf(
  split: Split,
  signal: AbortSignal | undefined,
): Promise<readonly { name: string; slots: SlotRanges }[]> {
  if (typeof split === 'number') {
    // More would not have a slot each; partsOf says what is wrong.
    const count = Math.min(split, SLOT_COUNT)
    const start = (index: number): number => Math.round((index * SLOT_COUNT) / count)
    return Array.from({ length: count }, (_, index) => ({
      name: String(index),
      slots: [[start(index), start(index + 1) - 1]],
    }))
  }
  const owners =
    'nodesFile' in split
      ? readNodesFile(split.nodesFile)
      : mastersOf(await readCluster([split.node], signal))
  return owners.map(({ id, slots }) => ({ name: id, slots }))
}

/** `part.rdb.gz` and `0`: `part-0.rdb.gz`. */
function partName(output: string, name: string): string {
  const { bareName } = compressionOfName(output)
  const packing = output.slice(bareName.length)
  const dot = /\.[^./\\]+$/.exec(bareName)?.index ?? bareName.length
  return `${bareName.slice(0, dot)}-${name}${bareName.slice(dot)}${packing}`
}
