/**
 * Streams of one version in the form of another: their nodes, which are the same in all, are copied
 * as bytes; what stands behind them is written from the reader's events. What the form has no place
 * for is named.
 */
import { Buffer } from 'node:buffer'
import type { BacklenHabit } from '../../servers/capabilities.js'
import { LOSS, type Loss } from '../../servers/loss.js'
import { TYPE } from '../numbers.js'
import { isLargestCount } from '../values/delivery-count.js'
import { IDMP_DEFAULT } from '../values/idmp.js'
import { compareU64, isZeroId, MutableStreamId } from '../values/u64.js'
import type { Slice, StreamConsumer, StreamGroup, StreamId, StreamMeta, U64 } from '../visitor.js'
import type { RdbBytes } from './rdb-bytes.js'
import { StreamNodes } from './stream-nodes.js'

const ID_BYTES = 16
/** What XNACK FATAL leaves: 2^63 − 1. */
const LARGEST_COUNT: U64 = { high: 0x7fffffff, low: 0xffffffff }

interface KeptEntry {
  readonly id: MutableStreamId
  readonly deliveryTimeMs: number
  readonly deliveryCount: number
  isOwned: boolean
}

interface KeptConsumer {
  readonly name: Buffer
  readonly seenTimeMs: number
  readonly activeTimeMs: number
  readonly ids: MutableStreamId[]
}

/** A group of a stream with entries that nobody owns. */
interface KeptGroup {
  readonly entries: Map<string, KeptEntry>
  readonly consumers: KeptConsumer[]
}

export class StreamEncoder {
  protected readonly to: RdbBytes
  protected readonly lose: (loss: Loss) => void
  #type = 0
  /** Behind the nodes: raw bytes that come are of what is written anew. */
  #nodesDone = false
  /** Which entries nobody owns stands behind the consumers (type 27), and no earlier type has such
   * entries: of these a group is kept until its end. */
  #keeps = false
  #kept: KeptGroup = { entries: new Map(), consumers: [] }
  /** Nodes that are written anew, of the stream at hand. */
  #nodes: StreamNodes | undefined
  #isInNode = false
  readonly #backlen: BacklenHabit

  /** @param backlen of who reads it */
  constructor(to: RdbBytes, lose: (loss: Loss) => void, backlen: BacklenHabit) {
    this.to = to
    this.lose = lose
    this.#backlen = backlen
  }

  /** @param isChanged its nodes are written from their entries, none comes as raw bytes */
  protected beginStream(sourceType: number, type: number, isChanged: boolean): void {
    this.#type = type
    this.#nodesDone = false
    this.#keeps = sourceType === TYPE.STREAM_5
    this.#nodes = isChanged ? new StreamNodes(this.#backlen) : undefined
    this.#isInNode = false
  }

  /** The next raw bytes of the value: of its nodes, then of what stands behind them. */
  rawNodes(bytes: Uint8Array, start: number, end: number): void {
    if (!this.#nodesDone) this.to.out.write(bytes, start, end)
  }

  streamNodesEnd(): void {
    this.#nodesDone = true
  }

  streamNodes(count: number): void {
    if (this.#nodes !== undefined) this.to.length(count)
  }

  streamNode(masterId: StreamId): void {
    this.#endNode()
    this.#nodes?.begin(masterId)
    this.#isInNode = this.#nodes !== undefined
  }

  // Nodes that are not written anew are copied with their entries.
  streamEntry(id: StreamId, fieldCount: number): void {
    this.#nodes?.entry(id, fieldCount)
  }

  streamField(field: Slice, value: Slice): void {
    this.#nodes?.field(field, value)
  }

  #endNode(): void {
    if (!this.#isInNode || this.#nodes === undefined) return
    const { to } = this
    to.length(ID_BYTES)
    to.rawId(this.#nodes.masterId)
    to.string(this.#nodes.end())
    this.#isInNode = false
  }

  streamMeta(meta: StreamMeta): void {
    const { to } = this
    this.#endNode()
    to.u64(meta.length)
    to.lengthId(meta.lastId)
    if (this.#type >= TYPE.STREAM_2) {
      to.lengthId(meta.firstId)
      to.lengthId(meta.maxDeletedId)
      to.u64(meta.entriesAdded)
    } else if (
      meta.hasExtended &&
      (!isZeroId(meta.maxDeletedId) || compareU64(meta.entriesAdded, meta.length) !== 0)
    ) {
      this.lose(LOSS.STREAM_COUNTERS)
    }
    to.length(meta.groups)
  }

  streamGroup(group: StreamGroup): void {
    const { to } = this
    to.slice(group.name)
    to.lengthId(group.lastId)
    if (this.#type >= TYPE.STREAM_2) {
      if (group.hasEntriesRead) to.u64(group.entriesRead)
      else to.u64Max()
    } else if (group.hasEntriesRead) {
      this.lose(LOSS.STREAM_COUNTERS)
    }
    if (this.#keeps) this.#kept = { entries: new Map(), consumers: [] }
    else to.length(group.pending)
  }

  streamGroupPending(id: StreamId, deliveryTimeMs: number, deliveryCount: number): void {
    if (!this.#keeps) {
      this.#pending(id, deliveryTimeMs, deliveryCount)
      return
    }
    const own = new MutableStreamId()
    own.copyFrom(id)
    const entry = { id: own, deliveryTimeMs, deliveryCount, isOwned: true }
    this.#kept.entries.set(textOf(id), entry)
  }

  protected consumers(count: number): void {
    if (!this.#keeps) this.to.length(count)
  }

  streamConsumer(consumer: StreamConsumer): void {
    const { name, seenTimeMs, activeTimeMs, pending } = consumer
    if (this.#keeps) {
      const own = Buffer.from(name.bytes.subarray(name.start, name.end))
      this.#kept.consumers.push({ name: own, seenTimeMs, activeTimeMs, ids: [] })
      return
    }
    this.to.slice(name)
    this.#consumerTimes(seenTimeMs, activeTimeMs)
    this.to.length(pending)
  }

  streamConsumerPending(id: StreamId): void {
    if (!this.#keeps) {
      this.to.rawId(id)
      return
    }
    const own = new MutableStreamId()
    own.copyFrom(id)
    this.#kept.consumers.at(-1)?.ids.push(own)
  }

  streamNacked(id: StreamId): void {
    const entry = this.#kept.entries.get(textOf(id))
    if (entry === undefined) return
    entry.isOwned = false
    this.lose(LOSS.PENDING_NACKED)
  }

  streamGroupEnd(): void {
    if (!this.#keeps) return
    const { to } = this
    const owned = [...this.#kept.entries.values()].filter((entry) => entry.isOwned)
    to.length(owned.length)
    for (const { id, deliveryTimeMs, deliveryCount } of owned) {
      this.#pending(id, deliveryTimeMs, deliveryCount)
    }
    to.length(this.#kept.consumers.length)
    for (const { name, seenTimeMs, activeTimeMs, ids } of this.#kept.consumers) {
      to.string(name)
      this.#consumerTimes(seenTimeMs, activeTimeMs)
      to.length(ids.length)
      for (const id of ids) to.rawId(id)
    }
  }

  streamIdmp(durationSeconds: number, maxEntries: number, producers: number): void {
    if (this.#type < TYPE.STREAM_4) {
      const { DURATION_SECONDS, MAX_ENTRIES } = IDMP_DEFAULT
      const isDefault = durationSeconds === DURATION_SECONDS && maxEntries === MAX_ENTRIES
      if (producers > 0 || !isDefault) this.lose(LOSS.IDEMPOTENCE)
      return
    }
    this.to.length(durationSeconds)
    this.to.length(maxEntries)
    this.to.length(producers)
  }

  streamProducer(producerId: Slice, ids: number): void {
    if (this.#type < TYPE.STREAM_4) return
    this.to.slice(producerId)
    this.to.length(ids)
  }

  streamProducerId(iid: Slice, entryId: StreamId): void {
    if (this.#type < TYPE.STREAM_4) return
    this.to.slice(iid)
    this.to.lengthId(entryId)
  }

  streamIdmpEnd(idsAdded: U64, idsDuplicate: U64): void {
    if (this.#type < TYPE.STREAM_4) return
    this.to.u64(idsAdded)
    this.to.u64(idsDuplicate)
  }

  #pending(id: StreamId, deliveryTimeMs: number, deliveryCount: number): void {
    const { to } = this
    to.rawId(id)
    to.i64(deliveryTimeMs)
    if (isLargestCount(deliveryCount)) to.u64(LARGEST_COUNT)
    else to.length(deliveryCount)
  }

  #consumerTimes(seenTimeMs: number, activeTimeMs: number): void {
    this.to.i64(seenTimeMs)
    if (this.#type >= TYPE.STREAM_3) this.to.i64(activeTimeMs)
  }
}

function textOf({ ms, seq }: StreamId): string {
  return `${ms.high}.${ms.low}-${seq.high}.${seq.low}`
}
