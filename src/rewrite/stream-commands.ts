/**
 * A stream as commands: XADD for each entry with its own id, XGROUP CREATE, CREATECONSUMER and
 * XCLAIM … FORCE (XNACK … FORCE where nobody owns them) for groups, consumers and pending entries, XSETID for the counters, XCFGSET and
 * XIDMPRECORD for what Redis 8.6 remembers of producers.
 *
 * XCLAIM refuses an entry that the stream does not hold, but an entry may be deleted and still
 * pending. Where the caller has surveyed the stream (`deadIds`), such entries are added with the
 * rest, claimed, and deleted again. Where it has not, because the stream is too big to be read
 * twice, they are told as loss; for that the ids of live entries are kept, up to `MAX_KEPT_IDS`.
 */
import { Buffer } from 'node:buffer'
import { isLargestCount, LARGEST_DELIVERY_COUNT } from '../rdb/values/delivery-count.js'
import { IDMP_DEFAULT } from '../rdb/values/idmp.js'
import {
  compareStreamIds,
  compareU64,
  isU64Max,
  isZeroId,
  MutableStreamId,
  MutableU64,
  writeStreamId,
  writeU64,
} from '../rdb/values/u64.js'
import type {
  ElementVisitor,
  Slice,
  StreamConsumer,
  StreamGroup,
  StreamId,
  StreamMeta,
  U64,
} from '../rdb/visitor.js'
import { bulkOf, headOf } from './command-writer.js'
import { ElementCommands } from './element-commands.js'
import { LOSS } from '../servers/loss.js'
import { PendingList, StreamIdList } from './pending-list.js'
import type { StreamSurvey } from './stream-survey.js'

/** Beyond this the claim is sent unseen; the server ignores it if the entry is gone. */
const MAX_KEPT_IDS = 2_000_000

const XADD = bulkOf('XADD')
const XADD_5 = headOf(5, 'XADD')
const XDEL_3 = headOf(3, 'XDEL')
const XTRIM_4 = headOf(4, 'XTRIM')
const MINID = bulkOf('MINID')
const XADD_EMPTY_7 = headOf(7, 'XADD')
const MAXLEN = bulkOf('MAXLEN')
const ZERO = bulkOf('0')
const PLACEHOLDER = bulkOf('x')
const FIRST_ID = bulkOf('0-1')
const XSETID_3 = headOf(3, 'XSETID')
const XSETID_7 = headOf(7, 'XSETID')
const ENTRIESADDED = bulkOf('ENTRIESADDED')
const MAXDELETEDID = bulkOf('MAXDELETEDID')
const XGROUP_CREATE_5 = headOf(5, 'XGROUP', 'CREATE')
const XGROUP_CREATE_7 = headOf(7, 'XGROUP', 'CREATE')
const ENTRIESREAD = bulkOf('ENTRIESREAD')
const XGROUP_CREATECONSUMER_5 = headOf(5, 'XGROUP', 'CREATECONSUMER')
const XREADGROUP_7 = headOf(7, 'XREADGROUP', 'GROUP')
const STREAMS = bulkOf('STREAMS')
const XCLAIM_12 = headOf(12, 'XCLAIM')
const TIME = bulkOf('TIME')
const RETRYCOUNT = bulkOf('RETRYCOUNT')
const FORCE = bulkOf('FORCE')
const JUSTID = bulkOf('JUSTID')
const XNACK_10 = headOf(10, 'XNACK')
const XNACK_8 = headOf(8, 'XNACK')
const FAIL = bulkOf('FAIL')
const FATAL = bulkOf('FATAL')
const IDS = bulkOf('IDS')
const ONE = bulkOf('1')
const LARGEST_COUNT = bulkOf(LARGEST_DELIVERY_COUNT)
const XCFGSET_6 = headOf(6, 'XCFGSET')
const IDMP_DURATION = bulkOf('IDMP-DURATION')
const IDMP_MAXSIZE = bulkOf('IDMP-MAXSIZE')
const XIDMPRECORD_5 = headOf(5, 'XIDMPRECORD')

export class StreamCommands extends ElementCommands implements ElementVisitor {
  readonly #idText = Buffer.allocUnsafeSlow(48)
  readonly #liveIds = new StreamIdList()
  readonly #pending = new PendingList()
  readonly #lastEntry = new MutableStreamId()
  readonly #lastId = new MutableStreamId()
  readonly #maxDeletedId = new MutableStreamId()
  readonly #entriesAdded = new MutableU64()
  #hasExtended = false
  #wantsSetId = false
  #survey: StreamSurvey | undefined
  #deadIds: readonly StreamId[] = []
  #deadAdded = 0
  #entries = 0
  /** Copies: what the parser hands over lasts for one call only. */
  #group: Buffer = Buffer.alloc(256)
  #groupBytes = 0
  #consumer: Buffer = Buffer.alloc(256)
  #consumerBytes = 0
  #producer: Buffer = Buffer.alloc(256)
  #producerBytes = 0

  /** @param survey what is known of the stream beforehand, if anything */
  streamBegin(survey: StreamSurvey | undefined): void {
    this.#entries = 0
    this.#deadAdded = 0
    this.#liveIds.clear()
    this.#survey = survey
    this.#deadIds = survey?.deadIds() ?? []
  }

  streamEntry(id: StreamId, fieldCount: number): void {
    const { writer } = this.plan
    if (this.#deadAdded < this.#deadIds.length) this.#addDeadUpTo(id)
    writer.beginCounted(3 + 2 * fieldCount, XADD)
    this.#writeKey()
    this.#id(id)
    this.#entries += 1
    this.#lastEntry.copyFrom(id)
    if (this.#survey === undefined && this.#entries <= MAX_KEPT_IDS) this.#liveIds.add(id)
  }

  streamField(field: Slice, value: Slice): void {
    const { writer } = this.plan
    writer.bulk(field.bytes, field.start, field.end)
    writer.bulk(value.bytes, value.start, value.end)
  }

  /** Comes behind the entries, but counters are set at the end: deleting changes them. */
  streamMeta(meta: StreamMeta): void {
    this.#addDeadUpTo(undefined)
    if (this.#entries === 0 && this.#deadAdded === 0) this.#makeEmpty(meta)
    this.#lastId.copyFrom(meta.lastId)
    this.#maxDeletedId.copyFrom(meta.maxDeletedId)
    // Older files do not tell; servers that load them take the length.
    this.#entriesAdded.copyFrom(meta.hasExtended ? meta.entriesAdded : meta.length)
    this.#hasExtended = meta.hasExtended
    this.#wantsSetId =
      this.target.streamCounters ||
      this.#entries === 0 ||
      this.#deadAdded > 0 ||
      compareStreamIds(meta.lastId, this.#lastEntry) !== 0
    const countersTell =
      !isZeroId(meta.maxDeletedId) || compareU64(meta.entriesAdded, meta.length) !== 0
    if (meta.hasExtended && countersTell && !this.target.streamCounters) {
      this.onLoss(LOSS.STREAM_COUNTERS)
    }
  }

  /** Everything of the stream has been told. */
  streamEnd(): void {
    const { writer } = this.plan
    this.#removeDead()
    if (!this.#wantsSetId) return
    writer.begin(this.target.streamCounters ? XSETID_7 : XSETID_3)
    this.#writeKey()
    this.#id(this.#lastId)
    if (!this.target.streamCounters) return
    writer.constant(ENTRIESADDED)
    this.#u64(this.#entriesAdded)
    writer.constant(MAXDELETEDID)
    this.#id(this.#maxDeletedId)
  }

  streamGroup(group: StreamGroup): void {
    const { writer } = this.plan
    this.#pending.clear()
    this.#group = copyInto(this.#group, group.name)
    this.#groupBytes = group.name.end - group.name.start
    const known = group.hasEntriesRead && !isU64Max(group.entriesRead)
    const withCounter = known && this.target.streamCounters
    writer.begin(withCounter ? XGROUP_CREATE_7 : XGROUP_CREATE_5)
    this.#writeKey()
    writer.bulk(this.#group, 0, this.#groupBytes)
    this.#id(group.lastId)
    if (withCounter) {
      writer.constant(ENTRIESREAD)
      this.#u64(group.entriesRead)
    } else if (known) {
      this.onLoss(LOSS.STREAM_COUNTERS)
    }
  }

  streamGroupPending(id: StreamId, deliveryTimeMs: number, deliveryCount: number): void {
    this.#pending.add(id, deliveryTimeMs, deliveryCount)
  }

  streamConsumer(consumer: StreamConsumer): void {
    const { writer } = this.plan
    this.#consumer = copyInto(this.#consumer, consumer.name)
    this.#consumerBytes = consumer.name.end - consumer.name.start
    if (this.target.createConsumer) {
      writer.begin(XGROUP_CREATECONSUMER_5)
      this.#writeKey()
      writer.bulk(this.#group, 0, this.#groupBytes)
      writer.bulk(this.#consumer, 0, this.#consumerBytes)
    } else {
      // Reading what is pending for a consumer, which is nothing yet, makes it as well.
      writer.begin(XREADGROUP_7)
      writer.bulk(this.#group, 0, this.#groupBytes)
      writer.bulk(this.#consumer, 0, this.#consumerBytes)
      writer.constant(STREAMS)
      this.#writeKey()
      writer.constant(ZERO)
    }
  }

  streamConsumerPending(id: StreamId): void {
    const { writer } = this.plan
    const index = this.#pending.ids.indexOf(id)
    // The parser has made sure that every consumer's id is the group's.
    if (index === -1 || this.#isGone(id)) return
    writer.begin(XCLAIM_12)
    this.#writeKey()
    writer.bulk(this.#group, 0, this.#groupBytes)
    writer.bulk(this.#consumer, 0, this.#consumerBytes)
    writer.constant(ZERO)
    this.#id(id)
    writer.constant(TIME)
    writer.decimal(this.#pending.deliveryTimeMs(index))
    writer.constant(RETRYCOUNT)
    const count = this.#pending.deliveryCount(index)
    if (isLargestCount(count)) writer.constant(LARGEST_COUNT)
    else writer.decimal(count)
    writer.constant(FORCE)
    writer.constant(JUSTID)
  }

  /** Such an entry has no time of delivery. FATAL is what counts as delivered without end. */
  streamNacked(id: StreamId): void {
    if (!this.target.nack) {
      this.onLoss(LOSS.PENDING_NACKED)
      return
    }
    const index = this.#pending.ids.indexOf(id)
    if (index === -1 || this.#isGone(id)) return
    const { writer } = this.plan
    const count = this.#pending.deliveryCount(index)
    const isFatal = isLargestCount(count)
    writer.begin(isFatal ? XNACK_8 : XNACK_10)
    this.#writeKey()
    writer.bulk(this.#group, 0, this.#groupBytes)
    writer.constant(isFatal ? FATAL : FAIL)
    writer.constant(IDS)
    writer.constant(ONE)
    this.#id(id)
    if (!isFatal) {
      writer.constant(RETRYCOUNT)
      writer.decimal(count)
    }
    writer.constant(FORCE)
  }

  /** Told as a loss: no command makes what is pending of an entry that the stream does not hold. */
  #isGone(id: StreamId): boolean {
    const isKnown = this.#survey === undefined && this.#entries <= MAX_KEPT_IDS
    if (!isKnown || this.#liveIds.indexOf(id) !== -1) return false
    this.onLoss(LOSS.PENDING_OF_DELETED)
    return true
  }

  streamIdmp(durationSeconds: number, maxEntries: number, producers: number): void {
    const { writer } = this.plan
    const isDefault =
      durationSeconds === IDMP_DEFAULT.DURATION_SECONDS && maxEntries === IDMP_DEFAULT.MAX_ENTRIES
    if (!this.target.idempotence) {
      if (producers > 0 || !isDefault) this.onLoss(LOSS.IDEMPOTENCE)
      return
    }
    if (isDefault && producers === 0) return
    writer.begin(XCFGSET_6)
    this.#writeKey()
    writer.constant(IDMP_DURATION)
    writer.decimal(durationSeconds)
    writer.constant(IDMP_MAXSIZE)
    writer.decimal(maxEntries)
  }

  // The ids that streamIdmp announced have been written by then.
  streamGroupEnd(): void {}
  streamIdmpEnd(): void {}
  // Kinds that no commands rebuild: they go as RESTORE or not at all.
  moduleSigned(): void {}
  moduleUnsigned(): void {}
  moduleFloat(): void {}
  moduleDouble(): void {}
  moduleString(): void {}
  arrayMeta(): void {}
  arrayElement(): void {}
  gcra(): void {}

  streamProducer(producerId: Slice): void {
    this.#producer = copyInto(this.#producer, producerId)
    this.#producerBytes = producerId.end - producerId.start
  }

  streamProducerId(iid: Slice, entryId: StreamId): void {
    if (!this.target.idempotence) return
    const { writer } = this.plan
    writer.begin(XIDMPRECORD_5)
    this.#writeKey()
    writer.bulk(this.#producer, 0, this.#producerBytes)
    writer.bulk(iid.bytes, iid.start, iid.end)
    this.#id(entryId)
  }

  /** Adds what must be claimed and is deleted, in front of `id`; undefined: all that is left. */
  #addDeadUpTo(id: StreamId | undefined): void {
    const { writer } = this.plan
    while (this.#deadAdded < this.#deadIds.length) {
      const dead = this.#deadIds[this.#deadAdded]!
      if (id !== undefined && compareStreamIds(dead, id) > 0) return
      writer.begin(XADD_5)
      this.#writeKey()
      this.#id(dead)
      writer.constant(PLACEHOLDER)
      writer.constant(PLACEHOLDER)
      this.#deadAdded += 1
    }
  }

  /**
   * XDEL leaves a mark, the highest deleted id, which XSETID can set but not clear. A stream
   * without that mark has lost its entries by trimming, and gets rid of these the same way.
   */
  #removeDead(): void {
    const survey = this.#survey
    if (survey === undefined || this.#deadAdded === 0) return
    const last = this.#deadIds[this.#deadAdded - 1]!
    const trimmed = survey.liveEntries === 0 || compareStreamIds(last, survey.firstLiveId) < 0
    const { writer } = this.plan
    if (
      this.target.streamCounters &&
      this.#hasExtended &&
      isZeroId(this.#maxDeletedId) &&
      trimmed
    ) {
      writer.begin(XTRIM_4)
      this.#writeKey()
      writer.constant(survey.liveEntries === 0 ? MAXLEN : MINID)
      if (survey.liveEntries === 0) writer.constant(ZERO)
      else this.#id(survey.firstLiveId)
      return
    }
    for (const id of this.#deadIds) {
      writer.begin(XDEL_3)
      this.#writeKey()
      this.#id(id)
    }
  }

  #makeEmpty(meta: StreamMeta): void {
    const { writer } = this.plan
    writer.begin(XADD_EMPTY_7)
    this.#writeKey()
    writer.constant(MAXLEN)
    writer.constant(ZERO)
    // An entry cannot be 0-0; XSETID puts the last id right.
    if (isZeroId(meta.lastId)) writer.constant(FIRST_ID)
    else this.#id(meta.lastId)
    writer.constant(PLACEHOLDER)
    writer.constant(PLACEHOLDER)
  }

  #writeKey(): void {
    const { writer, key } = this.plan
    writer.bulk(key.bytes, key.start, key.end)
  }

  #id(id: StreamId): void {
    this.plan.writer.bulk(this.#idText, 0, writeStreamId(id, this.#idText, 0))
  }

  #u64(value: U64): void {
    this.plan.writer.bulk(this.#idText, 0, writeU64(value, this.#idText, 0))
  }
}

/** Copies the slice to the start of `into`, or of a longer buffer, which is returned. */
function copyInto(into: Buffer, slice: Slice): Buffer {
  const length = slice.end - slice.start
  const target = into.length >= length ? into : Buffer.alloc(2 * length)
  slice.bytes.copy(target, 0, slice.start, slice.end)
  return target
}
