/**
 * A stream as JSON, in one shape for both ways to write strings:
 *
 *   {"entries":[[id,[[field,value],…]],…],"lastId":id,"maxDeletedId":id,"entriesAdded":n,
 *    "groups":[{"name":…,"lastDeliveredId":id,"entriesRead":n|null,
 *               "pending":[[id,consumer,deliveryCount],…],"consumers":[…]},…]}
 *
 * What files before RDB 10 do not hold is left out. As text, a stream that remembers ids of its
 * producers (Redis 8.6) also has `idmp`. The names of a group's consumers are kept until its end,
 * and its pending entries, since the file names their owners only later.
 */
import { Buffer } from 'node:buffer'
import type { OutputBuffer } from '../bytes/output-buffer.js'
import { isLargestCount, LARGEST_DELIVERY_COUNT } from '../rdb/values/delivery-count.js'
import { isU64Max, MutableStreamId, writeStreamId, writeU64 } from '../rdb/values/u64.js'
import type {
  Slice,
  StreamConsumer,
  StreamGroup,
  StreamId,
  StreamMeta,
  U64,
} from '../rdb/visitor.js'
import { NO_OWNER, PendingList } from '../rewrite/pending-list.js'
import type { JsonStrings } from './json-strings.js'

const COMMA = 0x2c
const QUOTE = 0x22
const ARRAY_START = 0x5b
const ARRAY_END = 0x5d
const OBJECT_END = 0x7d

const ENTRIES = Buffer.from('{"entries":[')
const FIELDS = Buffer.from(',[')
const ENTRY_END = Buffer.from(']]')
const LAST_ID = Buffer.from('],"lastId":')
const MAX_DELETED_ID = Buffer.from(',"maxDeletedId":')
const ENTRIES_ADDED = Buffer.from(',"entriesAdded":')
const GROUPS = Buffer.from(',"groups":[')
const GROUP_NAME = Buffer.from('{"name":')
const LAST_DELIVERED_ID = Buffer.from(',"lastDeliveredId":')
const ENTRIES_READ = Buffer.from(',"entriesRead":')
const PENDING = Buffer.from(',"pending":[')
const CONSUMERS = Buffer.from('],"consumers":[')
const GROUP_END = Buffer.from(']}')
const NULL = Buffer.from('null')
const LARGEST_COUNT = Buffer.from(LARGEST_DELIVERY_COUNT)
const PRODUCER_ID = Buffer.from('{"id":')
const PRODUCER_IDS = Buffer.from(',"ids":[')

export class JsonStream {
  readonly #out: OutputBuffer
  readonly #strings: JsonStrings
  readonly #base64: boolean
  readonly #pending = new PendingList()
  readonly #pendingId = new MutableStreamId()
  readonly #consumers = new Names()
  #entries = 0
  #fields = 0
  #groups = 0
  #groupsOpen = false
  #hasExtended = false
  #showsIdmp = false
  #producers = 0
  #producerIds = 0

  constructor(out: OutputBuffer, strings: JsonStrings, base64: boolean) {
    this.#out = out
    this.#strings = strings
    this.#base64 = base64
  }

  begin(): void {
    this.#entries = 0
    this.#groups = 0
    this.#groupsOpen = false
    this.#showsIdmp = false
    this.#out.constant(ENTRIES)
  }

  entry(id: StreamId): void {
    const out = this.#out
    if (this.#entries > 0) {
      out.constant(ENTRY_END)
      out.byte(COMMA)
    }
    out.byte(ARRAY_START)
    this.#id(id)
    out.constant(FIELDS)
    this.#entries += 1
    this.#fields = 0
  }

  field(field: Slice, value: Slice): void {
    const out = this.#out
    if (this.#fields > 0) out.byte(COMMA)
    this.#fields += 1
    out.byte(ARRAY_START)
    this.#strings.write(field.bytes, field.start, field.end)
    out.byte(COMMA)
    this.#strings.write(value.bytes, value.start, value.end)
    out.byte(ARRAY_END)
  }

  meta(meta: StreamMeta): void {
    const out = this.#out
    if (this.#entries > 0) out.constant(ENTRY_END)
    out.constant(LAST_ID)
    this.#id(meta.lastId)
    this.#hasExtended = meta.hasExtended
    if (meta.hasExtended) {
      out.constant(MAX_DELETED_ID)
      this.#id(meta.maxDeletedId)
      out.constant(ENTRIES_ADDED)
      this.#u64(meta.entriesAdded)
    }
    out.constant(GROUPS)
    this.#groupsOpen = true
  }

  group(group: StreamGroup): void {
    const out = this.#out
    if (this.#groups > 0) out.byte(COMMA)
    this.#groups += 1
    this.#pending.clear()
    this.#consumers.clear()
    out.constant(GROUP_NAME)
    this.#strings.write(group.name.bytes, group.name.start, group.name.end)
    out.constant(LAST_DELIVERED_ID)
    this.#id(group.lastId)
    if (!this.#hasExtended) return
    out.constant(ENTRIES_READ)
    if (group.hasEntriesRead && !isU64Max(group.entriesRead)) this.#u64(group.entriesRead)
    else out.constant(NULL)
  }

  groupPending(id: StreamId, deliveryTimeMs: number, deliveryCount: number): void {
    this.#pending.add(id, deliveryTimeMs, deliveryCount)
  }

  consumer(consumer: StreamConsumer): void {
    this.#consumers.add(consumer.name)
  }

  consumerPending(id: StreamId): void {
    const index = this.#pending.ids.indexOf(id)
    if (index >= 0) this.#pending.setOwner(index, this.#consumers.length - 1)
  }

  groupEnd(): void {
    const out = this.#out
    const pending = this.#pending
    const consumers = this.#consumers
    out.constant(PENDING)
    for (let index = 0; index < pending.length; index += 1) {
      if (index > 0) out.byte(COMMA)
      out.byte(ARRAY_START)
      pending.ids.read(index, this.#pendingId)
      this.#id(this.#pendingId)
      out.byte(COMMA)
      const owner = pending.owner(index)
      if (owner === NO_OWNER) out.constant(NULL)
      else this.#name(owner)
      out.byte(COMMA)
      const deliveries = pending.deliveryCount(index)
      if (isLargestCount(deliveries)) out.constant(LARGEST_COUNT)
      else out.decimal(deliveries)
      out.byte(ARRAY_END)
    }
    out.constant(CONSUMERS)
    for (let index = 0; index < consumers.length; index += 1) {
      if (index > 0) out.byte(COMMA)
      this.#name(index)
    }
    out.constant(GROUP_END)
  }

  idmp(durationSeconds: number, maxEntries: number, producers: number): void {
    this.#showsIdmp = !this.#base64 && producers > 0
    if (!this.#showsIdmp) return
    this.#closeGroups()
    this.#producers = 0
    this.#out.write(
      Buffer.from(
        `,"idmp":{"durationSeconds":${durationSeconds},"maxEntries":${maxEntries},"producers":[`,
      ),
    )
  }

  producer(producerId: Slice): void {
    if (!this.#showsIdmp) return
    const out = this.#out
    if (this.#producers > 0) {
      out.constant(GROUP_END)
      out.byte(COMMA)
    }
    this.#producers += 1
    this.#producerIds = 0
    out.constant(PRODUCER_ID)
    this.#strings.write(producerId.bytes, producerId.start, producerId.end)
    out.constant(PRODUCER_IDS)
  }

  producerId(iid: Slice, entryId: StreamId): void {
    if (!this.#showsIdmp) return
    const out = this.#out
    if (this.#producerIds > 0) out.byte(COMMA)
    this.#producerIds += 1
    out.byte(ARRAY_START)
    this.#strings.write(iid.bytes, iid.start, iid.end)
    out.byte(COMMA)
    this.#id(entryId)
    out.byte(ARRAY_END)
  }

  idmpEnd(idsAdded: U64, idsDuplicate: U64): void {
    if (!this.#showsIdmp) return
    const out = this.#out
    if (this.#producers > 0) out.constant(GROUP_END)
    out.write(Buffer.from('],"idsAdded":'))
    this.#u64(idsAdded)
    out.write(Buffer.from(',"idsDuplicate":'))
    this.#u64(idsDuplicate)
    out.byte(OBJECT_END)
  }

  end(): void {
    this.#closeGroups()
    this.#out.byte(OBJECT_END)
  }

  #closeGroups(): void {
    if (this.#groupsOpen) this.#out.byte(ARRAY_END)
    this.#groupsOpen = false
  }

  #name(index: number): void {
    const consumers = this.#consumers
    this.#strings.write(consumers.bytes, consumers.start(index), consumers.end(index))
  }

  #id(id: StreamId): void {
    const out = this.#out
    out.room(48)
    out.bytes[out.pos] = QUOTE
    const at = writeStreamId(id, out.bytes, out.pos + 1)
    out.bytes[at] = QUOTE
    out.pos = at + 1
  }

  #u64(value: U64): void {
    const out = this.#out
    out.room(24)
    out.pos = writeU64(value, out.bytes, out.pos)
  }
}

/** Names one behind the other in one buffer. */
class Names {
  length = 0
  bytes: Buffer = Buffer.alloc(1024)
  readonly #ends: number[] = []

  clear(): void {
    this.length = 0
    this.#ends.length = 0
  }

  start(index: number): number {
    return index === 0 ? 0 : this.#ends[index - 1]!
  }

  end(index: number): number {
    return this.#ends[index]!
  }

  add(name: Slice): void {
    const at = this.start(this.length)
    const end = at + name.end - name.start
    if (end > this.bytes.length) {
      const next = Buffer.alloc(2 * end)
      this.bytes.copy(next, 0, 0, at)
      this.bytes = next
    }
    name.bytes.copy(this.bytes, at, name.start, name.end)
    this.#ends.push(end)
    this.length += 1
  }
}
