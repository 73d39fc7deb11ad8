/**
 * Values and aux data of modules. What they mean only the module knows; but since type 7 each datum
 * says what it is, so that they can be walked and copied without it:
 *
 *   LEN opcode: 0 end · 1 signed LEN · 2 unsigned LEN · 3 f32le · 4 f64le · 5 STR
 *
 * The module's id is nine 6-bit characters, highest first, above 10 bits of encoding version.
 */
import type { Core, Step } from '../core.js'
import type { U64 } from '../visitor.js'
import { DEPTH } from '../visitor.js'
import { endKey } from './key-end.js'

const MODULE_OPCODE = { EOF: 0, SINT: 1, UINT: 2, FLOAT: 3, DOUBLE: 4, STRING: 5 } as const
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const NAME_LENGTH = 9

/** Name and encoding version of a module type, by its 64-bit id. */
export function decodeModuleId(id: U64): { name: string; encver: number } {
  let bits = (BigInt(id.high) << 32n) | BigInt(id.low)
  const encver = Number(bits & 1023n)
  bits >>= 10n
  let name = ''
  for (let index = 0; index < NAME_LENGTH; index += 1) {
    name = ALPHABET[Number(bits & 63n)]! + name
    bits >>= 6n
  }
  return { name, encver }
}

/** The id of a name of nine characters, the other way round. */
export function encodeModuleId(name: string, encver: number): U64 {
  let bits = 0n
  for (const char of name) bits = (bits << 6n) | BigInt(ALPHABET.indexOf(char))
  bits = (bits << 10n) | BigInt(encver)
  return { high: Number(bits >> 32n), low: Number(bits & 0xffffffffn) }
}

/** Type 7; the id has been read with the key. */
export const moduleValue: Step = (core) => {
  core.reading = 'module value'
  core.stats.elements = 1
  core.afterModule = endKey
  return moduleItems
}

/** Reads one datum after the other until the end, then goes on with `core.afterModule`. */
export const moduleItems: Step = (core) => {
  const { input, a, u64, visitor } = core
  const emit = !core.inValue || core.depth === DEPTH.ELEMENTS
  for (;;) {
    const opcode = input.readLength()
    switch (opcode) {
      case MODULE_OPCODE.EOF:
        return core.afterModule
      case MODULE_OPCODE.SINT:
      case MODULE_OPCODE.UINT:
        input.readU64(u64)
        input.commit()
        if (!emit) break
        if (opcode === MODULE_OPCODE.SINT) visitor.moduleSigned?.(u64)
        else visitor.moduleUnsigned?.(u64)
        break
      case MODULE_OPCODE.FLOAT: {
        const value = input.readFloat()
        input.commit()
        if (emit) visitor.moduleFloat?.(value)
        break
      }
      case MODULE_OPCODE.DOUBLE: {
        const value = input.readDouble()
        input.commit()
        if (emit) visitor.moduleDouble?.(value)
        break
      }
      case MODULE_OPCODE.STRING:
        if (emit) {
          input.readString(a)
          input.commit()
          visitor.moduleString?.(a)
        } else {
          input.skipString(core.deep)
          input.commit()
        }
        break
      default:
        throw unknownOpcode(core, opcode)
    }
  }
}

/** Steps over module data within one step: for records that are read as a whole. */
export function skipModuleItems(core: Core): void {
  const { input, u64 } = core
  for (;;) {
    const opcode = input.readLength()
    if (opcode === MODULE_OPCODE.EOF) return
    if (opcode === MODULE_OPCODE.SINT || opcode === MODULE_OPCODE.UINT) input.readU64(u64)
    else if (opcode === MODULE_OPCODE.FLOAT) input.skip(4)
    else if (opcode === MODULE_OPCODE.DOUBLE) input.skip(8)
    else if (opcode === MODULE_OPCODE.STRING) input.skipString(core.deep)
    else throw unknownOpcode(core, opcode)
  }
}

function unknownOpcode(core: Core, opcode: number): Error {
  return core.corrupt(`module data with unknown opcode ${opcode}`)
}
