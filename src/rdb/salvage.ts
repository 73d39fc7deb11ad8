/**
 * What the parser does behind damage, with the option `salvage`.
 *
 * 1. Damage inside a value (a broken listpack, bad LZF, a NaN score): the value is read once more
 *    for its frame only. If that is sound just this key is lost.
 * 2. Anything else breaks the frame: where the next record starts is not known. Every byte behind
 *    is tried as the start of one, by reading from there with all checks on. It counts when
 *    SELECTDB and sound keys follow, or when `RUN_KEYS` different sound keys follow each other, or
 *    a few less and then the end of the db. Less could be chance, and a wrong start would make up
 *    keys that never were; for the same reason the first of such a run is given up.
 * 3. If nothing like that comes, the rest is lost.
 */
import type { Buffer } from 'node:buffer'
import type { RdbError } from '../errors.js'
import { Core, type AfterDamage, type Step } from './core.js'
import { NEED_MORE } from './io/chunk-input.js'
import { OPCODE, TYPE } from './numbers.js'
import { DEPTH, type LostRegion } from './visitor.js'

/** So many keys in a row, each different and checked to the last byte, are no chance. */
const RUN_KEYS = 6
/** Fewer will do where SELECTDB stands in front, or where the db or the file ends behind them. */
const DB_KEYS = 2
const LAST_KEYS = 4
/** A trial that wants more bytes than this decides with what it has seen: so many keys at least. */
const TRIAL_BYTES = 1 << 20
const LARGE_KEYS = 3
/** Trials may look at so many bytes in all for each byte that is scanned; then they get short. */
const WORK_PER_BYTE = 32
const FREE_WORK_BYTES = 8 << 20
const SHORT_TRIAL_BYTES = 4096
/** Since RDB 7 a SELECTDB is followed by RESIZEDB. */
const RESIZEDB_VERSION = 7
/** Behind EOF: the checksum, and in a version before 5 nothing. */
const TAIL_BYTES = 9

type Verdict = 'sound' | 'more' | 'no'

export class Salvage implements AfterDamage {
  lostRegions = 0
  lostBytes = 0
  readonly #nextRecord: Step
  #lostFrom = 0
  #trialCore: Core | undefined = undefined
  #trialKeys = 0
  #trialIsDb = false
  /** Where in the last trial the first record starts that is to be believed. */
  #soundAfter = 0
  /** Bytes that trials have been given behind this damage. */
  #workBytes = 0
  #lostKey: string | undefined = undefined
  #lostDb = 0
  #error: RdbError | undefined = undefined
  /** Set when the input has ended: waiting for more is of no use. */
  isFinal = false

  constructor(nextRecord: Step) {
    this.#nextRecord = nextRecord
  }

  /** Called with the error that stopped a step; afterwards steps can run again. */
  recover(core: Core, error: RdbError): void {
    const { input, header } = core
    input.pos = input.committed
    if (core.inValue && core.damagedBy === undefined) {
      core.damagedBy = error
      core.depth = DEPTH.SKIP
      core.deep = false
      core.rawFrom = -1
      return
    }
    this.#error = core.damagedBy ?? error
    this.#lostKey = core.inValue ? core.keyText() : undefined
    this.#lostDb = header.dbnum
    this.#lostFrom = header.byteOffset >= 0 ? header.byteOffset : input.base + input.committed
    this.#workBytes = 0
    core.damagedBy = undefined
    core.inValue = false
    core.rawFrom = -1
    header.clearAttributes()
    // What could not be read from here cannot be read from here.
    input.skip(1)
    input.commit()
    core.step = this.scan
  }

  /** A key whose value was damaged inside: `endKey` says so instead of telling the key. */
  loseKey(core: Core, error: RdbError): void {
    const { header, input } = core
    this.#tell(core, {
      fromByte: header.byteOffset,
      toByte: input.base + input.pos,
      error,
      dbnum: header.dbnum,
      key: core.keyText(),
      recovery: 'key',
      dbnumCertain: true,
    })
  }

  /** The input has ended inside a record, or while looking for one. */
  loseRest(core: Core, error: RdbError): void {
    const { header, input } = core
    const isScanning = core.step === this.scan
    const start = header.byteOffset >= 0 ? header.byteOffset : input.base + input.committed
    this.#tell(core, {
      fromByte: isScanning ? this.#lostFrom : start,
      toByte: input.received,
      error: (isScanning ? this.#error : core.damagedBy) ?? error,
      dbnum: isScanning ? this.#lostDb : header.dbnum,
      key: isScanning ? this.#lostKey : core.inValue ? core.keyText() : undefined,
      recovery: 'rest',
      dbnumCertain: true,
    })
    core.inValue = false
  }

  #tell(core: Core, region: LostRegion): void {
    const base = core.options.baseByteOffset
    this.lostRegions += 1
    this.lostBytes += region.toByte - region.fromByte
    core.visitor.lost?.({
      ...region,
      fromByte: base + region.fromByte,
      toByte: base + region.toByte,
    })
  }

  /** Looks at every byte as the start of a record. */
  readonly scan: Step = (core) => {
    const { input } = core
    core.reading = 'what lies behind damage'
    for (;;) {
      if (input.pos >= input.end) throw NEED_MORE
      const verdict = this.#tryAt(core, input.pos)
      if (verdict === 'more' && !this.isFinal) {
        // Twice as much as there is, so that a long wait does not try again with each chunk.
        input.need(2 * (input.end - input.pos) + 1)
      }
      if (verdict === 'sound') {
        input.skip(this.#soundAfter)
        this.#tell(core, {
          fromByte: this.#lostFrom,
          toByte: input.base + input.pos,
          error: this.#error!,
          dbnum: this.#lostDb,
          key: this.#lostKey,
          recovery: 'resync',
          dbnumCertain: this.#soundAfter === 0,
        })
        return this.#nextRecord
      }
      input.skip(1)
      input.commit()
    }
  }

  #tryAt(core: Core, at: number): Verdict {
    const { input, types } = core
    const { buf, end } = input
    const first = buf[at]!
    this.#soundAfter = 0
    if (first === OPCODE.EOF) {
      const length = core.version < 5 ? 1 : TAIL_BYTES
      if (end - at < length) return 'no'
      if (!this.isFinal) return end - at === length ? 'more' : 'no'
      return end - at === length ? 'sound' : 'no'
    }
    const isRecord = types[first] !== undefined || isAttribute(first)
    if (first === OPCODE.SELECTDB) {
      if (core.version >= RESIZEDB_VERSION && !resizeFollows(buf, at + 1, end)) return 'no'
    } else if (!isRecord || (types[first] !== undefined && !isPlausible(core, at))) {
      return 'no'
    }
    const scanned = input.base + at - this.#lostFrom
    const limit =
      this.#workBytes > FREE_WORK_BYTES + WORK_PER_BYTE * scanned ? SHORT_TRIAL_BYTES : TRIAL_BYTES
    const isDb = first === OPCODE.SELECTDB
    return this.#trial(core, buf.subarray(at, Math.min(end, at + limit)), isDb, limit)
  }

  #trial(core: Core, bytes: Buffer, isDb: boolean, limit: number): Verdict {
    const trial = (this.#trialCore ??= this.#makeTrialCore(core))
    const least = isDb ? 1 : LAST_KEYS
    this.#trialKeys = 0
    this.#trialIsDb = isDb
    this.#workBytes += bytes.length
    try {
      trial.tryRecords(core, bytes)
    } catch (error) {
      return error === ENOUGH ? 'sound' : 'no'
    }
    if (trial.done) return this.#trialKeys >= least ? 'sound' : 'no'
    if (bytes.length >= limit) return this.#trialKeys >= LARGE_KEYS ? 'sound' : 'no'
    return 'more'
  }

  /** One core for all trials: there is one at nearly every byte. */
  #makeTrialCore(core: Core): Core {
    return new Core(
      {
        selectDb: () => {
          if (!this.#trialIsDb) throw this.#trialKeys >= LAST_KEYS ? ENOUGH : NOT_ENOUGH
        },
        key: ({ byteOffset }) => {
          // The first of a run may be made of damaged bytes and yet end where the next one begins.
          if (this.#trialKeys === 1 && !this.#trialIsDb) this.#soundAfter = byteOffset
          return DEPTH.SKIP
        },
        keyEnd: () => {
          this.#trialKeys += 1
          if (this.#trialKeys >= (this.#trialIsDb ? DB_KEYS : RUN_KEYS)) throw ENOUGH
        },
      },
      {},
      { ...core.options, validate: true, checkOnly: false, strict: true, checksum: 'ignore' },
      this.#nextRecord,
      this.#nextRecord,
    )
  }
}

/** A look that costs little: key, a value of one string, and a number that may come next. */
function isPlausible(core: Core, at: number): boolean {
  const { buf, end } = core.input
  const typeByte = buf[at]!
  const keyEnd = stringEnd(buf, at + 1, end)
  if (keyEnd < 0) return false
  if (keyEnd >= end || !IS_ONE_STRING.has(typeByte)) return true
  const next = stringEnd(buf, keyEnd, end)
  if (next < 0) return false
  return next >= end || core.types[buf[next]!] !== undefined || buf[next]! >= OPCODE.KEY_NOEVICT
}

/** Types whose value is a single STR. */
const IS_ONE_STRING: ReadonlySet<number> = new Set([
  TYPE.STRING,
  TYPE.HASH_ZIPMAP,
  TYPE.LIST_ZIPLIST,
  TYPE.SET_INTSET,
  TYPE.ZSET_ZIPLIST,
  TYPE.HASH_ZIPLIST,
  TYPE.HASH_LISTPACK,
  TYPE.ZSET_LISTPACK,
  TYPE.SET_LISTPACK,
])

/** Where the STR at `at` ends; `end` or more if that is not to be seen; -1 if it is none. */
function stringEnd(buf: Buffer, at: number, end: number): number {
  if (at + 9 > end) return end
  const first = buf[at]!
  if (first < 0x40) return at + 1 + first
  if (first < 0x80) return at + 2 + (((first & 0x3f) << 8) | buf[at + 1]!)
  if (first === 0x80) return at + 5 + buf.readUInt32BE(at + 1)
  if (first === 0xc3) return end
  return first >= 0xc0 && first < 0xc3 ? at + 1 + (1 << (first & 3)) : -1
}

/** LEN db number, then opcode 251. */
function resizeFollows(buf: Buffer, at: number, end: number): boolean {
  const first = buf[at]!
  const next = at + (first < 0x40 ? 1 : first < 0x80 ? 2 : 5)
  // Too near to the end to say: the trial will.
  return next >= end || buf[next] === OPCODE.RESIZEDB
}

const NOT_ENOUGH = new Error('too few keys')
const ENOUGH = new Error('enough keys')

function isAttribute(byte: number): boolean {
  return (
    byte === OPCODE.EXPIRETIME_MS ||
    byte === OPCODE.EXPIRETIME ||
    byte === OPCODE.IDLE ||
    byte === OPCODE.FREQ
  )
}
