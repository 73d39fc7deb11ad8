/**
 * The top level of the file: magic and version, then records until EOF. A record is an opcode with
 * its payload, or a type byte with a key and a value; attributes (expiry, idle time, frequency,
 * metadata) belong to the next key.
 */
import { MAX_NOTED } from '../kernels/abi.js'
import { printable } from '../bytes/printable.js'
import { CHECKSUM_BYTES, type Core, type Step } from './core.js'
import { NEED_MORE } from './io/chunk-input.js'
import {
  auxRecord,
  function2Record,
  functionPreGaRecord,
  hashTemplateRecord,
  keyMetaRecord,
  moduleAuxRecord,
  noEvictRecord,
  resizeDbRecord,
  selectDbRecord,
  slotImportRecord,
  slotInfoRecord,
  updateRecord,
} from './opcodes.js'
import { offerRecords } from './lane/offer-records.js'
import type { KernelStringBatch } from './lane/string-batch.js'
import { endKey } from './types/key-end.js'
import { decodeModuleId } from './types/module.js'
import { stringValue } from './types/string.js'
import {
  MAX_REDIS_VERSION,
  MAX_VALKEY_VERSION,
  MIN_VALKEY_VERSION,
  OPCODE,
  TYPE,
  type RdbFamily,
  type RdbType,
} from './numbers.js'
import { typeTable } from './type-table.js'
import { DEPTH, NOTICE } from './visitor.js'

/** Where a record begins, and what is known there. */
export interface RdbPlace {
  readonly family: RdbFamily
  readonly version: number
  readonly byteOffset: number
  readonly dbnum: number
  /** In front of it. */
  readonly keysRead: number
}

const MAGIC_BYTES = 9
/** From this version on a checksum stands behind EOF. */
const CHECKSUM_VERSION = 5
/** Type bytes seen in files of Redis Enterprise only. */
const ENTERPRISE: ReadonlySet<number> = new Set([101, 102, 107, 121])

/** `REDIS` and 4 digits, or `VALKEY` and 3. */
export const magicStep: Step = (core) => {
  const { input } = core
  core.reading = 'magic'
  const available = Math.min(MAGIC_BYTES, input.end - input.pos)
  const text = input.buf.toString('latin1', input.pos, input.pos + available)
  const family = familyOf(text)
  if (family === undefined) {
    throw core.error('ERR_RDB_CORRUPT', 'this is not an RDB file: it starts with other bytes', 0)
  }
  input.need(MAGIC_BYTES)
  const digits = text.slice(family === 'redis' ? 5 : 6)
  core.reading = 'version'
  const at = family === 'redis' ? 5 : 6
  if (!/^\d+$/.test(digits)) throw core.corruptAt('the RDB version is no number', at)
  const version = Number(digits)
  if (version === 0) throw core.corruptAt('there is no RDB version 0', at)
  const known =
    family === 'redis'
      ? version <= MAX_REDIS_VERSION
      : version >= MIN_VALKEY_VERSION && version <= MAX_VALKEY_VERSION
  if (!known) {
    throw core.unsupported(
      `RDB version ${version} with the magic of ${family === 'redis' ? 'Redis' : 'Valkey'} ` +
        'is unknown',
      at,
      'a newer rrep may know it',
    )
  }
  input.skip(MAGIC_BYTES)
  setVersion(core, family, version)
  core.visitor.start?.({ family, version })
  return core.nextRecord
}

export function setVersion(core: Core, family: RdbFamily, version: number): void {
  core.version = version
  core.header.family = family
  core.types = typeTable(family)
}

/** Goes on at a record that others have read up to. */
export function startAt(core: Core, place: RdbPlace): void {
  setVersion(core, place.family, place.version)
  core.header.dbnum = place.dbnum
  core.keysRead = place.keysRead
  core.step = core.nextRecord
  core.input.startAt(place.byteOffset)
}

/** Which family the text may be of, as far as it goes. */
function familyOf(text: string): RdbFamily | undefined {
  if ('REDIS'.startsWith(text.slice(0, 5))) return 'redis'
  return 'VALKEY'.startsWith(text.slice(0, 6)) ? 'valkey' : undefined
}

export const recordStep: Step = (core) => {
  const { input, header } = core
  for (;;) {
    core.reading = 'opcode'
    if (header.byteOffset < 0) {
      if (core.options.checkOnly) passRecords(core)
      else if (core.batch !== undefined) tellBatches(core, core.batch)
      else if (core.offersRecords) offerRecords(core)
    }
    if (input.pos >= input.end) throw NEED_MORE
    const byteOffset = input.base + input.pos
    const opcode = input.buf[input.pos]!
    input.pos += 1
    if (opcode < 128) {
      if (header.byteOffset < 0) header.byteOffset = byteOffset
      const valueStep = readKey(core, opcode, byteOffset)
      if (valueStep !== stringValue) return valueStep
      // Most keys of most files are strings: theirs are read without leaving this loop.
      const next = stringValue(core)
      if (next !== endKey) return next
      input.commit()
      core.step = endKey
      endKey(core)
      input.commit()
      core.step = recordStep
      continue
    }
    switch (opcode) {
      case OPCODE.EXPIRETIME_MS: {
        core.reading = 'expiry'
        const expireAtMs = input.readI64le()
        setExpiry(core, expireAtMs, byteOffset)
        input.commit()
        break
      }
      case OPCODE.EXPIRETIME: {
        core.reading = 'expiry'
        const seconds = input.readI32le()
        setExpiry(core, seconds * 1000, byteOffset)
        input.commit()
        break
      }
      case OPCODE.FREQ:
        core.reading = 'frequency'
        header.freq = input.readByte()
        if (header.byteOffset < 0) header.byteOffset = byteOffset
        input.commit()
        break
      case OPCODE.IDLE:
        core.reading = 'idle time'
        header.idleSeconds = input.readLength()
        if (header.byteOffset < 0) header.byteOffset = byteOffset
        input.commit()
        break
      default:
        return otherRecord(core, opcode, byteOffset)
    }
  }
}

/** For fewer bytes a call costs more than it saves. */
const MIN_RUN_BYTES = 128

/**
 * Lets the kernel pass as many sound records as there are in one run. Keys that occur twice are left
 * to the reader, which knows how to say so.
 */
function passRecords(core: Core): void {
  const { input, header, keys, options } = core
  const { kernel } = input
  if (kernel === undefined) return
  const walk = kernel.exports
  const origin = input.buf.byteOffset
  while (input.end - input.pos >= MIN_RUN_BYTES) {
    const first = input.buf[input.pos]!
    // Opcodes that the kernel does not know, and types that it does not.
    if (first > TYPE.SET_LISTPACK && first < OPCODE.IDLE) return
    const { halvings, comparedOneOf } = keys
    const from = origin + input.pos
    const end = origin + input.end
    // 31 halvings: of keys that are not compared next to none are noted.
    const chosen = options.validate ? halvings : 31
    let passed = walk.walkRecords(from, end, chosen, header.dbnum, MAX_NOTED)
    if (options.validate) {
      const { buffer } = kernel.memory
      if (core.notedView?.buffer !== buffer) core.notedView = new DataView(buffer)
      const twice = keys.addNoted(core.notedView, walk.walkedKeyHashes(), walk.walkedKeys())
      if (twice >= 0) passed = walk.walkRecords(from, end, chosen, header.dbnum, twice)
      input.pos = walk.walkedRecordsEnd() - origin
      input.commit()
      core.keysRead += passed
      if (keys.comparedOneOf !== comparedOneOf) noteThinning(core)
      if (twice >= 0) return
    } else {
      input.pos = walk.walkedRecordsEnd() - origin
      input.commit()
      core.keysRead += passed
    }
    if (passed === 0) return
  }
}

/** Tells the lane as many string records at once as stand behind one another. */
function tellBatches(core: Core, batch: KernelStringBatch): void {
  const { input, header, lane } = core
  const { kernel } = input
  if (kernel === undefined) return
  const origin = input.buf.byteOffset
  batch.dbnum = header.dbnum
  while (input.end - input.pos >= MIN_RUN_BYTES) {
    const first = input.buf[input.pos]!
    if (first !== TYPE.STRING && (first < OPCODE.IDLE || first > OPCODE.EXPIRETIME)) return
    const to = batch.read(kernel, origin + input.pos, origin + input.end)
    if (batch.count === 0) return
    batch.firstIndex = core.keysRead
    lane.strings?.(batch)
    input.pos = to - origin
    input.commit()
    core.keysRead += batch.count
  }
}

function setExpiry(core: Core, expireAtMs: number, byteOffset: number): void {
  const { header } = core
  if (header.hasExpiry) {
    core.notice(NOTICE.EXPIRY_TWICE, 'two expiries before one key: the later counts', byteOffset)
  }
  if (header.byteOffset < 0) header.byteOffset = byteOffset
  header.hasExpiry = true
  header.expireAtMs = expireAtMs - core.options.timeShiftMs
}

function otherRecord(core: Core, opcode: number, byteOffset: number): Step {
  const isRedis = core.header.family === 'redis'
  switch (opcode) {
    case OPCODE.SELECTDB:
      return selectDbRecord(core)
    case OPCODE.RESIZEDB:
      return resizeDbRecord(core)
    case OPCODE.AUX:
      return auxRecord(core)
    case OPCODE.MODULE_AUX:
      return moduleAuxRecord(core)
    case OPCODE.FUNCTION2:
      return function2Record(core)
    case OPCODE.FUNCTION_PRE_GA:
      return functionPreGaRecord(core)
    case OPCODE.SLOT_INFO:
      return slotInfoRecord(core)
    case OPCODE.KEY_META:
      return isRedis ? keyMetaRecord(core, byteOffset) : slotImportRecord(core)
    case OPCODE.HASH_TEMPLATE:
      return isRedis ? hashTemplateRecord(core) : updateRecord(core, byteOffset)
    case OPCODE.KEY_NOEVICT:
      if (isRedis) return noEvictRecord(core, byteOffset)
      break
    case OPCODE.EOF:
      return eofRecord(core)
  }
  throw unknownNumber(core, opcode, byteOffset)
}

function unknownNumber(core: Core, number: number, byteOffset: number): Error {
  const { header, version } = core
  const where = `in an RDB of version ${version} (${header.family})`
  if (ENTERPRISE.has(number)) {
    return core.unsupported(
      `type byte ${number} ${where}: only Redis Enterprise writes it`,
      byteOffset,
    )
  }
  if (number === TYPE.MODULE_PRE_GA) {
    return core.unsupported(
      `a module value of a Redis 4.0 release candidate ${where}: only the module can read it`,
      byteOffset,
    )
  }
  if (header.family === 'valkey' && number === TYPE.HASH_LISTPACK_EX_PRE_GA) {
    return core.unsupported(`type byte ${number} ${where} is not known yet`, byteOffset)
  }
  return core.corruptAt(
    `${number < 128 ? 'type byte' : 'opcode'} ${number} ${where}: there is no such`,
    byteOffset,
  )
}

/** Key, then the visitor's answer, then the step of its value. */
function readKey(core: Core, typeByte: number, byteOffset: number): Step {
  const { input, header } = core
  const type = core.types[typeByte]
  const valueStep = type?.step
  if (type === undefined || valueStep === undefined) {
    throw unknownNumber(core, typeByte, byteOffset)
  }
  core.reading = 'key'
  input.readString(header.key)
  return beginValue(core, type, valueStep)
}

/** The cursor is behind type byte and key. */
function beginValue(core: Core, type: RdbType, valueStep: Step): Step {
  const { input, header, stats, visitor } = core
  header.valueByteOffset = input.base + input.pos
  if (type.typeByte === TYPE.MODULE_2) readModuleId(core)
  input.commit()
  if (core.options.validate) noteKey(core)
  header.typeByte = type.typeByte
  header.type = type
  header.kind = type.kind
  header.index = core.keysRead
  input.sawCompressed = false
  core.packed.sawDisputedLength = false
  stats.reset()
  core.inValue = true
  core.step = valueStep
  const depth = core.options.checkOnly ? DEPTH.SKIP : visitor.key(header)
  core.depth = depth
  core.deep = depth === DEPTH.ELEMENTS || core.options.walkBlobs
  const isRaw =
    depth === DEPTH.RAW || (depth === DEPTH.ELEMENTS && visitor.rawWithElements === true)
  core.rawFrom = isRaw ? header.valueByteOffset : -1
  return valueStep
}

/** A DUMP payload: metadata perhaps, then type byte and value. The key is set already. */
export const dumpStep: Step = (core) => {
  const { input, header } = core
  core.reading = 'type byte'
  const byteOffset = input.byteOffset
  header.byteOffset = 0
  const typeByte = input.readByte()
  if (typeByte === OPCODE.KEY_META && header.family === 'redis' && header.metaClasses === 0) {
    keyMetaRecord(core, byteOffset)
    return dumpStep
  }
  const type = core.types[typeByte]
  const valueStep = type?.step
  if (type === undefined || valueStep === undefined) {
    throw unknownNumber(core, typeByte, byteOffset)
  }
  if (!type.restorable) {
    throw core.corruptAt(`a ${type.name} refers to another record: no DUMP has it`, byteOffset)
  }
  return beginValue(core, type, valueStep)
}

function readModuleId(core: Core): void {
  const { header, u64 } = core
  core.reading = 'module id'
  core.input.readU64(u64)
  const { name, encver } = decodeModuleId(u64)
  header.moduleName = name
  header.moduleEncver = encver
}

function noteKey(core: Core): void {
  const { header, keys } = core
  const { key } = header
  const comparedOneOf = keys.comparedOneOf
  if (keys.add(header.dbnum, key.bytes, key.start, key.end)) {
    if (core.isTrial) throw core.corrupt('')
    core.notice(
      NOTICE.DUPLICATE_KEY,
      `key ${printable(key.bytes, key.start, key.end, 200)} occurs twice in db ${header.dbnum}`,
      header.byteOffset,
    )
  }
  if (keys.comparedOneOf !== comparedOneOf) noteThinning(core)
}

function noteThinning(core: Core): void {
  core.notice(
    NOTICE.DUPLICATES_SAMPLED,
    `many keys: from here on one of ${core.keys.comparedOneOf} is compared for duplicates`,
    core.input.byteOffset,
  )
}

function eofRecord(core: Core): Step {
  const { header, input } = core
  if (header.byteOffset >= 0) {
    core.notice(
      NOTICE.ATTRIBUTE_WITHOUT_KEY,
      'an expiry, idle time or frequency with no key behind it',
      header.byteOffset,
    )
    header.clearAttributes()
  }
  core.closeCrc()
  if (core.version < CHECKSUM_VERSION) return finish(core)
  core.step = checksumStep
  input.commit()
  return checksumStep
}

const checksumStep: Step = (core) => {
  const { input, options } = core
  core.reading = 'checksum'
  input.need(CHECKSUM_BYTES)
  const { buf, pos } = input
  let isZero = true
  for (let at = pos; at < pos + CHECKSUM_BYTES; at += 1) if (buf[at] !== 0) isZero = false
  if (!isZero) core.storedCrc64 = hexOf(buf, pos)
  if (isZero) {
    core.checksum = 'absent'
  } else if (options.checksum === 'ignore') {
    core.checksum = 'unchecked'
  } else if (core.crcMatches()) {
    core.checksum = 'ok'
  } else if (options.checksum === 'report') {
    core.checksum = 'bad'
  } else {
    throw core.corrupt('the checksum does not match: some byte before it was changed')
  }
  input.skip(CHECKSUM_BYTES)
  return finish(core)
}

/** Stored with its lowest byte first. */
function hexOf(buf: Uint8Array, pos: number): string {
  return Buffer.from(buf.subarray(pos, pos + CHECKSUM_BYTES))
    .reverse()
    .toString('hex')
}

/** Where a DUMP payload ends: behind its one value. */
export const payloadEndStep: Step = (core) => finish(core)

function finish(core: Core): Step {
  core.done = true
  return core.nextRecord
}
