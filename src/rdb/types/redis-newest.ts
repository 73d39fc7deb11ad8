/**
 * Types that only the newest Redis writes: arrays (28, Redis 8.8), hashes that share a template of
 * field names (29 to 32, Redis 8.10), GCRA (33, unreleased). Layouts after the sources; no server
 * of these versions was at hand.
 */
import { Buffer } from 'node:buffer'
import type { Core, Step } from '../core.js'
import { TYPE } from '../numbers.js'
import { DEPTH } from '../visitor.js'
import { endKey } from './key-end.js'
import { LISTPACK, readBlob, shapeOf, type Shape, type Walk } from './packed-values.js'

const emits = (core: Core): boolean => core.depth === DEPTH.ELEMENTS

const ELEMENT = { STRING: 0, INTEGER: 1, DOUBLE: 2, SHORT_STRING: 3 } as const

/** LEN count, LEN flag, [LEN insert index if flag = 1], count × (LEN index, LEN tag, payload). */
export const arrayValue: Step = (core) => {
  const { input, stats, u64, visitor } = core
  core.reading = 'array'
  core.left = input.readLength()
  const flag = input.readLength()
  if (flag > 1) throw core.corrupt(`an array with insert flag ${flag}`)
  if (flag === 1) input.readU64(u64)
  stats.elements = core.left
  if (emits(core)) visitor.arrayMeta?.(core.left, flag === 1 ? u64 : undefined)
  return arrayElements
}

const arrayElements: Step = (core) => {
  const { input, a, u64, stream, visitor } = core
  core.reading = 'array element'
  while (core.left > 0) {
    input.readU64(stream.id.ms)
    const tagAt = input.byteOffset
    const tag = input.readLength()
    switch (tag) {
      case ELEMENT.STRING:
      case ELEMENT.SHORT_STRING:
        input.readString(a)
        break
      case ELEMENT.INTEGER:
        input.readU64le(u64)
        a.setI64(u64.high, u64.low)
        break
      case ELEMENT.DOUBLE:
        a.setText(String(input.readDouble()))
        break
      default:
        throw core.corruptAt(`an array element with unknown tag ${tag}`, tagAt)
    }
    input.commit()
    core.left -= 1
    core.notePlain(a.end - a.start)
    if (emits(core)) visitor.arrayElement?.(stream.id.ms, a, tag)
  }
  return endKey
}

export const gcraValue: Step = (core) => {
  core.reading = 'gcra'
  core.input.readU64(core.u64)
  core.stats.elements = 1
  if (emits(core)) core.visitor.gcra?.(core.u64)
  return endKey
}

/** How field names stand in the DUMP forms. */
const FIELDS_FORMAT = { LISTPACK: 0, STRINGS: 1 } as const

/** 29, 31: the field names first, then the values as in 30 and 32. */
export const templateValue: Step = (core) => {
  const { input } = core
  core.reading = 'hash template'
  core.templateFields = []
  const at = input.byteOffset
  const format = input.readLength()
  if (format === FIELDS_FORMAT.LISTPACK) {
    // Each has exactly one value behind, so the names are no more than the value is.
    readBlobDeep(core, shapeOf(collectFields))
    return valuesOf(core)
  }
  if (format !== FIELDS_FORMAT.STRINGS) {
    throw core.corruptAt(`a hash template in unknown form ${format}`, at)
  }
  core.left = input.readLength()
  return fieldNames
}

const fieldNames: Step = (core) => {
  const { input, a } = core
  while (core.left > 0) {
    input.readString(a)
    input.commit()
    core.left -= 1
    core.templateFields.push(Buffer.from(a.bytes.subarray(a.start, a.end)))
  }
  return valuesOf(core)
}

const collectFields: Walk = (core) => {
  const { packed, a, templateFields } = core
  while (packed.next()) {
    packed.render(a)
    templateFields.push(Buffer.from(a.bytes.subarray(a.start, a.end)))
  }
  return packed.entries
}

/** Names are needed at every depth, to know how many values there are. */
function readBlobDeep(core: Core, shape: Shape): void {
  const { deep } = core
  core.deep = true
  try {
    readBlob(core, LISTPACK, shape)
  } finally {
    core.deep = deep
  }
}

function valuesOf(core: Core): Step {
  return core.header.typeByte === TYPE.HASH_TEMPLATE_LISTPACK ? listpackValues : arrayValues(core)
}

/** 30: the values in a listpack, the template's id in front of them. */
export const templateListpackRefValue: Step = (core) => {
  core.templateFields = undefinedFields
  return listpackValues
}

/** Stands for "look the template up by the id in the listpack". */
const undefinedFields: Buffer[] = []

const listpackValues: Step = (core) => {
  core.reading = 'hash template values'
  const entries = readBlob(core, LISTPACK, shapeOf(walkTemplateValues))
  core.stats.elements = Math.max(0, entries - 1)
  return endKey
}

const walkTemplateValues: Walk = (core, emit) => {
  const { packed, b, stats, visitor } = core
  if (!packed.next() || !packed.isInteger) {
    throw core.blobError('the values of a template do not start with its id', core.blob.start)
  }
  const fields =
    core.templateFields === undefinedFields
      ? templateById(core, packed.number)
      : core.templateFields
  for (const field of fields) {
    if (!packed.next()) throw core.blobError('fewer values than fields', core.blob.end - 1)
    const longest = Math.max(field.length, packed.length)
    if (longest > stats.largestElementBytes) stats.largestElementBytes = longest
    if (!emit) continue
    packed.render(b)
    core.a.point(field, 0, field.length)
    visitor.hashField?.(core.a, b, -1)
  }
  if (packed.next()) throw core.blobError('more values than fields', packed.entryAt)
  return packed.entries
}

/** 32: LEN template id, then the values. */
export const templateArrayRefValue: Step = (core) => {
  core.reading = 'hash template values'
  core.templateFields = templateById(core, core.input.readLength())
  return arrayValues(core)
}

function templateById(core: Core, id: number): Buffer[] {
  const fields = core.templates.get(id)
  if (fields === undefined) throw core.corrupt(`a hash refers to unknown template ${id}`)
  return fields
}

function arrayValues(core: Core): Step {
  core.left = core.templateFields.length
  core.stats.elements = core.left
  if (emits(core)) core.visitor.count?.(core.left)
  return templateValues
}

const templateValues: Step = (core) => {
  const { input, a, b, visitor, templateFields } = core
  while (core.left > 0) {
    const field = templateFields[templateFields.length - core.left]!
    input.readString(b)
    input.commit()
    core.left -= 1
    core.notePlain(b.end - b.start)
    if (emits(core)) {
      a.point(field, 0, field.length)
      visitor.hashField?.(a, b, -1)
    }
  }
  return endKey
}
