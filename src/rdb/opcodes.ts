/** The records that are no keys, one function each, called behind the opcode byte. */
import { Buffer } from 'node:buffer'
import type { Core, Step } from './core.js'
import { latin1 } from './io/slice.js'
import { decodeModuleId, moduleItems, skipModuleItems } from './types/module.js'
import { NOTICE } from './visitor.js'

const MAX_DBNUM = 2 ** 31
const MAX_META_CLASSES = 7
const JOB_NAME_BYTES = 40
const MAX_SLOT = 16383
/** A module aux record begins with the number's own opcode (2, unsigned). */
const MODULE_UINT = 2

export function selectDbRecord(core: Core): Step {
  core.reading = 'db number'
  const at = core.input.byteOffset
  const dbnum = core.input.readLength()
  if (dbnum > MAX_DBNUM) throw core.corruptAt(`db ${dbnum}: no server has so many`, at)
  core.header.dbnum = dbnum
  core.visitor.selectDb?.(dbnum)
  return core.nextRecord
}

export function resizeDbRecord(core: Core): Step {
  core.reading = 'db size'
  const keys = core.input.readLength()
  const expires = core.input.readLength()
  core.visitor.resizeDb?.(keys, expires)
  return core.nextRecord
}

export function auxRecord(core: Core): Step {
  const { input, a, b, header } = core
  core.reading = 'aux field'
  input.readString(a)
  input.readString(b)
  // Valkey names the slot of the keys behind in an aux field: slot,keys,expires[,volatile].
  if (a.end - a.start === 9 && latin1(a) === 'slot-info') {
    const slot = Number.parseInt(latin1(b), 10)
    if (slot >= 0 && slot <= MAX_SLOT) header.slot = slot
  }
  core.visitor.aux?.(a, b)
  return core.nextRecord
}

export function slotInfoRecord(core: Core): Step {
  const { input, header, visitor } = core
  core.reading = 'slot info'
  const at = input.byteOffset
  const slot = input.readLength()
  const keys = input.readLength()
  const expires = input.readLength()
  if (slot > MAX_SLOT) throw core.corruptAt(`slot ${slot}: there are 16384`, at)
  header.slot = slot
  visitor.slotInfo?.(slot, keys, expires)
  return core.nextRecord
}

export function function2Record(core: Core): Step {
  core.reading = 'function library'
  core.input.readString(core.a)
  core.visitor.functionLibrary?.(core.a)
  return core.nextRecord
}

/** STR name, STR engine, LEN has description, [STR description], STR code. */
export function functionPreGaRecord(core: Core): Step {
  const { input, a, b, c, d } = core
  core.reading = 'function library'
  input.readString(a)
  input.readString(b)
  if (input.readLength() !== 0) input.readString(c)
  else c.clear()
  input.readString(d)
  core.visitor.functionPreGa?.(a, b, c, d)
  return core.nextRecord
}

export function moduleAuxRecord(core: Core): Step {
  const { input, u64, visitor } = core
  core.reading = 'module aux'
  input.readU64(u64)
  const { name, encver } = decodeModuleId(u64)
  const at = input.byteOffset
  const opcode = input.readLength()
  const when = input.readLength()
  if (opcode !== MODULE_UINT || when < 1 || when > 2) {
    throw core.corruptAt('module aux data without a valid place (before or after the keys)', at)
  }
  visitor.moduleAux?.(name, encver, when)
  core.afterModule = moduleAuxEnd
  return moduleItems
}

const moduleAuxEnd: Step = (core) => {
  core.visitor.moduleAuxEnd?.()
  return core.nextRecord
}

/**
 * LEN n, n × (4 raw bytes class spec, module opcodes to their end). Kept as it is, opcode included:
 * a DUMP payload begins with the same bytes. Read as a whole, since the key comes only behind it.
 */
export function keyMetaRecord(core: Core, byteOffset: number): Step {
  const { input, header } = core
  core.reading = 'key metadata'
  const start = input.pos - 1
  const classes = input.readLength()
  if (classes === 0 || classes > MAX_META_CLASSES) {
    throw core.corruptAt(`key metadata of ${classes} classes`, byteOffset)
  }
  for (let left = classes; left > 0; left -= 1) {
    input.skip(4)
    skipModuleItems(core)
  }
  // The last datum may have been stepped over before it came.
  input.need(0)
  if (header.byteOffset < 0) header.byteOffset = byteOffset
  header.metaClasses = classes
  header.meta.point(input.buf, start, input.pos)
  header.meta.retain()
  return core.nextRecord
}

export function noEvictRecord(core: Core, byteOffset: number): Step {
  core.notice(NOTICE.SKIPPED_OPCODE, 'opcode 240 (no eviction) was stepped over', byteOffset)
  return core.nextRecord
}

/** LEN id, LEN n ≥ 1, n × STR field. Hashes behind refer to it by its id. */
export function hashTemplateRecord(core: Core): Step {
  const { input, templates, visitor } = core
  core.reading = 'hash template'
  const at = input.byteOffset
  const id = input.readLength()
  const fieldCount = input.readLength()
  if (fieldCount === 0) throw core.corruptAt('a hash template without fields', at)
  if (templates.has(id)) throw core.corruptAt(`hash template ${id} occurs twice`, at)
  core.templateFields = []
  templates.set(id, core.templateFields)
  core.left = fieldCount
  visitor.hashTemplate?.(id, fieldCount)
  return templateFields
}

const templateFields: Step = (core) => {
  const { input, a, visitor } = core
  while (core.left > 0) {
    input.readString(a)
    input.commit()
    core.left -= 1
    core.templateFields.push(Buffer.from(a.bytes.subarray(a.start, a.end)))
    visitor.hashTemplateField?.(a)
  }
  return core.nextRecord
}

/** STR job name, LEN n, n × (LEN first slot, LEN last slot). */
export function slotImportRecord(core: Core): Step {
  const { input, a, visitor } = core
  core.reading = 'slot import'
  const at = input.byteOffset
  input.readString(a)
  if (a.end - a.start !== JOB_NAME_BYTES) {
    throw core.corruptAt(`the name of a slot import has ${a.end - a.start} bytes, not 40`, at)
  }
  core.left = input.readLength()
  visitor.slotImport?.(a, core.left)
  return slotImportRanges
}

const slotImportRanges: Step = (core) => {
  const { input, visitor } = core
  while (core.left > 0) {
    const at = input.byteOffset
    const first = input.readLength()
    const last = input.readLength()
    if (first > last || last > MAX_SLOT) throw core.corruptAt(`slots ${first} to ${last}`, at)
    input.commit()
    core.left -= 1
    visitor.slotImportRange?.(first, last)
  }
  return core.nextRecord
}

/** A command as the replication stream has it: `*N\r\n`, N × `$n\r\n…\r\n`. */
export function updateRecord(core: Core, byteOffset: number): Step {
  const { input, visitor } = core
  core.reading = 'update command'
  const start = input.pos
  const count = readRespNumber(core, 0x2a)
  if (count < 1) throw core.corruptAt('an update command without arguments', byteOffset)
  for (let left = count; left > 0; left -= 1) {
    const length = readRespNumber(core, 0x24)
    input.need(length + 2)
    input.skip(length)
    if (input.readByte() !== 0x0d || input.readByte() !== 0x0a) {
      throw core.corrupt('an argument of an update command has another length than it says')
    }
  }
  if (visitor.updateCommand === undefined) {
    core.notice(NOTICE.SKIPPED_OPCODE, 'an update command was stepped over', byteOffset)
  }
  visitor.updateCommand?.(input.buf, start, input.pos)
  return core.nextRecord
}

/** `mark`, decimal digits, CR LF. */
function readRespNumber(core: Core, mark: number): number {
  const { input } = core
  const at = input.byteOffset
  if (input.readByte() !== mark) throw core.corruptAt('no command behind opcode 242', at)
  let value = 0
  for (;;) {
    const byte = input.readByte()
    if (byte === 0x0d) break
    if (byte < 0x30 || byte > 0x39 || value > 1e12) {
      throw core.corruptAt('a length in an update command is no number', at)
    }
    value = value * 10 + byte - 0x30
  }
  if (input.readByte() !== 0x0a) throw core.corruptAt('a line of a command without its end', at)
  return value
}
