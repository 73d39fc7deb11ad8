/**
 * From an RDB to the commands that rebuild it: an `RdbVisitor` that writes RESP frames.
 *
 * For each key it makes a plan (RESTORE with the raw value, or commands from its elements) by what
 * the target can hold, lets the caller's hook change it, and writes. Memory is bounded whatever the
 * size of a value: commands carry a batch of elements each, and a payload that outgrows
 * `maxPayloadBytes` is taken back and goes on as commands. Whatever the target cannot be given is
 * counted in `losses` and told to `onLoss`. Nothing is allocated per key or element.
 */
import { Buffer } from 'node:buffer'
import type { ByteKernel } from '../kernels/kernel.js'
import { serverVersionNumber } from '../servers/version.js'
import type { RdbLane } from '../rdb/lane/lane.js'
import {
  DEPTH,
  KIND,
  type Depth,
  type KeyHeader,
  type LostRegion,
  type RdbStart,
  type RdbVisitor,
  type Slice,
  type ValueStats,
} from '../rdb/visitor.js'
import { headOf, type CommandWriter } from './command-writer.js'
import { ElementLane } from './element-lane.js'
import {
  METHOD,
  type KeyOutcome,
  type KeyPlan,
  type Method,
  type RewriteHooks,
} from './key-plan.js'
import { LOSS, type Loss, type LossCounts } from '../servers/loss.js'
import { RawValueParser } from '../rdb/raw-value-parser.js'
import { RestoreWriter } from './restore-writer.js'
import { SetLane } from './set-lane.js'
import { StreamCommands } from './stream-commands.js'
import { StreamSurvey } from './stream-survey.js'
import {
  acceptsType,
  backlenHabit,
  type BacklenHabit,
  type TargetCapabilities,
} from '../servers/capabilities.js'

/** A payload is held in memory until its length is known. */
export const DEFAULT_MAX_PAYLOAD_BYTES = 16 << 20
/** The smallest listpack whose entries may have a back-length that servers disagree on. */
const DISPUTED_LISTPACK_BYTES = 16_383

const SELECT_2 = headOf(2, 'SELECT')
const PEXPIREAT_3 = headOf(3, 'PEXPIREAT')
const EXPIREAT_3 = headOf(3, 'EXPIREAT')
const DEL_2 = headOf(2, 'DEL')
const UNLINK_2 = headOf(2, 'UNLINK')
const FUNCTION_LOAD_4 = headOf(4, 'FUNCTION', 'LOAD', 'REPLACE')
const SCRIPT_LOAD_3 = headOf(3, 'SCRIPT', 'LOAD')

export interface RewriteOptions extends RewriteHooks {
  target: TargetCapabilities
  /** Where commands go unless a plan says otherwise. */
  writer: CommandWriter
  /**
   * `auto`: RESTORE where the target takes the payload, strings by SET. `always`: RESTORE for
   * strings too. `never`: commands. What RESTORE cannot bring goes by commands in every mode, and
   * module values, which no command can make, by RESTORE.
   */
  restore?: 'auto' | 'always' | 'never'
  conflict?: KeyPlan['conflict']
  maxPayloadBytes?: number
  /** Whether the target has the module that makes values of this type. Default: yes. */
  hasModule?: (moduleName: string) => boolean
  /**
   * With `restore: 'never'`: strings may be written in runs by the kernel in whose memory the
   * writer's buffer lies, under their own names to the plain `writer`. `keyDone` and the hook `key`
   * are then not called for them; `taken` is told how many they were.
   */
  rows?: { kernel: ByteKernel; taken: (keys: number) => void } | undefined
  /** In whose memory the writer's buffer lies: elements may be written by it in rows. */
  kernel?: ByteKernel | undefined
  /** Takes the code that the file holds, which else goes to the writer by FUNCTION LOAD and SCRIPT
   * LOAD. Valid during the call. */
  code?: { functionLibrary: (code: Slice) => void; script: (code: Slice) => void } | undefined
  /** Told of AUX fields. */
  aux?: ((field: string, value: Slice) => void) | undefined
  /** Told of damage, where the parser goes on behind it. */
  lost?: ((region: LostRegion) => void) | undefined
  /** The time to write for the one that a field of a hash has. Such a key must not go by RESTORE,
   * inside of which times cannot be changed. */
  fieldTime?: ((expireAtMs: number) => number) | undefined
  /** Called when a key has been written or left out; commands may be appended to its plan. */
  keyDone?: (header: KeyHeader, stats: ValueStats, outcome: KeyOutcome) => void
  /** `header` is undefined where the loss belongs to no key. */
  onLoss?: (loss: Loss, header: KeyHeader | undefined) => void
}

export class KeyRewriter implements RdbVisitor {
  readonly losses: LossCounts = {}
  /** Goes on by kernels where it can: for `new RdbParser(rewriter, { lane: rewriter.lane })`. */
  readonly lane: RdbLane
  functions = 0
  scripts = 0
  readonly #options: RewriteOptions
  readonly #target: TargetCapabilities
  readonly #restoreMode: 'auto' | 'always' | 'never'
  readonly #conflict: KeyPlan['conflict']
  readonly #maxPayloadBytes: number
  readonly #elements: StreamCommands
  readonly #restore: RestoreWriter
  readonly #plan: KeyPlan
  readonly #outcome: { plan: KeyPlan; method: Method; commands: number }
  #header: KeyHeader | undefined
  #method: Method = METHOD.SKIP
  #commandsBefore = 0
  /** The value at hand is parsed a second time, from its raw bytes. */
  #rawParser: RawValueParser | undefined
  /** A stream for commands is read twice, if it is not too big for that. */
  readonly #survey = new StreamSurvey()
  #streamBytes: Buffer = Buffer.alloc(0)
  #streamLength = 0
  #collecting = false
  #disputed = false
  #sourceBacklen: BacklenHabit = 'wide'

  constructor(options: RewriteOptions) {
    this.#options = options
    this.#target = options.target
    this.#restoreMode = options.restore ?? 'auto'
    this.#conflict = options.conflict ?? 'replace'
    this.#maxPayloadBytes = options.maxPayloadBytes ?? DEFAULT_MAX_PAYLOAD_BYTES
    const onLoss = (loss: Loss): void => this.#lose(loss, this.#header)
    this.#elements = new StreamCommands(options.target, onLoss)
    this.#restore = new RestoreWriter(options.target)
    this.#plan = {
      key: { bytes: Buffer.alloc(0), start: 0, end: 0 },
      dbnum: 0,
      method: METHOD.SKIP,
      writer: options.writer,
      expireAtMs: -1,
      conflict: this.#conflict,
    }
    this.#outcome = { plan: this.#plan, method: METHOD.SKIP, commands: 0 }
    const elements =
      options.kernel === undefined ? undefined : new ElementLane(options.kernel, this.#elements)
    this.lane = {
      stringRecords: this.#stringRecords(),
      elements:
        elements &&
        ((stretch, what, count) =>
          elements.take(stretch, what, count, this.#header!.kind, this.#plan.writer)),
      packedValue:
        elements &&
        ((stretch, format) =>
          elements.takePacked(stretch, format, this.#header!.kind, this.#plan.writer)),
    }
  }

  /** Strings by SET, where nobody has to look at a key. */
  #stringRecords(): RdbLane['stringRecords'] {
    const { rows, writer, target } = this.#options
    const isPlain = this.#restoreMode === 'never' && this.#conflict !== 'refuse'
    if (rows === undefined || !isPlain || !target.pexpireat) return undefined
    const sets = new SetLane(rows.kernel, target.setPxat)
    return (stretch, dbnum) => {
      // The first key of a db selects it.
      if (writer.selectedDb !== dbnum || writer.isOpen) return 0
      const taken = sets.records(stretch, writer)
      if (taken > 0) rows.taken(taken)
      return taken
    }
  }

  start(start: RdbStart): void {
    // Until an AUX field names the server: Redis changed with RDB 14, Valkey within RDB 80.
    if (start.family === 'valkey') this.#sourceBacklen = start.version > 80 ? 'narrow' : 'unknown'
    else this.#sourceBacklen = start.version >= 14 ? 'narrow' : 'wide'
  }

  aux(name: Slice, value: Slice): void {
    const field = name.bytes.toString('latin1', name.start, name.end)
    this.#options.aux?.(field, value)
    if (field === 'redis-ver' || field === 'valkey-ver') {
      const version = serverVersionNumber(value.bytes.toString('latin1', value.start, value.end))
      if (version === undefined) return
      this.#sourceBacklen = backlenHabit(field === 'redis-ver' ? 'redis' : 'valkey', version)
    } else if (field === 'lua') {
      this.#script(value)
    }
  }

  #script(code: Slice): void {
    if (this.#options.code !== undefined) {
      this.#options.code.script(code)
      return
    }
    if (!this.#target.scripts) {
      this.#lose(LOSS.SCRIPT, undefined)
      return
    }
    const { writer } = this.#options
    this.scripts += 1
    writer.begin(SCRIPT_LOAD_3)
    writer.bulk(code.bytes, code.start, code.end)
  }

  functionLibrary(code: Slice): void {
    if (this.#options.code !== undefined) {
      this.#options.code.functionLibrary(code)
      return
    }
    this.functions += 1
    if (!this.#target.functions) {
      this.#lose(LOSS.FUNCTION, undefined)
      return
    }
    const { writer } = this.#options
    writer.begin(FUNCTION_LOAD_4)
    writer.bulk(code.bytes, code.start, code.end)
  }

  /** The release candidates of 7.0 kept engine and name beside the code; 7.0 joins them so. */
  functionPreGa(name: Slice, engine: Slice, _description: Slice, code: Slice): void {
    const whole = Buffer.concat([
      Buffer.from('#!'),
      sliceOf(engine),
      Buffer.from(' name='),
      sliceOf(name),
      Buffer.from('\n'),
      sliceOf(code),
    ])
    this.functionLibrary({ bytes: whole, start: 0, end: whole.length })
  }

  moduleAux(): void {
    this.#lose(LOSS.MODULE_AUX, undefined)
  }

  lost(region: LostRegion): void {
    this.#options.lost?.(region)
  }

  /** A whole command that the writing server wants applied at this point. */
  updateCommand(bytes: Buffer, start: number, end: number): void {
    const { writer } = this.#options
    writer.out.write(bytes, start, end)
    writer.commands += 1
  }

  key(header: KeyHeader): Depth {
    const options = this.#options
    const plan = this.#plan
    this.#header = header
    plan.key = header.key
    plan.dbnum = header.dbnum
    plan.writer = options.writer
    plan.expireAtMs = header.expireAtMs
    plan.conflict = this.#conflict
    plan.method = this.#chooseMethod(header)
    if (options.key?.(header, plan) === false) {
      this.#method = METHOD.SKIP
      this.#commandsBefore = plan.writer.commands
      return DEPTH.SKIP
    }
    this.#method = plan.method
    if (plan.method === METHOD.SKIP) this.#lose(lossOf(header), header)
    if (header.metaClasses > 0 && !(plan.method === METHOD.RESTORE && this.#target.keyMeta)) {
      this.#lose(LOSS.KEY_META, header)
    }
    return this.#begin(header)
  }

  keyEnd(header: KeyHeader, stats: ValueStats): void {
    const plan = this.#plan
    const outcome = this.#outcome
    this.#header = header
    if (this.#method === METHOD.RESTORE) this.#endRestore(header)
    else if (this.#method === METHOD.COMMANDS) this.#endCommands(header)
    outcome.method = this.#method
    outcome.commands = plan.writer.commands - this.#commandsBefore
    this.#options.keyDone?.(header, stats, outcome)
    this.#header = undefined
  }

  rawValue(bytes: Buffer, start: number, end: number): void {
    if (this.#rawParser !== undefined) {
      this.#rawParser.push(bytes.subarray(start, end))
      return
    }
    if (this.#collecting) {
      this.#collect(bytes, start, end)
      return
    }
    this.#restore.value(bytes, start, end)
    if (this.#restore.heldBytes > this.#maxPayloadBytes && this.#canFallBack())
      this.#fallBack(false)
  }

  packed(blobBytes: number): void {
    if (blobBytes >= DISPUTED_LISTPACK_BYTES) this.#disputed = true
  }

  stringValue(value: Slice): void {
    this.#elements.stringValue(value)
  }

  stringBegin(totalBytes: number): void {
    this.#elements.stringBegin(totalBytes)
  }

  stringPart(part: Slice): void {
    this.#elements.stringPart(part)
  }

  listElement(element: Slice): void {
    this.#elements.listElement(element)
  }

  setMember(member: Slice): void {
    this.#elements.setMember(member)
  }

  zsetMember(member: Slice, score: number, scoreText: Slice): void {
    this.#elements.zsetMember(member, score, scoreText)
  }

  hashField(field: Slice, value: Slice, expireAtMs: number): void {
    const { fieldTime } = this.#options
    const isMoved = expireAtMs !== -1 && fieldTime !== undefined
    this.#elements.hashField(field, value, isMoved ? fieldTime(expireAtMs) : expireAtMs)
  }

  #chooseMethod(header: KeyHeader): Method {
    const options = this.#options
    const target = this.#target
    const payload = acceptsType(target, header.type)
    switch (header.kind) {
      case KIND.MODULE:
        if (!payload) return METHOD.SKIP
        return options.hasModule?.(header.moduleName) === false ? METHOD.SKIP : METHOD.RESTORE
      case KIND.ARRAY:
      case KIND.GCRA:
        return payload ? METHOD.RESTORE : METHOD.SKIP
      case KIND.STREAM:
        if (!target.streams) return METHOD.SKIP
        break
      case KIND.LIST:
      case KIND.SET:
      case KIND.ZSET:
      case KIND.HASH:
        break
      case KIND.STRING:
        // SET is the faster of the two, but only RESTORE can bring idle time and frequency.
        if (this.#restoreMode === 'auto' && header.idleSeconds < 0 && header.freq < 0) {
          return METHOD.COMMANDS
        }
        break
    }
    return payload && this.#restoreMode !== 'never' ? METHOD.RESTORE : METHOD.COMMANDS
  }

  /** Writes what stands before a value. */
  #begin(header: KeyHeader): Depth {
    const plan = this.#plan
    this.#commandsBefore = plan.writer.commands
    if (this.#method === METHOD.SKIP) return DEPTH.SKIP
    if (plan.writer.selectedDb !== plan.dbnum) {
      plan.writer.begin(SELECT_2)
      plan.writer.decimal(plan.dbnum)
      plan.writer.selectedDb = plan.dbnum
    }
    this.#disputed = false
    if (this.#method === METHOD.RESTORE) {
      if (plan.conflict === 'replace' && !this.#target.restoreReplace) this.#remove()
      this.#restore.begin(header, plan)
      return DEPTH.RAW
    }
    this.#beginCommands(header)
    if (header.kind !== KIND.STREAM) return DEPTH.ELEMENTS
    this.#collecting = true
    this.#streamLength = 0
    return DEPTH.RAW
  }

  #beginCommands(header: KeyHeader): void {
    // SET replaces by itself.
    if (this.#plan.conflict === 'replace' && header.kind !== KIND.STRING) this.#remove()
    this.#elements.begin(this.#plan, header)
  }

  #remove(): void {
    const plan = this.#plan
    plan.writer.begin(this.#target.unlink ? UNLINK_2 : DEL_2)
    plan.writer.bulk(plan.key.bytes, plan.key.start, plan.key.end)
  }

  #endRestore(header: KeyHeader): void {
    const dispute =
      this.#disputed &&
      header.type.encoding !== 'ziplist' &&
      (this.#sourceBacklen === 'unknown' || this.#sourceBacklen !== this.#target.backlen)
    if (dispute && this.#rawParser === undefined && this.#canFallBack()) this.#fallBack(true)
    if (this.#rawParser !== undefined) {
      this.#method = METHOD.COMMANDS
      this.#endCommands(header)
      return
    }
    this.#restore.end()
    if (this.#plan.expireAtMs !== -1 && !this.#target.restoreAbsttl) this.#expire()
  }

  #endCommands(header: KeyHeader): void {
    if (this.#collecting) {
      this.#collecting = false
      this.#parseRaw(header, this.#streamBytes.subarray(0, this.#streamLength), true)
    }
    if (this.#rawParser !== undefined) {
      this.#rawParser.end()
      this.#rawParser = undefined
    }
    if (header.kind === KIND.STREAM) this.#elements.streamEnd()
    const expiryWritten = this.#elements.finish()
    if (this.#plan.expireAtMs !== -1 && !expiryWritten) this.#expire()
  }

  #expire(): void {
    const target = this.#target
    const plan = this.#plan
    plan.writer.begin(target.pexpireat ? PEXPIREAT_3 : EXPIREAT_3)
    plan.writer.bulk(plan.key.bytes, plan.key.start, plan.key.end)
    // No key goes before its time.
    plan.writer.decimal(target.pexpireat ? plan.expireAtMs : Math.ceil(plan.expireAtMs / 1000))
  }

  /** Values of modules and the like can go as payloads only, however big. */
  #canFallBack(): boolean {
    return this.#header!.kind < KIND.MODULE
  }

  /** Takes the RESTORE back and goes on with commands, from the bytes held so far. */
  #fallBack(isWhole: boolean): void {
    const header = this.#header!
    const value = this.#restore.copyValue(header)
    this.#restore.cancel()
    if (header.metaClasses > 0 && this.#target.keyMeta) this.#lose(LOSS.KEY_META, header)
    this.#beginCommands(header)
    this.#parseRaw(header, value, isWhole)
  }

  /** Turns the raw bytes of the value into elements; more may follow unless they are all. */
  #parseRaw(header: KeyHeader, value: Buffer, isWhole: boolean): void {
    if (header.kind === KIND.STREAM) {
      if (isWhole) {
        this.#survey.clear()
        const parser = new RawValueParser(header, this.#survey)
        parser.push(value)
        parser.end()
      }
      this.#elements.streamBegin(isWhole ? this.#survey : undefined)
    }
    this.#rawParser = new RawValueParser(header, this.#elements)
    this.#rawParser.push(value)
  }

  #collect(bytes: Buffer, start: number, end: number): void {
    const length = this.#streamLength + end - start
    if (length > this.#streamBytes.length) {
      const next = Buffer.allocUnsafe(Math.max(1 << 16, 2 * length))
      this.#streamBytes.copy(next, 0, 0, this.#streamLength)
      this.#streamBytes = next
    }
    bytes.copy(this.#streamBytes, this.#streamLength, start, end)
    this.#streamLength = length
    if (length <= this.#maxPayloadBytes) return
    this.#collecting = false
    this.#parseRaw(this.#header!, this.#streamBytes.subarray(0, length), false)
    this.#streamBytes = Buffer.alloc(0)
  }

  #lose(loss: Loss, header: KeyHeader | undefined): void {
    this.losses[loss] = (this.losses[loss] ?? 0) + 1
    this.#options.onLoss?.(loss, header)
  }
}

function lossOf(header: KeyHeader): Loss {
  return header.kind === KIND.STREAM ? LOSS.STREAM : LOSS.VALUE
}

function sliceOf(slice: Slice): Buffer {
  return slice.bytes.subarray(slice.start, slice.end)
}
