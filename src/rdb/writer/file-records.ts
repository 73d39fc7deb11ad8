/**
 * What stands between the keys of an RDB, written again from the reader's events: AUX fields, hints,
 * function libraries, templates of hashes, data of modules. What the form of the new file has no
 * place for is named; hints that may not be so any more are left away.
 */
import { Buffer } from 'node:buffer'
import { LOSS, type Loss } from '../../servers/loss.js'
import { OPCODE } from '../numbers.js'
import { encodeModuleId } from '../types/module.js'
import type { RdbVisitor, Slice, U64 } from '../visitor.js'
import { hasSince, SINCE } from './rdb-form.js'
import type { RdbOutput } from './rdb-output.js'

/** Opcodes of the data of modules. */
const MODULE = { END: 0, SIGNED: 1, UNSIGNED: 2, FLOAT: 3, DOUBLE: 4, STRING: 5 } as const
/** Where a stream goes on, or what file this was the front of: what is written is neither. */
const OF_ITS_PLACE: ReadonlySet<string> = new Set([
  'repl-stream-db',
  'repl-id',
  'repl-offset',
  'aof-base',
  'aof-preamble',
])
const VERSIONS: ReadonlySet<string> = new Set(['redis-ver', 'valkey-ver', 'redict-ver'])
const SCRIPT = 'lua'
/** In a dump of a Valkey cluster: slot, and how many keys come. */
const SLOT_HINT = 'slot-info'
/** From here on servers pass cached scripts over. */
const NO_SCRIPTS_FROM = 70_000

export interface FileRecordOptions {
  readonly output: RdbOutput
  /** All keys come as they are: what is said of their number holds. */
  readonly isWhole: boolean
  readonly lose: (loss: Loss) => void
  /** What who loads it has. */
  readonly databases: number
  readonly hasModule: (moduleName: string) => boolean
}

export class FileRecords implements Omit<RdbVisitor, 'key'> {
  functions = 0
  readonly #output: RdbOutput
  readonly #isWhole: boolean
  readonly #lose: (loss: Loss) => void
  readonly #databases: number
  readonly #hasModule: (moduleName: string) => boolean
  #isBeyond = false
  #inModuleAux = false
  readonly #libraries = new Set<string>()

  constructor({ output, isWhole, lose, databases, hasModule }: FileRecordOptions) {
    this.#databases = databases
    this.#hasModule = hasModule
    this.#output = output
    this.#isWhole = isWhole
    this.#lose = lose
    const { target } = output.form
    if (target !== undefined && this.#holds(SINCE.AUX)) {
      output.to.aux(`${target.family}-ver`, versionText(target.version))
    }
  }

  aux(name: Slice, value: Slice): void {
    const field = latin1(name)
    const { form, to } = this.#output
    if (OF_ITS_PLACE.has(field)) return
    if (field === SLOT_HINT && !this.#isWhole) return
    if (field === SCRIPT) {
      const isDropped = form.target !== undefined && form.target.version >= NO_SCRIPTS_FROM
      if (isDropped || !this.#holds(SINCE.AUX)) {
        this.#lose(LOSS.SCRIPT)
        return
      }
    }
    if (!this.#holds(SINCE.AUX)) return
    if (form.target !== undefined && (VERSIONS.has(field) || field === SLOT_HINT)) return
    to.out.byte(OPCODE.AUX)
    to.slice(name)
    to.slice(value)
  }

  selectDb(dbnum: number): void {
    this.#isBeyond = dbnum >= this.#databases
    if (this.#isWhole && !this.#isBeyond) this.#output.select(dbnum)
  }

  resizeDb(keys: number, expires: number): void {
    if (!this.#isWhole || this.#isBeyond || !this.#holds(SINCE.AUX)) return
    const { to } = this.#output
    to.out.byte(OPCODE.RESIZEDB)
    to.length(keys)
    to.length(expires)
  }

  slotInfo(slot: number, keys: number, expires: number): void {
    const { form, to } = this.#output
    if (!this.#isWhole || form.family !== 'redis' || form.version < SINCE.SLOT_INFO) return
    to.out.byte(OPCODE.SLOT_INFO)
    to.length(slot)
    to.length(keys)
    to.length(expires)
  }

  functionLibrary(code: Slice): void {
    const text = code.bytes.toString('utf8', code.start, code.end)
    // Each shard of a cluster has it, and no server loads one twice.
    if (this.#libraries.has(text)) return
    this.#libraries.add(text)
    this.functions += 1
    if (this.#holds(SINCE.FUNCTIONS)) this.#output.functionLibrary(code)
    else this.#lose(LOSS.FUNCTION)
  }

  /** The release candidates of 7.0 kept engine and name beside the code; 7.0 joins them so. */
  functionPreGa(name: Slice, engine: Slice, _description: Slice, code: Slice): void {
    const whole = Buffer.concat([
      Buffer.from(`#!${latin1(engine)} name=${latin1(name)}\n`, 'latin1'),
      code.bytes.subarray(code.start, code.end),
    ])
    this.functionLibrary({ bytes: whole, start: 0, end: whole.length })
  }

  hashTemplate(id: number, fieldCount: number): void {
    const { to } = this.#output
    if (!this.holdsTemplates) return
    to.out.byte(OPCODE.HASH_TEMPLATE)
    to.length(id)
    to.length(fieldCount)
  }

  hashTemplateField(field: Slice): void {
    if (this.holdsTemplates) this.#output.to.slice(field)
  }

  slotImport(jobName: Slice, rangeCount: number): void {
    const { form, to } = this.#output
    if (form.family !== 'valkey') {
      this.#lose(LOSS.SLOT_IMPORT)
      return
    }
    to.out.byte(OPCODE.SLOT_IMPORT)
    to.slice(jobName)
    to.length(rangeCount)
  }

  slotImportRange(firstSlot: number, lastSlot: number): void {
    const { form, to } = this.#output
    if (form.family !== 'valkey') return
    to.length(firstSlot)
    to.length(lastSlot)
  }

  moduleAux(moduleName: string, encver: number, when: number): void {
    this.#inModuleAux = this.#holds(SINCE.MODULE_AUX) && this.#hasModule(moduleName)
    if (!this.#inModuleAux) {
      this.#lose(LOSS.MODULE_AUX)
      return
    }
    const { to } = this.#output
    to.out.byte(OPCODE.MODULE_AUX)
    to.u64(encodeModuleId(moduleName, encver))
    to.length(MODULE.UNSIGNED)
    to.length(when)
  }

  moduleAuxEnd(): void {
    if (this.#inModuleAux) this.#output.to.length(MODULE.END)
    this.#inModuleAux = false
  }

  moduleSigned(value: U64): void {
    if (this.#inModuleAux) this.#number(MODULE.SIGNED, value)
  }

  moduleUnsigned(value: U64): void {
    if (this.#inModuleAux) this.#number(MODULE.UNSIGNED, value)
  }

  moduleFloat(value: number): void {
    if (!this.#inModuleAux) return
    this.#output.to.length(MODULE.FLOAT)
    this.#output.to.float(value)
  }

  moduleDouble(value: number): void {
    if (!this.#inModuleAux) return
    this.#output.to.length(MODULE.DOUBLE)
    this.#output.to.double(value)
  }

  moduleString(value: Slice): void {
    if (!this.#inModuleAux) return
    this.#output.to.length(MODULE.STRING)
    this.#output.to.slice(value)
  }

  /** Hashes may refer to templates. */
  get holdsTemplates(): boolean {
    const { form } = this.#output
    return form.family === 'redis' && form.version >= SINCE.TEMPLATES
  }

  #number(opcode: number, value: U64): void {
    this.#output.to.length(opcode)
    this.#output.to.u64(value)
  }

  #holds(since: number): boolean {
    return hasSince(this.#output.form, since)
  }
}

function latin1({ bytes, start, end }: Slice): string {
  return bytes.toString('latin1', start, end)
}

function versionText(version: number): string {
  return [Math.floor(version / 10_000), Math.floor(version / 100) % 100, version % 100].join('.')
}
