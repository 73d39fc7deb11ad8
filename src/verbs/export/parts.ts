/** Into how many files a dump is split, by the hash slots of a cluster, and what each is called. */
import { readFileSync, statSync } from 'node:fs'
import { fileError } from '../../disk/file-error.js'
import { compressionOfName } from '../../disk/compression.js'
import { UsageError } from '../../errors.js'
import type { ServerSettings } from '../../net/server-settings.js'
import {
  mastersOf,
  SLOT_COUNT,
  slotsWithoutOwner,
  type SlotRanges,
} from '../../topology/cluster-nodes.js'
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
const MAX_NODES_BYTES = 16 << 20

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
  if ('nodesFile' in split) return nodesOf(split.nodesFile)
  const masters = mastersOf(await readCluster([split.node], signal))
  return masters.map(({ id, slots }) => ({ name: id, slots }))
}

function nodesOf(path: string): readonly { name: string; slots: SlotRanges }[] {
  let rows: unknown
  try {
    if (statSync(path).size > MAX_NODES_BYTES) throw noNodes(path)
    rows = JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    if (error instanceof SyntaxError) throw noNodes(path)
    if (error instanceof UsageError) throw error
    throw fileError(path, 'read', error)
  }
  if (!Array.isArray(rows)) throw noNodes(path)
  const shares = (rows as Readonly<Record<string, unknown>>[]).map(({ name, slots }) => {
    const isName = typeof name === 'string' && /^[0-9a-f]{40}$/.test(name)
    if (!isName || !isSlots(slots)) throw noNodes(path)
    return { name, slots }
  })
  // Replicas have none.
  return shares.filter(({ slots }) => slots.length > 0)
}

function isSlots(value: unknown): value is SlotRanges {
  if (!Array.isArray(value)) return false
  return value.every(
    (range: unknown) =>
      Array.isArray(range) &&
      range.length === 2 &&
      range.every((each) => Number.isInteger(each) && each >= 0 && each < SLOT_COUNT) &&
      range[0] <= range[1],
  )
}

/** `part.rdb.gz` and `0`: `part-0.rdb.gz`. */
function partName(output: string, name: string): string {
  const { bareName } = compressionOfName(output)
  const packing = output.slice(bareName.length)
  const dot = /\.[^./\\]+$/.exec(bareName)?.index ?? bareName.length
  return `${bareName.slice(0, dot)}-${name}${bareName.slice(dot)}${packing}`
}

function noNodes(path: string): UsageError {
  return new UsageError(`${path} is no list of the nodes of a cluster`, {
    hint: 'a backup of a cluster has one beside its dumps: nodes.json',
  })
}
