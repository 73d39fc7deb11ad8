/**
 * What all steps of the parser share: the input, the visitor, the key at hand, scratch memory.
 *
 * A step reads, reports after its last read, and returns the next step. When bytes run out it is
 * left by NEED_MORE and called again, from `committed` on, once there are more: so a step commits
 * (`input.commit()`) behind each thing it has reported.
 */
import { Crc64 } from '../kernels/crc64.js'
import { LzfWindow } from '../bytes/lzf-window.js'
import { printable } from '../bytes/printable.js'
import { RdbError, type RdbErrorCode } from '../errors.js'
import { DuplicateFinder, KeySet, type KeyWatch } from './duplicates.js'
import { PackedReader } from './encodings/packed.js'
import { MutableKeyHeader, MutableValueStats } from './header.js'
import { NEED_MORE } from './io/chunk-input.js'
import { RdbInput } from './io/input.js'
import { StringSlot } from './io/slice.js'
import { ChosenWeights } from './lane/string-weights.js'
import { KernelStringBatch } from './lane/string-batch.js'
import { Stretch, type RdbLane } from './lane/lane.js'
import { StreamState } from './types/stream-state.js'
import type { RdbType } from './numbers.js'
import { MutableU64 } from './values/u64.js'
import {
  DEPTH,
  NOTICE,
  type Depth,
  type NoticeCode,
  type RdbVisitor,
  type ChecksumState,
} from './visitor.js'

export type Step = (core: Core) => Step

/** What goes on behind damage (salvage.ts). */
export interface AfterDamage {
  readonly lostRegions: number
  readonly lostBytes: number
  isFinal: boolean
  recover(core: Core, error: RdbError): void
  loseKey(core: Core, error: RdbError): void
  loseRest(core: Core, error: RdbError): void
}

/** A row of the type table. */
export interface TypeRow extends RdbType {
  /** Reads the value; undefined: the type is known by name only. */
  readonly step: Step | undefined
}

export interface CoreOptions {
  file: string | undefined
  baseByteOffset: number
  validate: boolean
  walkBlobs: boolean
  checkOnly: boolean
  strict: boolean
  checksum: 'verify' | 'report' | 'ignore'
  wholeStringBytes: number
  timeShiftMs: number
}

/** Which notices `strict` turns into errors. */
const STRICT_NOTICES: ReadonlySet<NoticeCode> = new Set<NoticeCode>([
  NOTICE.EMPTY_VALUE,
  NOTICE.ATTRIBUTE_WITHOUT_KEY,
  NOTICE.DUPLICATE_KEY,
])

const TRIAL_ERROR = new RdbError('ERR_RDB_CORRUPT', {}, 'no sound record starts here')

/** Behind EOF. */
export const CHECKSUM_BYTES = 8
/** Long keys are cut in messages. */
const MAX_KEY_CHARS = 200

export class Core {
  readonly visitor: RdbVisitor
  readonly lane: RdbLane
  readonly options: CoreOptions
  readonly input: RdbInput
  readonly header = new MutableKeyHeader()
  readonly stats = new MutableValueStats()
  readonly packed: PackedReader
  readonly duplicates = new DuplicateFinder()
  readonly keys: KeyWatch
  /** With `validate`: members or fields of the value at hand, where none may be there twice. */
  readonly elements = new KeySet()
  /** Strings of the element at hand. */
  readonly a = new StringSlot()
  readonly b = new StringSlot()
  readonly c = new StringSlot()
  readonly d = new StringSlot()
  /** A packed blob, while it is walked. */
  readonly blob = new StringSlot()
  readonly u64 = new MutableU64()
  /** What is offered to a lane as a whole. */
  readonly stretch = new Stretch()
  readonly stream: StreamState
  readonly notices: Record<string, number> = {}
  /** Hash templates of the file (Redis 8.10), by id. */
  readonly templates = new Map<number, Buffer[]>()

  step: Step
  /** The tables of the family, set with the version. */
  types: readonly (TypeRow | undefined)[] = []
  version = 0
  depth: Depth = DEPTH.SKIP
  /** Blobs are walked: ELEMENTS, or `validate`. */
  deep = false
  /** A key's value is being read: `header` and `stats` are its. */
  inValue = false
  keysRead = 0
  /** With salvage: the error in the value at hand, of which only the frame is read now. */
  damagedBy: RdbError | undefined = undefined
  salvage: AfterDamage | undefined = undefined
  /** Only tries whether records are sound: messages are of no use. */
  isTrial = false
  /** What is being read, for errors. */
  reading = 'header'
  /** Field names of the hash at hand, where it has them from a template. */
  templateFields: Buffer[] = []
  /** The visitor wants to hear of each string of a collection. */
  readonly countsEachString: boolean
  /** The lane may take stretches of records. */
  readonly offersRecords: boolean
  /** The lane takes batches of string records, and nothing else has to be looked at. */
  readonly batch: KernelStringBatch | undefined
  /** What runs of strings weigh, for consumers that only add up. */
  readonly weights = new ChosenWeights()
  /** Whether `elements` has to be asked, and where the member at hand starts. */
  unique = false
  elementByteOffset = 0
  /** Elements to come of what is being read. */
  left = 0
  /** Of a long compressed string: bytes of its data to come, and what of them is unpacked. */
  compressedLeft = 0
  /** Smallest expiry of a hash with field expiries (types 24, 25). */
  minExpireMs = 0
  #lzfWindow: LzfWindow | undefined = undefined
  /** Where a row of module opcodes goes on. */
  afterModule: Step
  /** The step between records. */
  readonly nextRecord: Step
  done = false
  /** Over the memory of the kernel that notes hashes of keys. */
  notedView: DataView | undefined = undefined
  /** RAW: offset of the first byte of the value that has not been handed out; -1: not RAW. */
  rawFrom = -1

  /** How the stored checksum compares; told in the summary. */
  checksum: ChecksumState = 'absent'
  /** As it is stored, hex; undefined: it is absent. */
  storedCrc64: string | undefined
  readonly #crc = new Crc64()
  /** The checksum runs over whole chunks; at the EOF opcode it stops right behind it. */
  #chunk: Buffer | undefined
  #chunkBase = 0
  #crcOffset = 0
  #crcClosed = false
  /** It has run over the stored checksum as well. */
  #crcOverran = false

  /** Where blobs begin in the file, for error offsets; -1: decompressed. */
  #blobOrigin = -1
  #blobByteOffset = 0

  constructor(
    visitor: RdbVisitor,
    lane: RdbLane,
    options: CoreOptions,
    first: Step,
    nextRecord: Step,
    keys: KeyWatch = new KeySet(),
  ) {
    this.visitor = visitor
    this.lane = lane
    this.keys = keys
    this.options = options
    this.countsEachString = visitor.plain !== undefined
    // Kernels tell times as they stand in the file.
    const isShifted = options.timeShiftMs !== 0
    this.offersRecords =
      !isShifted && (lane.stringRecords !== undefined || lane.anyRecords !== undefined)
    const takesBatches = lane.strings !== undefined && !options.validate && !isShifted
    this.batch = takesBatches ? new KernelStringBatch(lane.separatorByte ?? 0x3a) : undefined
    this.step = first
    this.afterModule = nextRecord
    this.nextRecord = nextRecord
    this.input = new RdbInput((message, byteOffset) => this.corruptAt(message, byteOffset))
    this.packed = new PackedReader((message, at) => this.blobError(message, at))
    this.stream = new StreamState((message, at) => this.blobError(message, at))
  }

  /** Made for the first long string that is compressed. */
  get lzf(): LzfWindow {
    return (this.#lzfWindow ??= new LzfWindow())
  }

  /** Takes the next chunk; returns how many of its bytes belong to the RDB. */
  feed(chunk: Buffer): number {
    this.#chunk = chunk
    this.#chunkBase = this.input.received
    this.input.feed(chunk, this.run, this.suspend)
    if (!this.#crcClosed) this.#crcTo(this.input.received)
    this.#chunk = undefined
    return this.done ? this.input.byteOffset - this.#chunkBase : chunk.length
  }

  /** The EOF opcode has been read: what follows is not part of the checksum. */
  closeCrc(): void {
    if (this.#crcClosed) return
    this.#crcClosed = true
    const { byteOffset } = this.input
    // Salvage takes EOF for the end once the input has ended: what follows has been run over.
    this.#crcOverran = this.#chunk === undefined && this.#crcOffset === byteOffset + CHECKSUM_BYTES
    if (!this.#crcOverran) this.#crcTo(byteOffset)
  }

  /** Compares with the 8 bytes at the cursor. */
  crcMatches(): boolean {
    return this.#crcOverran ? this.#crc.isZero : this.#crc.matches(this.input.buf, this.input.pos)
  }

  #crcTo(byteOffset: number): void {
    if (this.#chunk !== undefined && this.options.checksum !== 'ignore') {
      this.#crc.update(this.#chunk, this.#crcOffset - this.#chunkBase, byteOffset - this.#chunkBase)
    }
    this.#crcOffset = byteOffset
  }

  /** Runs steps until bytes run out or the end is reached. False at the end. */
  readonly run = (): boolean => {
    for (;;) {
      try {
        return this.#runSteps()
      } catch (error) {
        if (error === NEED_MORE) {
          this.input.goBack()
          return true
        }
        // Nothing can be found behind a magic that is none.
        if (this.salvage === undefined || this.version === 0) throw error
        if (!(error instanceof RdbError)) throw error
        this.salvage.recover(this, error)
      }
    }
  }

  #runSteps(): boolean {
    const { input } = this
    while (!this.done) {
      this.step = this.step(this)
      input.committed = input.pos
    }
    return false
  }

  /**
   * Reads `bytes` from a record on, as the same file that `other` reads, and keeps nothing of them.
   * Errors are all one, without a message: this core only tries.
   */
  tryRecords(other: Core, bytes: Buffer): void {
    this.isTrial = true
    this.step = this.nextRecord
    this.done = false
    this.inValue = false
    this.keysRead = 0
    this.keys.clear()
    this.header.clearAttributes()
    this.header.slot = -1
    this.version = other.version
    this.header.family = other.header.family
    this.header.dbnum = other.header.dbnum
    this.types = other.types
    this.templates.clear()
    for (const [id, fields] of other.templates) this.templates.set(id, fields)
    this.input.look(bytes, this.run)
  }

  /** The key at hand for people. */
  keyText(): string {
    const { key } = this.header
    return printable(key.bytes, key.start, key.end, MAX_KEY_CHARS)
  }

  /** Bytes of the input are about to move: what still points at them is copied or handed out. */
  readonly suspend = (): void => {
    if (!this.inValue) return
    this.header.key.retain()
    if (this.rawFrom >= 0) this.flushRaw()
  }

  /** RAW: hands out the bytes of the value up to the cursor, as far as they have come. */
  flushRaw(): void {
    const { input } = this
    const to = Math.min(input.pos, input.end)
    const from = Math.max(0, this.rawFrom - input.base)
    if (from < to) {
      this.rawFrom = input.base + to
      this.visitor.rawValue?.(input.buf, from, to)
    }
  }

  // ── blobs ───────────────────────────────────────────────────────────────────────────────────

  /** The slot holds a blob just read: errors inside of it are placed in the file if they can be. */
  placeBlob(slot: StringSlot): void {
    const { input } = this
    const inPlace = slot.bytes === input.buf
    this.#blobOrigin = slot.start
    this.#blobByteOffset = inPlace ? input.base + slot.start : -1
  }

  blobError(message: string, at: number): RdbError {
    if (this.#blobByteOffset >= 0) {
      return this.corruptAt(message, this.#blobByteOffset + at - this.#blobOrigin)
    }
    return this.corruptAt(
      `${message} (byte ${at - this.#blobOrigin} of the decompressed blob)`,
      this.input.base + this.input.committed,
    )
  }

  // ── statistics ──────────────────────────────────────────────────────────────────────────────

  /** A string of a collection outside of blobs. */
  notePlain(lengthBytes: number): void {
    const { stats } = this
    stats.plainStrings += 1
    stats.plainBytes += lengthBytes
    if (lengthBytes > stats.largestElementBytes) stats.largestElementBytes = lengthBytes
    this.visitor.plain?.(lengthBytes)
  }

  /** With `validate`: a member or field of a value that must not have it twice; servers stop there. */
  noteUnique(slot: StringSlot): void {
    if (!this.elements.add(0, slot.bytes, slot.start, slot.end)) return
    const text = printable(slot.bytes, slot.start, slot.end, MAX_KEY_CHARS)
    throw this.corruptAt(`${text} is there twice`, this.elementByteOffset)
  }

  /** A blob, with its entries or -1. */
  notePacked(blobBytes: number, entries: number): void {
    const { stats } = this
    stats.packedBlobs += 1
    stats.packedBytes += blobBytes
    if (entries > 0) stats.packedEntries += entries
    if (!this.deep) stats.largestElementBytes = -1
    this.visitor.packed?.(blobBytes, entries)
  }

  // ── trouble ─────────────────────────────────────────────────────────────────────────────────

  corrupt(message: string): RdbError {
    return this.corruptAt(message, this.input.byteOffset)
  }

  corruptAt(message: string, byteOffset: number): RdbError {
    return this.error('ERR_RDB_CORRUPT', message, byteOffset)
  }

  unsupported(message: string, byteOffset: number, hint?: string): RdbError {
    return this.error('ERR_RDB_UNSUPPORTED', message, byteOffset, hint)
  }

  error(code: RdbErrorCode, message: string, byteOffset: number, hint?: string): RdbError {
    if (this.isTrial) return TRIAL_ERROR
    const { header, inValue, options } = this
    return new RdbError(
      code,
      {
        file: options.file,
        byteOffset: options.baseByteOffset + byteOffset,
        reading: this.reading,
        dbnum: this.version === 0 ? undefined : header.dbnum,
        key: inValue ? this.keyText() : undefined,
        type: inValue ? header.type.name : undefined,
        keysRead: this.keysRead,
      },
      message,
      {
        hint,
        details: {
          family: this.version === 0 ? undefined : header.family,
          rdbVersion: this.version === 0 ? undefined : this.version,
        },
      },
    )
  }

  notice(code: NoticeCode, message: string, byteOffset: number): void {
    if (this.isTrial && !STRICT_NOTICES.has(code)) return
    if (this.options.strict && STRICT_NOTICES.has(code)) throw this.corruptAt(message, byteOffset)
    this.notices[code] = (this.notices[code] ?? 0) + 1
    this.visitor.notice?.(code, message, this.options.baseByteOffset + byteOffset)
  }
}
