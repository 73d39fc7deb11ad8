/**
 * A node of a stream: 16 bytes master id, then a listpack
 *
 *   count, deleted, nfields, field…, 0
 *   per item: flags, ms − master.ms, seq − master.seq, [n, field, value, …] or [value, …], lp-count
 *
 * flags: 1 deleted, 2 the master's fields, then only values follow. lp-count is how many entries of
 * the item come before it. Differences are modulo 2^64.
 */
import type { Core } from '../core.js'
import type { PackedReader } from '../encodings/packed.js'
import { LISTPACK, readBlob, shapeOf, type Walk } from './packed-values.js'

const ITEM = { DELETED: 1, SAME_FIELDS: 2 } as const
const MASTER_ID_BYTES = 16

/** Reads id and listpack of one node. */
export function readStreamNode(core: Core): void {
  const { input, a, stream } = core
  core.reading = 'stream node'
  const at = input.byteOffset
  input.readString(a)
  if (a.end - a.start !== MASTER_ID_BYTES) {
    throw core.corruptAt(`the id of a stream node has ${a.end - a.start} bytes, not 16`, at)
  }
  const { bytes, start } = a
  stream.masterId.ms.set(bytes.readUInt32BE(start), bytes.readUInt32BE(start + 4))
  stream.masterId.seq.set(bytes.readUInt32BE(start + 8), bytes.readUInt32BE(start + 12))
  readBlob(core, LISTPACK, NODE)
}

const walkNode: Walk = (core, emit) => {
  const { packed, stream } = core
  const { masterFields, masterMark } = stream
  const count = nextCount(core, 'entries')
  const deleted = nextCount(core, 'deleted entries')
  const masterFieldCount = nextCount(core, 'fields')
  masterMark.follow(packed)
  if (!packed.skip(masterFieldCount)) throw ends(core)
  if (nextInteger(core) !== 0) {
    throw core.blobError('the master entry of a stream node does not end in 0', packed.entryAt)
  }
  if (emit) core.visitor.streamNode?.(stream.masterId)
  let deletedSeen = 0
  for (let left = count + deleted; left > 0; left -= 1) {
    const itemEntry = packed.entries
    const flags = nextInteger(core)
    if (flags < 0 || flags > 3) {
      throw core.blobError(`a stream entry has flags ${flags}`, packed.entryAt)
    }
    readId(core)
    const sameFields = (flags & ITEM.SAME_FIELDS) !== 0
    const fieldCount = sameFields ? masterFieldCount : nextCount(core, 'fields')
    if ((flags & ITEM.DELETED) !== 0) {
      deletedSeen += 1
      if (!packed.skip(sameFields ? fieldCount : fieldCount * 2)) throw ends(core)
    } else {
      stream.liveEntries += 1
      if (emit) core.visitor.streamEntry?.(stream.id, fieldCount)
      let names: PackedReader = packed
      if (sameFields) {
        masterFields.follow(masterMark)
        names = masterFields
      }
      readFields(core, names, fieldCount, emit)
    }
    const itemEntries = packed.entries - itemEntry
    if (nextInteger(core) !== itemEntries) {
      throw core.blobError('a stream entry states a wrong number of its parts', packed.entryAt)
    }
  }
  if (packed.next()) {
    throw core.blobError('a stream node holds more than its entries', packed.entryAt)
  }
  if (deletedSeen !== deleted) {
    throw core.blobError(
      `a stream node says ${deleted} entries are deleted, ${deletedSeen} are`,
      core.blob.start,
    )
  }
  return count
}

function readFields(core: Core, names: PackedReader, fieldCount: number, emit: boolean): void {
  const { packed, a, b, stats, visitor } = core
  for (let left = fieldCount; left > 0; left -= 1) {
    // Deleted or not, the master's names were walked before: the loop runs over real ones.
    if (!names.next()) throw ends(core)
    if (names.length > stats.largestElementBytes) stats.largestElementBytes = names.length
    if (emit) names.render(a)
    if (!packed.next()) throw ends(core)
    if (packed.length > stats.largestElementBytes) stats.largestElementBytes = packed.length
    if (emit) {
      packed.render(b)
      visitor.streamField?.(a, b)
    }
  }
}

function readId(core: Core): void {
  const { packed, stream } = core
  const { id, masterId } = stream
  id.copyFrom(masterId)
  nextInteger(core)
  packed.addTo(id.ms)
  nextInteger(core)
  packed.addTo(id.seq)
}

function nextInteger(core: Core): number {
  const { packed } = core
  if (!packed.next()) throw ends(core)
  if (!packed.isInteger) {
    throw core.blobError('text where a number of a stream entry belongs', packed.entryAt)
  }
  return packed.number
}

function nextCount(core: Core, what: string): number {
  const count = nextInteger(core)
  if (count < 0 || core.packed.isWide) {
    throw core.blobError(`a stream node with ${count} ${what}`, core.packed.entryAt)
  }
  return count
}

function ends(core: Core): Error {
  return core.blobError('a stream node ends before its entries do', core.blob.end - 1)
}

const NODE = shapeOf(walkNode)
