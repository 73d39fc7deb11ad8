/**
 * What the RDB parser tells, and to whom: the contract between `RdbParser` and everything that
 * works on keys (inspect, export, rewrite, replay, diff).
 *
 * All calls are synchronous and come in file order. Objects handed over (`KeyHeader`, `Slice`,
 * `StreamId`, `ValueStats`, …) are reused: read them during the call, copy what must last. Nothing
 * is allocated per key or element. Every method but `key` may be left out.
 *
 * Calls of a file:
 *
 *   start, then in the order of the file: aux, functionLibrary, hashTemplate, slotImport, moduleAux,
 *   selectDb, resizeDb, slotInfo, keys, updateCommand, notice, lost; at last end
 *
 * Calls of a key:
 *
 *   key(header) → depth
 *     SKIP      packed / plain (sizes only)
 *     RAW       rawValue(bytes, start, end) any number of times; packed / plain as well
 *     ELEMENTS  the events of its kind: stringValue | listElement… | setMember… | zsetMember… |
 *               hashField… | stream… | module… | arrayElement…; packed / plain as well
 *   keyEnd(header, stats)
 *
 * A visitor may throw: the parser is then unusable and the error reaches the caller of `push`.
 */
import type { Kind } from './kinds.js'
import type { RdbFamily, RdbType } from './numbers.js'

export { KIND, KIND_NAMES, typeNameOf, type Kind } from './kinds.js'

/** How deep the parser goes into a value. One grammar serves all three. */
export const DEPTH = {
  /** Walks the structure: sizes and counts only. */
  SKIP: 0,
  /** Hands out the serialised value as it stands in the file. */
  RAW: 1,
  /** Reports each element; packed blobs are checked to the last byte on the way. */
  ELEMENTS: 2,
} as const
export type Depth = (typeof DEPTH)[keyof typeof DEPTH]

/**
 * bytes[start, end), valid during the call only. Integers are rendered as canonical decimal text.
 * `bytes` may be a different Buffer in every call.
 */
export interface Slice {
  readonly bytes: Buffer
  readonly start: number
  readonly end: number
}

/** An unsigned 64-bit number in two halves (each 0…2^32−1). See u64.ts for what to do with it. */
export interface U64 {
  readonly high: number
  readonly low: number
}

/** The id of a stream entry. Both parts use all 64 bits. See u64.ts: `streamIdText` and so on. */
export interface StreamId {
  readonly ms: U64
  readonly seq: U64
}

/** ONE object, reused for every key. Valid from `key` to `keyEnd`, both included. */
export interface KeyHeader {
  /** The key itself: key.bytes[key.start, key.end). Look again in `keyEnd`: it may have moved. */
  readonly key: Slice
  readonly dbnum: number
  readonly hasExpiry: boolean
  /** Unix ms if `hasExpiry` (may lie in the past or be negative), else -1. */
  readonly expireAtMs: number
  /** OBJECT IDLETIME in seconds, or -1 where the file has none. */
  readonly idleSeconds: number
  /** LFU counter 0…255, or -1 where the file has none. */
  readonly freq: number
  /** The type byte of the file. Numbers 22 and 23 mean different things by `family`. */
  readonly typeByte: number
  /** The row of the type table for `typeByte` in this family: name, kind, encoding. */
  readonly type: RdbType
  readonly kind: Kind
  readonly family: RdbFamily
  /** Cluster slot this key was announced under (SLOT_INFO or AUX `slot-info`), or -1. */
  readonly slot: number
  /** Name of the module type, 9 characters (allocated for module keys only), else ''. */
  readonly moduleName: string
  /** Encoding version of the module type, else -1. */
  readonly moduleEncver: number
  /**
   * The KEY_META record in front of the type byte, from its opcode 243 on; empty if none. The
   * payload of a DUMP is `meta`, then `typeByte`, then the raw value.
   */
  readonly meta: Slice
  /** How many classes of metadata `meta` holds. */
  readonly metaClasses: number
  /** Where the key's record starts (its first attribute opcode or its type byte). */
  readonly byteOffset: number
  /** Where the value starts, behind the key. */
  readonly valueByteOffset: number
  /** Keys before this one, in the whole file. */
  readonly index: number
}

/** What was seen of a value, at every depth. ONE object, reused; valid in `keyEnd`. */
export interface ValueStats {
  /** Bytes of the value in the file, without type byte and key. */
  readonly serializedBytes: number
  /**
   * Bytes of the whole record in the file: attributes, type byte, key, value. Sums of it, plus
   * what stands between keys, give the file.
   */
  readonly recordBytes: number
  /** Elements of a list, members, fields, live stream entries; 1 for strings and modules. */
  readonly elements: number
  /** Strings: length once decoded. */
  readonly stringBytes: number
  /** Strings: canonical decimal text of a signed 64-bit number, `int` in memory. */
  readonly isInteger: boolean
  /** Ziplists, listpacks, intsets, zipmaps: how many blobs, */
  readonly packedBlobs: number
  /** and their lengths once decompressed, added up. */
  readonly packedBytes: number
  /** Entries in these blobs (a hash has two or three for each field). */
  readonly packedEntries: number
  /** Strings outside of blobs: plain list nodes, members, fields and values of hash tables. */
  readonly plainStrings: number
  readonly plainBytes: number
  /** Fields with an expiry of their own; known at ELEMENTS depth and for unpacked hashes. */
  readonly fieldsWithExpiry: number
  /**
   * Longest element in bytes (for hashes: longest field or value). -1 where blobs were not walked
   * (SKIP and RAW without `validate`).
   */
  readonly largestElementBytes: number
  /** ELEMENTS: an entry of a listpack is of a size at which servers disagree on its back-length. */
  readonly hasDisputedLength: boolean
  /** Some string of the value was LZF-compressed. */
  readonly compressed: boolean
  /** Strings: begins as a HyperLogLog does. Those are made by appending, so they are `raw`. */
  readonly isHyperLogLog: boolean
  /** Streams: counts as the file states them; all 0 for other kinds. */
  readonly streamGroups: number
  readonly streamConsumers: number
  /** Entries of all group PELs. */
  readonly streamPending: number
}

/** The first thing told. */
export interface RdbStart {
  readonly family: RdbFamily
  /** 1…15, 80, 81. */
  readonly version: number
}

/** How the checksum behind the EOF opcode compares. */
export type ChecksumState = 'ok' | 'absent' | 'bad' | 'unchecked'

/** The last thing told, and what `RdbParser.end()` returns. */
export interface RdbSummary {
  readonly family: RdbFamily
  readonly version: number
  /**
   * `absent`: stored as 0, or a version before 5. `unchecked`: parser option. `bad` is told only
   * with the option `checksum: 'report'`, otherwise it is an error.
   */
  readonly checksum: ChecksumState
  /** The stored one, hex; undefined where it is absent. */
  readonly crc64: string | undefined
  readonly keysRead: number
  /** Length of the RDB with its checksum: the byte behind it is not its own. */
  readonly rdbBytes: number
  /** Bytes pushed behind the end, if the caller pushed any; what they mean is the caller's. */
  readonly trailingBytes: number
  /** Notices given, by code. */
  readonly notices: Readonly<Record<string, number>>
  /** Regions lost, with `salvage`. */
  readonly lostRegions: number
  readonly lostBytes: number
}

/** Things worth telling that do not stop the reading. `strict` turns most of them into errors. */
export const NOTICE = {
  /** A list, set, zset or hash without elements: servers skip such keys. */
  EMPTY_VALUE: 'empty-value',
  /** Two expiry opcodes before one key: the later wins. */
  EXPIRY_TWICE: 'expiry-twice',
  /** Expiry, idle time or frequency with no key behind. */
  ATTRIBUTE_WITHOUT_KEY: 'attribute-without-key',
  /** The same key twice in a db: servers stop on it. Looked for with `validate`, see parser. */
  DUPLICATE_KEY: 'duplicate-key',
  /** A stream's length differs from its live entries (a development version wrote that). */
  STREAM_LENGTH: 'stream-length',
  /** Valkey UPDATE or another opcode that was stepped over. */
  SKIPPED_OPCODE: 'skipped-opcode',
  /** More keys than the duplicate check remembers: only one of 2, 4, … is compared from here. */
  DUPLICATES_SAMPLED: 'duplicates-sampled',
} as const
export type NoticeCode = (typeof NOTICE)[keyof typeof NOTICE]

/** A stretch of the file that could not be read, with `salvage`. */
export interface LostRegion {
  readonly fromByte: number
  /** First byte that could be read again; the end of the input if none was found. */
  readonly toByte: number
  /** The error that a run without `salvage` would have ended with. */
  readonly error: Error
  /** Db and printable text of the key at hand, if there was one. */
  readonly dbnum: number
  readonly key: string | undefined
  /**
   * `key`: one value was damaged inside, its frame was sound, nothing else is lost.
   * `resync`: reading went on at a later record that checks out. `rest`: nothing found behind.
   */
  readonly recovery: 'key' | 'resync' | 'rest'
  /** False after a `resync` inside a db: a SELECTDB may have been lost with the region. */
  readonly dbnumCertain: boolean
}

/**
 * What is told of values at ELEMENTS depth. Who takes elements `implements` this: all methods are
 * required, so that a new event is named by the compiler wherever it would be lost. What a visitor
 * does not need it leaves empty, and says why.
 */
export interface ElementVisitor {
  /**
   * ELEMENTS, strings: the whole value. A string longer than the option `wholeStringBytes` comes
   * as stringBegin, stringPart…, stringEnd instead if the visitor has stringPart.
   */
  stringValue(value: Slice): void

  listElement(element: Slice): void
  setMember(member: Slice): void
  /**
   * `scoreText` is the score as the file spells it (`1.5`, `-inf`, `12`), or empty (start === end)
   * where the file has a binary double. `score` is never NaN.
   */
  zsetMember(member: Slice, score: number, scoreText: Slice): void
  /** `expireAtMs` is unix ms, or -1 for a field without expiry. */
  hashField(field: Slice, value: Slice, expireAtMs: number): void

  /** A live entry: then `fieldCount` calls of streamField. Deleted ones are not told. */
  streamEntry(id: StreamId, fieldCount: number): void
  streamField(field: Slice, value: Slice): void
  /** Behind the entries. */
  streamMeta(meta: StreamMeta): void
  /** Then its pending entries, consumers (each with its own), nacked; then streamGroupEnd. */
  streamGroup(group: StreamGroup): void
  /** `deliveryCount` may be 2^63, see delivery-count.ts. */
  streamGroupPending(id: StreamId, deliveryTimeMs: number, deliveryCount: number): void
  streamConsumer(consumer: StreamConsumer): void
  streamConsumerPending(id: StreamId): void
  /** Redis 8.8: in the group's PEL, owned by no consumer. */
  streamNacked(id: StreamId): void
  streamGroupEnd(): void
  /** Redis 8.6: then streamProducer…, each followed by its ids; then streamIdmpEnd. */
  streamIdmp(durationSeconds: number, maxEntries: number, producers: number): void
  streamProducer(producerId: Slice, ids: number): void
  streamProducerId(iid: Slice, entryId: StreamId): void
  streamIdmpEnd(idsAdded: U64, idsDuplicate: U64): void

  /** Module values and module aux: each datum, in order. Which methods are called is the opcode. */
  moduleSigned(value: U64): void
  moduleUnsigned(value: U64): void
  moduleFloat(value: number): void
  moduleDouble(value: number): void
  moduleString(value: Slice): void

  /** Redis 8.8: `insertIndex` is undefined where the file has none. Then the elements, by index. */
  arrayMeta(count: number, insertIndex: U64 | undefined): void
  /** Integers and doubles as text; `tag` is that of the file (0 string, 1 integer, 2 double, 3 short). */
  arrayElement(index: U64, value: Slice, tag: number): void
  gcra(value: U64): void
}

/** Long strings in parts, for visitors that need not have them whole. */
export interface StringPartsVisitor {
  stringBegin(totalBytes: number): void
  stringPart(part: Slice): void
  stringEnd(): void
}

/** Numbers that stand in front of what they count, for who has to write them there again. */
export interface CountVisitor {
  /** ELEMENTS: so many elements of a plain collection (no packed one), or consumers of a group of a
   * stream, come next. */
  count(coming: number): void
  /** ELEMENTS with raw bytes: the nodes of a stream, and nothing else, were handed out as raw bytes.
   * May be said twice. */
  streamNodesEnd(): void
  /** ELEMENTS: a stream has so many nodes. */
  streamNodes(count: number): void
  /** ELEMENTS: the entries that come next are of the node of this id. */
  streamNode(masterId: StreamId): void
}

export interface RdbVisitor
  extends Partial<ElementVisitor>, Partial<StringPartsVisitor>, Partial<CountVisitor> {
  start?(start: RdbStart): void
  end?(summary: RdbSummary): void

  /** AUX fields, anywhere in the file; unknown ones too. Integers come as text. */
  aux?(name: Slice, value: Slice): void
  selectDb?(dbnum: number): void
  /** A hint that may be off. */
  resizeDb?(keys: number, expires: number): void
  /** Redis 7.4+ cluster; Valkey says the same with AUX `slot-info`. */
  slotInfo?(slot: number, keys: number, expires: number): void
  /** FUNCTION2: the library's code with its `#!` line. */
  functionLibrary?(code: Slice): void
  /** 7.0-rc1, rc2: code without the `#!engine name=…` line. `description.bytes` is empty if none. */
  functionPreGa?(name: Slice, engine: Slice, description: Slice, code: Slice): void
  /** Redis 8.10: then `fieldCount` calls of hashTemplateField. */
  hashTemplate?(id: number, fieldCount: number): void
  hashTemplateField?(field: Slice): void
  /** Valkey 9: then `rangeCount` calls of slotImportRange. */
  slotImport?(jobName: Slice, rangeCount: number): void
  slotImportRange?(firstSlot: number, lastSlot: number): void
  /** Valkey 9.2, forkless replication streams: a command to apply at this point, whole frame. */
  updateCommand?(bytes: Buffer, start: number, end: number): void
  /** `when` is 1 before the keys, 2 after them. Then moduleItem… calls, then moduleAuxEnd. */
  moduleAux?(moduleName: string, encver: number, when: number): void
  moduleAuxEnd?(): void

  /** Decides how deep the parser goes into this key's value. */
  key(header: KeyHeader): Depth
  keyEnd?(header: KeyHeader, stats: ValueStats): void

  /** Asks for `rawValue` at ELEMENTS depth too, beside the elements. */
  readonly rawWithElements?: boolean
  /** RAW: the next bytes of the serialised value. */
  rawValue?(bytes: Buffer, start: number, end: number): void

  /**
   * Every depth: a ziplist, listpack, intset, zipmap or stream node of so many bytes once
   * decompressed; `entries` is -1 where only walking it would tell (SKIP and RAW).
   */
  packed?(blobBytes: number, entries: number): void
  /**
   * Every depth: a string of a collection outside of blobs, with its length once decoded: plain
   * list nodes, set and zset members, hash fields and values in turn.
   */
  plain?(lengthBytes: number): void
  notice?(code: NoticeCode, message: string, byteOffset: number): void
  lost?(region: LostRegion): void
}

/** Metadata of a stream; ONE object, reused. */
export interface StreamMeta {
  /** Live entries as the file states them. */
  readonly length: U64
  readonly lastId: StreamId
  /** The rest is in files of RDB 10 and later (types 19, 21, 26, 27); else false and zeros. */
  readonly hasExtended: boolean
  readonly firstId: StreamId
  readonly maxDeletedId: StreamId
  readonly entriesAdded: U64
  readonly groups: number
}

export interface StreamGroup {
  readonly name: Slice
  readonly lastId: StreamId
  /** False where unknown (stored as −1) or not in the file (type 15). */
  readonly hasEntriesRead: boolean
  readonly entriesRead: U64
  readonly pending: number
}

export interface StreamConsumer {
  readonly name: Slice
  readonly seenTimeMs: number
  /** -1: never, or not in the file (types 15 and 19). */
  readonly activeTimeMs: number
  readonly pending: number
}
