/** What the steps of a stream remember between each other, and the check of its pending entries. */
import { PackedReader, type BlobFail } from '../encodings/packed.js'
import { StringSlot } from '../io/slice.js'
import { MutableStreamId, MutableU64 } from '../values/u64.js'
import type { StreamConsumer, StreamGroup, StreamId, StreamMeta } from '../visitor.js'

class MutableStreamMeta implements StreamMeta {
  readonly length = new MutableU64()
  readonly lastId = new MutableStreamId()
  hasExtended = false
  readonly firstId = new MutableStreamId()
  readonly maxDeletedId = new MutableStreamId()
  readonly entriesAdded = new MutableU64()
  groups = 0
}

class MutableStreamGroup implements StreamGroup {
  readonly name = new StringSlot()
  readonly lastId = new MutableStreamId()
  hasEntriesRead = false
  readonly entriesRead = new MutableU64()
  pending = 0
}

class MutableStreamConsumer implements StreamConsumer {
  readonly name = new StringSlot()
  seenTimeMs = 0
  activeTimeMs = -1
  pending = 0
}

export class StreamState {
  readonly meta = new MutableStreamMeta()
  readonly group = new MutableStreamGroup()
  readonly consumer = new MutableStreamConsumer()
  readonly pending = new PendingIds()
  /** Id of the node's master entry, and of the entry at hand. */
  readonly masterId = new MutableStreamId()
  readonly id = new MutableStreamId()
  /** Follows the fields of the master entry beside an item that shares them. */
  readonly masterFields: PackedReader
  /** Stands at the first of them. */
  readonly masterMark: PackedReader
  /** Live entries met so far; counted only where nodes are walked. */
  liveEntries = 0
  groupsLeft = 0
  consumersLeft = 0
  producersLeft = 0

  constructor(fail: BlobFail) {
    this.masterFields = new PackedReader(fail)
    this.masterMark = new PackedReader(fail)
  }
}

/** Beyond this many the ids of a group are compared as a whole, not one by one. */
const MAX_IDS = 1 << 20

/**
 * The pending ids of one group. Each must belong to exactly one consumer (or, from Redis 8.8 on, be
 * NACKed), and consumers have no others. Up to a million ids are kept and looked up; of more only
 * sums are, which tell at the end of the group whether both sides were the same.
 */
export class PendingIds {
  #ids = new Uint32Array(256)
  #count = 0
  #isExact = true
  #sumOfGroup = 0
  #sumOfOwners = 0
  #ownedCount = 0

  reset(): void {
    this.#count = 0
    this.#isExact = true
    this.#sumOfGroup = 0
    this.#sumOfOwners = 0
    this.#ownedCount = 0
    if (this.#ids.length > 65536) this.#ids = new Uint32Array(256)
  }

  /** An id of the group; they come in ascending order. */
  add(id: StreamId): void {
    this.#sumOfGroup = (this.#sumOfGroup + mix(id)) % Number.MAX_SAFE_INTEGER
    const at = this.#count * 4
    this.#count += 1
    if (this.#count > MAX_IDS) this.#isExact = false
    if (!this.#isExact) return
    // A look-up needs the order; without it only the sums are left.
    if (this.#count > 1 && this.#compareAt(this.#count - 2, id) >= 0) this.#isExact = false
    if (at + 4 > this.#ids.length) {
      const more = new Uint32Array(this.#ids.length * 2)
      more.set(this.#ids)
      this.#ids = more
    }
    this.#ids[at] = id.ms.high
    this.#ids[at + 1] = id.ms.low
    this.#ids[at + 2] = id.seq.high
    this.#ids[at + 3] = id.seq.low
  }

  /** An id that a consumer (or nobody, NACKed) has. False: the group does not have it. */
  own(id: StreamId): boolean {
    this.#sumOfOwners = (this.#sumOfOwners + mix(id)) % Number.MAX_SAFE_INTEGER
    this.#ownedCount += 1
    if (!this.#isExact) return true
    let low = 0
    let high = this.#count - 1
    while (low <= high) {
      const middle = (low + high) >> 1
      const order = this.#compareAt(middle, id)
      if (order === 0) return true
      if (order < 0) low = middle + 1
      else high = middle - 1
    }
    return false
  }

  /** At the end of the group: has each id exactly one owner? */
  get isConsistent(): boolean {
    return this.#count === this.#ownedCount && this.#sumOfGroup === this.#sumOfOwners
  }

  #compareAt(index: number, id: StreamId): number {
    const ids = this.#ids
    const at = index * 4
    return (
      ids[at]! - id.ms.high ||
      ids[at + 1]! - id.ms.low ||
      ids[at + 2]! - id.seq.high ||
      ids[at + 3]! - id.seq.low
    )
  }
}

/** 32 bits that depend on all of the id. */
function mix(id: StreamId): number {
  let hash = Math.imul(id.ms.high ^ 0x9e3779b1, 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13) ^ id.ms.low, 0xc2b2ae35)
  hash = Math.imul(hash ^ (hash >>> 16) ^ id.seq.high, 0x27d4eb2f)
  hash = Math.imul(hash ^ (hash >>> 15) ^ id.seq.low, 0x165667b1)
  return (hash ^ (hash >>> 13)) >>> 0
}
