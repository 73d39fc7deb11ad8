/**
 * `nodes.json`: who owned which slots, beside the dumps of a cluster's shards. `redis-cli --cluster
 * backup` writes it, and rrep in the same form.
 */
import { readFileSync, statSync } from 'node:fs'
import { NODES_FILE } from '../archive/cluster-record.js'
import { fileError } from '../disk/file-error.js'
import { RdbError } from '../errors.js'
import { SLOT_COUNT, type ClusterNodes, type SlotRanges } from '../topology/cluster-nodes.js'

export { NODES_FILE }

/** A list of a thousand nodes is a hundredth of that. */
const MAX_BYTES = 16 << 20

export interface SlotOwner {
  /** 40 hex digits. */
  readonly id: string
  readonly slots: SlotRanges
}

export function nodesText({ nodes }: ClusterNodes): string {
  const rows = nodes.map(({ id, place, masterId, isMaster, slots, configEpoch }) => ({
    name: id,
    host: place.host,
    port: place.port,
    replicate: masterId ?? null,
    slots,
    slots_count: slots.reduce((sum, [first, last]) => sum + last - first + 1, 0),
    flags: isMaster ? 'master' : 'slave',
    current_epoch: configEpoch,
  }))
  return `${JSON.stringify(rows, undefined, 2)}\n`
}

/** Those with slots, in the order of these. Throws RdbError (it is no such list), FileError. */
export function readNodesFile(path: string): readonly SlotOwner[] {
  const rows = parse(path)
  if (!Array.isArray(rows)) throw noNodes(path)
  const owners = (rows as unknown[]).map((row) => {
    if (typeof row !== 'object' || row === null) throw noNodes(path)
    const { name: id, slots } = row as Readonly<Record<string, unknown>>
    if (typeof id !== 'string' || !/^[0-9a-f]{40}$/.test(id) || !isSlots(slots)) throw noNodes(path)
    return { id, slots }
  })
  // Replicas have none, and a master without slots has no dump.
  return owners
    .filter(({ slots }) => slots.length > 0)
    .sort((a, b) => a.slots[0]![0] - b.slots[0]![0])
}

function parse(path: string): unknown {
  let text: string
  try {
    if (statSync(path).size > MAX_BYTES) throw noNodes(path)
    text = readFileSync(path, 'utf8')
  } catch (error) {
    throw error instanceof RdbError ? error : fileError(path, 'read', error)
  }
  try {
    return JSON.parse(text)
  } catch {
    throw noNodes(path)
  }
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

function noNodes(path: string): RdbError {
  return new RdbError(
    'ERR_RDB_CORRUPT',
    { file: path },
    'this is no list of the nodes of a cluster',
    { hint: 'a backup of a cluster has one beside its dumps: nodes.json' },
  )
}
