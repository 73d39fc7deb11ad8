/** Keys as objects: what `readRdb` gives. Made from the parser's events; every part is a copy. */
import { Buffer } from 'node:buffer'
import {
  DEPTH,
  KIND,
  KIND_NAMES,
  type ElementVisitor,
  type KeyHeader,
  type RdbVisitor,
  type Slice,
} from '../rdb/visitor.js'
import { streamIdText, u64ToBigInt, u64ToSignedBigInt } from '../rdb/values/u64.js'

export interface RdbKeyHead {
  readonly db: number
  readonly key: Buffer
  /** As OBJECT ENCODING names it, after the form in the file. */
  readonly encoding: string
  /** Unix ms (may lie in the past), or undefined. */
  readonly expireAtMs: number | undefined
  readonly idleSeconds: number | undefined
  /** LFU counter, 0 to 255. */
  readonly freq: number | undefined
  /** Where the key's record starts in the RDB. */
  readonly byteOffset: number
  /** Bytes of the value in the RDB. */
  readonly serializedBytes: number
  /** Elements, fields, members, entries; 1 for strings and modules. */
  readonly elements: number
}

/** `value` is undefined where values were not asked for. */
export type RdbKey = RdbKeyHead &
  (
    | { readonly type: 'string'; readonly value: Buffer | undefined }
    | { readonly type: 'list' | 'set'; readonly value: Buffer[] | undefined }
    | { readonly type: 'zset'; readonly value: { member: Buffer; score: number }[] | undefined }
    | { readonly type: 'hash'; readonly value: RdbHashField[] | undefined }
    | { readonly type: 'stream'; readonly value: RdbStream | undefined }
    | { readonly type: 'array'; readonly value: { index: bigint; value: Buffer }[] | undefined }
    | { readonly type: 'gcra'; readonly value: bigint | undefined }
    | {
        readonly type: 'module'
        readonly moduleName: string
        readonly moduleEncver: number
        /** The module's data as it stands in the file; only the module can read it. */
        readonly value: (bigint | number | Buffer)[] | undefined
      }
  )

export interface RdbHashField {
  field: Buffer
  value: Buffer
  /** Unix ms, for a field with an expiry of its own. */
  expireAtMs?: number
}

export interface RdbStream {
  entries: { id: string; fields: [field: Buffer, value: Buffer][] }[]
  lastId: string
  /** From Redis 7.0 on. */
  firstId?: string
  maxDeletedId?: string
  entriesAdded?: bigint
  groups: RdbStreamGroup[]
  /** From Redis 8.6 on: which ids of producers the stream remembers, so that none is added twice. */
  idempotence?: RdbStreamIdempotence
}

export interface RdbStreamIdempotence {
  durationSeconds: number
  maxEntries: number
  producers: { id: Buffer; ids: { iid: Buffer; entryId: string }[] }[]
  /** Counted since the stream was made. */
  idsAdded: bigint
  idsDuplicate: bigint
}

export interface RdbStreamGroup {
  name: Buffer
  lastDeliveredId: string
  /** Undefined where the server does not know. */
  entriesRead: bigint | undefined
  /** `consumer` is undefined for entries that nobody owns (NACKed, Redis 8.8). */
  pending: {
    id: string
    consumer: Buffer | undefined
    deliveryTimeMs: number
    deliveryCount: number
  }[]
  consumers: { name: Buffer; seenTimeMs: number; activeTimeMs: number | undefined }[]
}

const copy = ({ bytes, start, end }: Slice): Buffer => Buffer.from(bytes.subarray(start, end))

const ignore = (): void => undefined

type StreamVisitor = Pick<ElementVisitor, Extract<keyof ElementVisitor, `stream${string}`>>

/** Collects keys until they are taken from `keys`. */
export class KeyBuilder {
  keys: RdbKey[] = []
  readonly visitor: RdbVisitor
  #value: unknown = undefined
  #list: unknown[] = []

  constructor(withValues: boolean, filter: ((header: KeyHeader) => boolean) | undefined) {
    let isWanted = true
    this.visitor = {
      key: (header) => {
        isWanted = filter?.(header) ?? true
        if (!isWanted || !withValues) return DEPTH.SKIP
        this.#list = []
        this.#value =
          header.kind === KIND.STRING || header.kind === KIND.GCRA ? undefined : this.#list
        return DEPTH.ELEMENTS
      },
      keyEnd: (header, stats) => {
        if (!isWanted) return
        const value = withValues ? this.#value : undefined
        const module =
          header.kind === KIND.MODULE
            ? { moduleName: header.moduleName, moduleEncver: header.moduleEncver }
            : {}
        this.keys.push({
          db: header.dbnum,
          key: copy(header.key),
          type: KIND_NAMES[header.kind],
          encoding: stats.isInteger ? 'int' : header.type.encoding,
          expireAtMs: header.hasExpiry ? header.expireAtMs : undefined,
          idleSeconds: header.idleSeconds < 0 ? undefined : header.idleSeconds,
          freq: header.freq < 0 ? undefined : header.freq,
          byteOffset: header.byteOffset,
          serializedBytes: stats.serializedBytes,
          elements: stats.elements,
          ...module,
          value,
        } as RdbKey)
        this.#value = undefined
        this.#list = []
      },
      ...(withValues ? this.#elements() : {}),
    }
  }

  #elements(): ElementVisitor {
    const add = (element: unknown): void => void this.#list.push(element)
    return {
      stringValue: (value) => {
        this.#value = copy(value)
      },
      listElement: (element) => add(copy(element)),
      setMember: (member) => add(copy(member)),
      zsetMember: (member, score) => add({ member: copy(member), score }),
      hashField: (field, value, expireAtMs) =>
        add({
          field: copy(field),
          value: copy(value),
          ...(expireAtMs < 0 ? {} : { expireAtMs }),
        }),
      arrayMeta: ignore,
      arrayElement: (index, value) => add({ index: u64ToBigInt(index), value: copy(value) }),
      gcra: (value) => {
        this.#value = u64ToBigInt(value)
      },
      moduleSigned: (value) => add(u64ToSignedBigInt(value)),
      moduleUnsigned: (value) => add(u64ToBigInt(value)),
      moduleFloat: add,
      moduleDouble: add,
      moduleString: (value) => add(copy(value)),
      ...this.#streams(),
    }
  }

  #streams(): StreamVisitor {
    let entries: RdbStream['entries'] = []
    let group: RdbStreamGroup | undefined
    let consumer: Buffer | undefined
    let pendingById = new Map<string, RdbStreamGroup['pending'][number]>()
    return {
      streamEntry: (id) => {
        entries = this.#list as RdbStream['entries']
        entries.push({ id: streamIdText(id), fields: [] })
      },
      streamField: (field, value) => entries.at(-1)?.fields.push([copy(field), copy(value)]),
      streamMeta: (meta) => {
        const stream: RdbStream = {
          entries: this.#list as RdbStream['entries'],
          lastId: streamIdText(meta.lastId),
          groups: [],
        }
        if (meta.hasExtended) {
          stream.firstId = streamIdText(meta.firstId)
          stream.maxDeletedId = streamIdText(meta.maxDeletedId)
          stream.entriesAdded = u64ToBigInt(meta.entriesAdded)
        }
        this.#value = stream
      },
      streamGroup: (head) => {
        pendingById = new Map()
        group = {
          name: copy(head.name),
          lastDeliveredId: streamIdText(head.lastId),
          entriesRead: head.hasEntriesRead ? u64ToBigInt(head.entriesRead) : undefined,
          pending: [],
          consumers: [],
        }
        ;(this.#value as RdbStream).groups.push(group)
      },
      streamGroupPending: (id, deliveryTimeMs, deliveryCount) => {
        const entry = { id: streamIdText(id), consumer: undefined, deliveryTimeMs, deliveryCount }
        pendingById.set(entry.id, entry)
        group?.pending.push(entry)
      },
      streamConsumer: ({ name, seenTimeMs, activeTimeMs }) => {
        consumer = copy(name)
        group?.consumers.push({
          name: consumer,
          seenTimeMs,
          activeTimeMs: activeTimeMs < 0 ? undefined : activeTimeMs,
        })
      },
      streamConsumerPending: (id) => {
        const entry = pendingById.get(streamIdText(id))
        if (entry !== undefined) entry.consumer = consumer
      },
      // What nobody owns is pending without a consumer.
      streamNacked: ignore,
      streamGroupEnd: ignore,
      streamIdmp: (durationSeconds, maxEntries) => {
        const stream = this.#value as RdbStream
        stream.idempotence = {
          durationSeconds,
          maxEntries,
          producers: [],
          idsAdded: 0n,
          idsDuplicate: 0n,
        }
      },
      streamProducer: (producerId) => {
        ;(this.#value as RdbStream).idempotence?.producers.push({ id: copy(producerId), ids: [] })
      },
      streamProducerId: (iid, entryId) => {
        const producer = (this.#value as RdbStream).idempotence?.producers.at(-1)
        producer?.ids.push({ iid: copy(iid), entryId: streamIdText(entryId) })
      },
      streamIdmpEnd: (idsAdded, idsDuplicate) => {
        const { idempotence } = this.#value as RdbStream
        if (idempotence === undefined) return
        idempotence.idsAdded = u64ToBigInt(idsAdded)
        idempotence.idsDuplicate = u64ToBigInt(idsDuplicate)
      },
    }
  }
}
