/**
 * An RDB as a format of keys: what stays as it is is copied as bytes, thousands of records at once
 * where all are wanted; a value whose type the new file may not hold is written in the plain form of
 * its kind. Memory does not grow with the size of a value that is copied, or whose elements are
 * counted in front; packed values and lists are held until their end where they must be rewritten.
 */
import { Buffer } from 'node:buffer'
import { VECTOR_SET_MODULE } from '../../analyze/vector-set.js'
import type { RdbLane } from '../../rdb/lane/lane.js'
import { rdbMagicOf } from '../../rdb/head.js'
import { RawValueParser } from '../../rdb/raw-value-parser.js'
import { FileRecords } from '../../rdb/writer/file-records.js'
import { isCompressible, LzfValues } from '../../rdb/writer/lzf-value.js'
import { formFor, holdsType, typeInstead, type RdbForm } from '../../rdb/writer/rdb-form.js'
import { hasDisputedLength, hasListpacks } from './disputed-length.js'
import { copyOfRecords, copyOfStrings } from './rdb-lane.js'
import { isPlaced, NO_KEY, SplitKeys, type SplitPart } from './rdb-split.js'
import { TYPE } from '../../rdb/numbers.js'
import { RdbOutput } from '../../rdb/writer/rdb-output.js'
import { ValueEncoder } from '../../rdb/writer/value-encoder.js'
import { forwardElements, forwardFile } from '../../rdb/forward.js'
import { DEPTH, KIND, type Depth, type KeyHeader, type RdbVisitor } from '../../rdb/visitor.js'
import { capabilitiesOfWriter } from '../../rewrite/writing-server.js'
import type { BacklenHabit } from '../../servers/capabilities.js'
import { LOSS, type Loss, type LossCounts } from '../../servers/loss.js'
import {
  KEY_FATE,
  type KeyFate,
  type KeyFormat,
  type KeyFormatCounts,
  type KeyFormatRun,
  type KeyPlace,
  type KeyWriter,
  type ScrubbedElements,
} from '../key-format.js'

export const RDB: KeyFormat = {
  extensions: ['rdb'],
  isBinary: true,
  movesKeys: true,
  modules: 'raw',
  functions: true,
  create: (run) => new RdbWriter(run),
}

/** The smallest listpack whose entries may have a back-length that servers disagree on. */
const DISPUTED_LISTPACK_BYTES = 16_383
/** Of a value that may have to be taken back no more than this is held. */
const MAX_HELD_BYTES = 16 << 20

/** How the value at hand goes. */
const WAY = { OUT: 0, RAW: 1, HELD: 2, ELEMENTS: 3, STREAM: 4, REWRITTEN: 5, LZF: 6 } as const
type Way = (typeof WAY)[keyof typeof WAY]

class RdbWriter implements KeyWriter {
  readonly visitor: RdbKeys | SplitKeys
  readonly #outputs: readonly RdbOutput[]

  constructor(run: KeyFormatRun) {
    const magic = rdbMagicOf(run.head) ?? { family: 'redis', version: 0 }
    const form = formFor(magic, run.target)
    const outputs = (run.split?.outs ?? [run.out]).map((out) => new RdbOutput(out, form, run.lzf))
    this.#outputs = outputs
    const parts = outputs.map((output) => new RdbKeys(run, output))
    this.visitor = run.split === undefined ? parts[0]! : new SplitKeys(run, run.split, parts)
  }

  get counts(): KeyFormatCounts {
    const { losses, functions } = this.visitor
    const partKeys = this.#outputs.map((output) => output.keys)
    const keys = partKeys.reduce((sum, each) => sum + each, 0)
    const none = { commands: 0, inexactStrings: 0, unorderedValues: 0 }
    return { keys, partKeys, functions, losses, ...none }
  }

  finish(): void {
    for (const output of this.#outputs) output.end()
  }
}

class RdbKeys implements SplitPart {
  /** Of keys, and of what stands between them. */
  readonly keyLosses: LossCounts = {}
  readonly fileLosses: LossCounts = {}
  readonly lane: RdbLane
  rawWithElements = false
  readonly #run: KeyFormatRun
  readonly #form: RdbForm
  readonly #output: RdbOutput
  readonly #records: FileRecords
  readonly #encoder: ValueEncoder
  /** What the encoder hears of a value that is read once more from its raw bytes. */
  readonly #again: RdbVisitor
  readonly #sourceBacklen: BacklenHabit
  /** Listpacks go to servers that read some of them otherwise. */
  readonly #backlensDiffer: boolean
  readonly #lzfValues: LzfValues | undefined
  readonly #scrubbed: ScrubbedElements | undefined
  readonly #databases: number
  readonly #own: KeyPlace = { key: NO_KEY, dbnum: 0, expireAtMs: undefined }
  #place: KeyPlace = this.#own
  #way: Way = WAY.OUT
  #disputed = false
  #valueAt = 0
  #header: KeyHeader | undefined
  #parser: RawValueParser | undefined

  constructor(run: KeyFormatRun, output: RdbOutput) {
    this.#run = run
    this.#output = output
    this.#form = output.form
    const lose = (loss: Loss): void => this.#lose(loss)
    this.#lzfValues = run.lzf ? new LzfValues(output.to) : undefined
    const { target } = output.form
    this.#sourceBacklen = capabilitiesOfWriter(run.head).backlen
    this.#backlensDiffer =
      target !== undefined &&
      (this.#sourceBacklen === 'unknown' || this.#sourceBacklen !== target.backlen)
    const magic = rdbMagicOf(run.head)
    const isSameForm = magic?.family === this.#form.family && magic.version === this.#form.version
    const isWhole = run.isFree && isSameForm && run.split === undefined
    const loseOfFile = (loss: Loss): void => count(loss, this.fileLosses)
    const { databases = Infinity, hasModule = () => true } = run.loader ?? {}
    this.#databases = databases
    this.#records = new FileRecords({ output, isWhole, lose: loseOfFile, databases, hasModule })
    this.#encoder = new ValueEncoder(output.to, lose, target?.backlen ?? this.#sourceBacklen)
    this.#again = { key: () => DEPTH.ELEMENTS, ...forwardElements(this.#encoder) }
    this.#scrubbed = run.scrub?.(this.#encoder)
    Object.assign(this, forwardElements(this.#encoder), forwardRecords(this.#records))
    if (this.#scrubbed !== undefined) Object.assign(this, forwardElements(this.#scrubbed))
    if (run.lzf) {
      this.lane = {}
    } else if (isWhole && !this.#backlensDiffer) {
      this.lane = copyOfRecords(run, output)
    } else if (isSameForm && run.wantedString !== undefined) {
      this.lane = copyOfStrings(run, output, run.wantedString)
    } else {
      this.lane = {}
    }
  }

  get losses(): LossCounts {
    const sum = { ...this.fileLosses }
    for (const [loss, times] of Object.entries(this.keyLosses) as [Loss, number][]) {
      sum[loss] = (sum[loss] ?? 0) + times
    }
    return sum
  }

  get functions(): number {
    return this.#records.functions
  }

  key(header: KeyHeader): Depth {
    return this.take(header, isPlaced(this.#run, header, this.#own) ? this.#own : undefined)
  }

  /** `place` undefined: it is not wanted. */
  take(header: KeyHeader, place: KeyPlace | undefined): Depth {
    this.#way = WAY.OUT
    this.rawWithElements = false
    if (place === undefined) {
      this.#tell(header, KEY_FATE.SKIPPED)
      return DEPTH.SKIP
    }
    this.#place = place
    if (!this.#isLoadable(header, place)) {
      this.#tell(header, KEY_FATE.LOST)
      return DEPTH.SKIP
    }
    const { type } = header
    const isMoved = type.fieldTimes && this.#run.timeShiftMs !== 0
    const isHeld = holdsType(this.#form, type) && this.#hasModule(header)
    const isScrubbed = this.#scrubbed?.begin(header) === true
    if (isHeld && !isMoved && !isScrubbed) {
      this.#tell(header, KEY_FATE.WRITTEN)
      this.#way = this.#wayOfHeld(header)
      if (this.#way !== WAY.RAW) this.#hold(header)
      this.#beginKey(header, header.typeByte)
      const { out } = this.#output.to
      this.#valueAt = out.pos - out.heldAt
      return DEPTH.RAW
    }
    const isStream = header.kind === KIND.STREAM
    // With its own counters, where they can be written.
    const isAsItWas = isStream && isHeld && header.typeByte !== TYPE.STREAM_5
    const typeByte = isAsItWas ? header.typeByte : typeInstead(this.#form, type)
    if (typeByte === undefined || (isScrubbed && !isScrubbable(header))) {
      this.#lose(isScrubbed ? LOSS.SCRUB : isStream ? LOSS.STREAM : LOSS.VALUE)
      this.#tell(header, KEY_FATE.LOST)
      return DEPTH.SKIP
    }
    this.#tell(header, KEY_FATE.WRITTEN)
    this.#beginKey(header, typeByte)
    this.#encoder.beginValue(header, typeByte, isScrubbed)
    this.#way = WAY.ELEMENTS
    if (isStream && !isScrubbed) {
      this.rawWithElements = true
      this.#way = WAY.STREAM
    }
    return DEPTH.ELEMENTS
  }

  keyEnd(header: KeyHeader): void {
    switch (this.#way) {
      case WAY.OUT:
      case WAY.RAW:
        return
      case WAY.HELD:
        this.#endHeld(header)
        return
      case WAY.LZF:
        this.#releaseHeld(header)
        return
      case WAY.REWRITTEN:
        this.#endAgain(header)
        return
      case WAY.ELEMENTS:
      case WAY.STREAM:
        this.#encoder.endValue(header.kind)
    }
  }

  rawValue(bytes: Buffer, start: number, end: number): void {
    const { out } = this.#output.to
    switch (this.#way) {
      case WAY.STREAM:
        this.#encoder.rawNodes(bytes, start, end)
        return
      case WAY.REWRITTEN:
        this.#parser!.push(bytes.subarray(start, end))
        return
      case WAY.RAW:
        out.write(bytes, start, end)
        return
      case WAY.HELD:
        out.write(bytes, start, end)
        // Nodes of streams can go as they are only.
        if (out.heldBytes > MAX_HELD_BYTES && this.#header!.kind !== KIND.STREAM) {
          this.#rewrite(this.#header!, this.#takeBack())
        }
        return
      case WAY.LZF:
        out.write(bytes, start, end)
        // It is not worth so much memory.
        if (out.heldBytes > MAX_HELD_BYTES) {
          out.release()
          this.#way = WAY.RAW
        }
        return
      case WAY.OUT:
      case WAY.ELEMENTS:
        // Nobody asked for raw bytes.
        return
    }
  }

  packed(blobBytes: number): void {
    if (blobBytes >= DISPUTED_LISTPACK_BYTES) this.#disputed = true
  }

  /** Of a value whose type stays. */
  #wayOfHeld(header: KeyHeader): Way {
    if (this.#backlensDiffer && hasListpacks(header)) return WAY.HELD
    return this.#run.lzf && isCompressible(header) ? WAY.LZF : WAY.RAW
  }

  #tell(header: KeyHeader, fate: KeyFate): void {
    this.#run.loader?.tally.key(header, fate)
  }

  /** Who has not so many databases, or not that module, ends at such a key. */
  #isLoadable({ kind, moduleName }: KeyHeader, { dbnum }: KeyPlace): boolean {
    if (dbnum >= this.#databases) return false
    const isForeign = kind === KIND.MODULE && moduleName !== VECTOR_SET_MODULE
    return !isForeign || this.#run.loader?.hasModule(moduleName) !== false
  }

  /** Modules are taken to be there, but for what is a part of one line of servers. */
  #hasModule({ moduleName }: KeyHeader): boolean {
    return moduleName !== VECTOR_SET_MODULE || this.#form.target?.vectorSets !== false
  }

  #hold(header: KeyHeader): void {
    this.#disputed = false
    this.#header = header
    this.#output.select(this.#place.dbnum)
    this.#output.to.out.hold()
  }

  #beginKey(header: KeyHeader, typeByte: number): void {
    const { key, dbnum, expireAtMs } = this.#place
    if (header.metaClasses > 0 && !this.#output.holdsMeta) this.#lose(LOSS.KEY_META)
    this.#output.beginKey(header, typeByte, key, dbnum, expireAtMs)
  }

  /** All of the value has come. */
  #endHeld(header: KeyHeader): void {
    const { out } = this.#output.to
    const from = out.heldAt + this.#valueAt
    if (!this.#disputed || !hasDisputedLength(header, out.bytes.subarray(from, out.pos))) {
      this.#releaseHeld(header)
      return
    }
    const value = this.#takeBack()
    if (header.kind === KIND.STREAM) {
      this.#lose(LOSS.DISPUTED_LENGTH)
      this.#tell(header, KEY_FATE.TAKEN_BACK)
      return
    }
    this.#rewrite(header, value)
    this.#endAgain(header)
  }

  /** The value at hand stays as it is, but for its long strings. */
  #releaseHeld(header: KeyHeader): void {
    const { out } = this.#output.to
    if (this.#lzfValues !== undefined && out.heldBytes <= MAX_HELD_BYTES) {
      const from = out.heldAt + this.#valueAt
      const value = Buffer.from(out.bytes.subarray(from, out.pos))
      out.pos = from
      this.#lzfValues.write(header, value)
    }
    out.release()
  }

  /** As if the key had not been begun; what has come of its value. */
  #takeBack(): Buffer {
    const { out } = this.#output.to
    const value = Buffer.from(out.bytes.subarray(out.heldAt + this.#valueAt, out.pos))
    out.drop()
    this.#output.keys -= 1
    return value
  }

  #rewrite(header: KeyHeader, value: Buffer): void {
    const typeByte = typeInstead(this.#form, header.type)!
    this.#way = WAY.REWRITTEN
    this.#beginKey(header, typeByte)
    this.#encoder.beginValue(header, typeByte)
    this.#parser = new RawValueParser(header, this.#again)
    this.#parser.push(value)
  }

  #endAgain(header: KeyHeader): void {
    this.#parser?.end()
    this.#parser = undefined
    this.#encoder.endValue(header.kind)
  }

  #lose(loss: Loss): void {
    count(loss, this.keyLosses)
  }
}

/** Who knows what a module keeps beside a key. */
function isScrubbable({ metaClasses }: KeyHeader): boolean {
  return metaClasses === 0
}

function count(loss: Loss, losses: LossCounts): void {
  losses[loss] = (losses[loss] ?? 0) + 1
}

/** Data of modules between keys; that in values is copied. */
function forwardRecords(records: FileRecords): Partial<RdbVisitor> {
  return {
    ...forwardFile(records),
    moduleSigned: (value) => records.moduleSigned(value),
    moduleUnsigned: (value) => records.moduleUnsigned(value),
    moduleFloat: (value) => records.moduleFloat(value),
    moduleDouble: (value) => records.moduleDouble(value),
    moduleString: (value) => records.moduleString(value),
  }
}
