/**
 * Takes the commands of a stream one by one and appends to the writer's batch what they come to on
 * the target: filters, mapping of dbs and names, the user's transform, then the rules of
 * propagation. Follows SELECT and transactions, and knows at every moment up to which stream
 * offset the batch is whole.
 */
import { Buffer } from 'node:buffer'
import {
  isArg,
  KeyPositions,
  type CommandInfo,
  type CommandTable,
} from '../../resp/command-table.js'
import { CommandDecoder } from '../../resp/decoder.js'
import { CommandEncoder } from '../../resp/encoder.js'
import { RreplayUnwrapper } from '../../resp/rreplay.js'
import { printable } from '../../bytes/printable.js'
import { CHECKPOINT_DB } from '../checkpoint.js'
import { copyArg, integerArg } from '../../resp/command-args.js'
import { CommandFilter, decodeOne, PASS } from './command-filter.js'
import type { KeyMapping } from '../key-mapping.js'
import type { KeyFilter } from '../../source/key-filter.js'
import type { Ledger } from '../ledger.js'
import { frameEnd } from '../server/resp-frames.js'
import { VERDICT } from './rule-outcome.js'
import type { StreamRules } from './stream-rules.js'
import type { StreamTarget } from './stream-target.js'
import {
  TRANSFORM_FAILED,
  transformCommand,
  type Transform,
  type TransformCommand,
} from '../transform.js'

/** Where commands go. */
export type CommandBatches = Pick<StreamTarget, 'current' | 'seal'>

export interface CommandApplierOptions {
  writer: CommandBatches
  rules: StreamRules
  table: CommandTable
  selection: KeyFilter
  mapping: KeyMapping
  transform: Transform | undefined
  ledger: Ledger
  /** Databases of the target. */
  databases: number
  checkpointKey: Buffer
  /** Keys that begin with it and a colon are ours, too. */
  hasOwnFamily?: boolean
}

/** What became of a command, or of the several that a transform makes of it: the worst counts. */
const FATE = { LEFT_OUT: 0, SENT: 1, FAILED: 2 } as const

const COLON = 0x3a

export class CommandApplier {
  /** The source's db at hand. */
  db = 0
  /** Commands since the last MULTI of the source wait for its EXEC. */
  inTransaction = false
  /** Asked of each command: true where what it does comes by another way. */
  leavesOut: ((command: CommandDecoder, db: number) => boolean) | undefined
  readonly #options: CommandApplierOptions
  readonly #keys = new KeyPositions()
  readonly #scratch = new CommandEncoder(1 << 16)
  readonly #renamed = new CommandEncoder(1 << 16)
  readonly #unwrapper = new RreplayUnwrapper()
  readonly #again = new CommandDecoder({ lines: 'none' })
  readonly #filter: CommandFilter
  readonly #seenDbs = new Set<number>()
  #mark = { frame: 0, targetDb: 0, sourceCommands: 0 }

  constructor(options: CommandApplierOptions) {
    this.#options = options
    this.#filter = new CommandFilter(options.selection)
  }

  /** The stream is read from here on. */
  startAt(replOffset: number, db: number): void {
    this.db = db
    this.inTransaction = false
    const batch = this.#options.writer.current
    batch.nextReplOffset = replOffset
    batch.sourceDb = db
  }

  /** One command; `nextReplOffset` is that of the byte behind it. */
  apply(command: CommandDecoder, nextReplOffset: number): void {
    if (!RreplayUnwrapper.wraps(command)) {
      this.#apply(command, nextReplOffset)
      return
    }
    // Of KeyDB. One whose content is not known stays what it is, and is refused as such.
    const inner = this.#unwrapper.unwrap(command)
    if (inner !== undefined && this.#unwrapper.dbnum >= 0) this.db = this.#unwrapper.dbnum
    this.#apply(inner ?? command, nextReplOffset)
  }

  #apply(command: CommandDecoder, nextReplOffset: number): void {
    const { table, writer } = this.#options
    const info = table.findOrAdd(command.bytes, command.args[0]!, command.args[1]!)
    switch (info.name) {
      case 'SELECT':
        this.db = command.argc > 1 ? integerArg(command, 1) : 0
        break
      case 'MULTI':
        this.inTransaction = true
        this.#mark = {
          frame: writer.current.frameCount,
          targetDb: writer.current.targetDb,
          sourceCommands: writer.current.sourceCommands,
        }
        return
      case 'EXEC':
        if (this.inTransaction) {
          writer.current.transactions?.push(this.#mark.frame, writer.current.frameCount)
        }
        this.inTransaction = false
        break
      default:
        writer.current.commandReplOffset = nextReplOffset
        this.#one(info, command)
    }
    if (!this.inTransaction) {
      writer.current.nextReplOffset = nextReplOffset
      writer.current.sourceDb = this.db
    }
  }

  /** Hands over what is whole; commands of an open transaction stay for the next batch. */
  seal(): void {
    const { writer } = this.#options
    if (!this.inTransaction) {
      writer.seal()
      return
    }
    const batch = writer.current
    const mark = this.#mark
    if (mark.frame === 0) return
    const later = batch.sourceCommands - mark.sourceCommands
    batch.sourceCommands = mark.sourceCommands
    writer.seal(mark.frame, mark.targetDb)
    writer.current.sourceCommands = later
    this.#mark = { frame: 0, targetDb: CHECKPOINT_DB, sourceCommands: 0 }
  }

  /** The input ends inside a transaction: it never happened. Returns how many commands it had. */
  dropTransaction(): number {
    if (!this.inTransaction) return 0
    const batch = this.#options.writer.current
    const dropped = batch.sourceCommands - this.#mark.sourceCommands
    batch.cut(this.#mark.frame, this.#mark.targetDb)
    batch.sourceCommands = this.#mark.sourceCommands
    this.inTransaction = false
    return dropped
  }

  #one(info: CommandInfo, command: CommandDecoder): void {
    const { ledger, selection, mapping, transform } = this.#options
    ledger.commands.read += 1
    this.#seenDbs.add(this.db)
    if (this.#touchesCheckpoint(command)) {
      ledger.leaveOut('checkpoint of a replay')
      return
    }
    if (this.leavesOut?.(command, this.db) === true) {
      ledger.leaveOut('written anew after a failover')
      return
    }
    if (!selection.passesAll && !isKeyless(info)) {
      const pass = this.#filter.passOf(info, command, this.db)
      if (pass === PASS.NONE) {
        ledger.commands.skipped += 1
        return
      }
      if (pass === PASS.SOME) {
        const reduced = this.#filter.reduced(info, command)
        if (reduced !== undefined) this.#mapped(info, reduced)
        else this.#failed(command, 'some of its keys pass the filter and some do not')
        return
      }
    }
    if (info.name === 'FLUSHALL' && (mapping.isActive || !selection.passesAll)) {
      this.#flushAll(command)
      return
    }
    if (info.name === 'FLUSHDB' && !selection.passesAll && !this.#takesWholeDbs) {
      this.#failed(command, 'it cannot be limited to the keys that pass the filter')
      return
    }
    if (transform !== undefined) {
      this.#transformed(info, command, transform)
      return
    }
    this.#mapped(info, command)
  }

  #transformed(info: CommandInfo, command: CommandDecoder, transform: Transform): void {
    const { ledger, mapping, table } = this.#options
    const renamed = mapping.renames ? this.#rename(info, command) : command
    const args: Buffer[] = []
    for (let i = 0; i < renamed.argc; i += 1) args.push(argBytes(renamed, i))
    const count = this.#keys.find(info, renamed)
    const key = count === 0 ? undefined : args[this.#keys.positions[0]!]
    const item = { kind: 'command', db: mapping.db(this.db), args, key, from: 'stream' } as const
    let items: readonly TransformCommand[]
    try {
      items = transformCommand(transform, item)
    } catch (error) {
      this.#failed(renamed, TRANSFORM_FAILED)
      throw error
    }
    if (items.length === 0) {
      ledger.commands.skipped += 1
      return
    }
    this.#options.writer.current.beginCommand()
    let fate: number = FATE.LEFT_OUT
    for (const item of items) {
      const out = this.#renamed
      out.reset()
      out.begin(item.args.length)
      for (const arg of item.args) out.bulk(arg)
      const again = decodeOne(this.#again, out)
      const next = table.findOrAdd(again.bytes, again.args[0]!, again.args[1]!)
      fate = Math.max(fate, this.#ruled(next, again, item.db))
    }
    this.#count(fate)
  }

  #mapped(info: CommandInfo, command: CommandDecoder): void {
    const { mapping, writer } = this.#options
    const renamed = mapping.isActive ? this.#rename(info, command) : command
    writer.current.beginCommand()
    this.#count(this.#ruled(info, renamed, mapping.db(this.db)))
  }

  /** The command with the names and db numbers of the target. */
  #rename(info: CommandInfo, command: CommandDecoder): CommandDecoder {
    const { mapping } = this.#options
    const count = mapping.renames ? this.#keys.find(info, command) : 0
    const dbAt = dbArguments(info, command)
    if (count === 0 && dbAt.length === 0) return command
    const out = this.#renamed
    out.reset()
    out.begin(command.argc)
    let next = 0
    for (let i = 0; i < command.argc; i += 1) {
      if (next < count && this.#keys.positions[next] === i) {
        out.bulk(mapping.key(command.bytes, command.args[2 * i]!, command.args[2 * i + 1]!))
        while (next < count && this.#keys.positions[next] === i) next += 1
      } else if (dbAt.includes(i)) {
        out.integer(mapping.db(integerArg(command, i)))
      } else {
        copyArg(out, command, i)
      }
    }
    return decodeOne(this.#again, out)
  }

  /** A command that is sent is counted with its batch. */
  #count(fate: number): void {
    if (fate === FATE.SENT) return
    const { ledger, rules, writer } = this.#options
    writer.current.discountCommand()
    if (fate === FATE.FAILED) ledger.commands.failed += 1
    else ledger.leaveOut(rules.reason)
  }

  #ruled(info: CommandInfo, command: CommandDecoder, targetDb: number): number {
    const { rules, ledger, databases, writer } = this.#options
    const batch = writer.current
    if (targetDb >= databases && !isKeyless(info)) {
      this.#name(command, `the target has no database ${targetDb} (only ${databases})`)
      return FATE.FAILED
    }
    this.#scratch.reset()
    rules.targetDb = targetDb
    const verdict = rules.apply(info, command, this.#scratch)
    if (verdict === VERDICT.LEFT_OUT) return FATE.LEFT_OUT
    if (verdict === VERDICT.REFUSED) {
      this.#name(command, rules.reason)
      return FATE.FAILED
    }
    if (verdict === VERDICT.NOT_HELD) {
      ledger.notHeld(rules.reason)
      this.#name(command, `the target cannot hold this: ${rules.reason}`)
      return FATE.FAILED
    }
    if (!isKeyless(info) || info.name === 'FLUSHDB') batch.select(targetDb)
    if (verdict === VERDICT.SAME) {
      batch.beginFrame()
      batch.out.raw(command.bytes, command.start, command.end)
    } else {
      const scratch = this.#scratch
      for (let at = 0; at < scratch.length;) {
        const end = frameEnd(scratch.bytes, at)
        batch.beginFrame()
        batch.out.raw(scratch.bytes, at, end)
        at = end
      }
    }
    if (info.name === 'EVAL' || info.name === 'EVALSHA') batch.hasScript = true
    if (info.name === 'SWAPDB') this.#afterSwap(command)
    return FATE.SENT
  }

  /** The checkpoint went to the other db; it is written anew where it belongs. */
  #afterSwap(command: CommandDecoder): void {
    const dbs = [integerArg(command, 1), integerArg(command, 2)]
    if (!dbs.includes(CHECKPOINT_DB) || dbs[0] === dbs[1]) return
    const batch = this.#options.writer.current
    batch.select(dbs[0] === CHECKPOINT_DB ? dbs[1]! : dbs[0]!)
    batch.beginFrame()
    batch.out.begin(2).ascii('DEL').bulk(this.#options.checkpointKey)
  }

  /** FLUSHALL of a source of which only some dbs are taken, or which are called otherwise. */
  #flushAll(command: CommandDecoder): void {
    const { selection, mapping, writer, databases } = this.#options
    if (!this.#takesWholeDbs) {
      this.#failed(command, 'it cannot be limited to the keys that pass the filter')
      return
    }
    const batch = writer.current
    batch.beginCommand()
    for (const db of this.#seenDbs) {
      const targetDb = mapping.db(db)
      if (!selection.db(db) || targetDb >= databases) continue
      batch.select(targetDb)
      batch.beginFrame()
      batch.out.begin(1).ascii('FLUSHDB')
    }
  }

  /** Only dbs are selected by, if anything. */
  get #takesWholeDbs(): boolean {
    return this.#options.transform === undefined && this.#filter.takesWholeDbs
  }

  #touchesCheckpoint(command: CommandDecoder): boolean {
    if (this.db !== CHECKPOINT_DB || command.argc < 2) return false
    const key = this.#options.checkpointKey
    const start = command.args[2]!
    const length = command.args[3]! - start
    const isFamily =
      this.#options.hasOwnFamily === true &&
      length > key.length &&
      command.bytes[start + key.length] === COLON
    if (length !== key.length && !isFamily) return false
    return key.equals(command.bytes.subarray(start, start + key.length))
  }

  #failed(command: CommandDecoder, reason: string): void {
    this.#options.ledger.commands.failed += 1
    this.#name(command, reason)
  }

  #name(command: CommandDecoder, reason: string): void {
    this.#options.ledger.name({
      db: this.db,
      key: command.argc > 1 ? printable(command.bytes, command.args[2], command.args[3], 200) : '',
      type: '',
      command: printable(command.bytes, command.args[0], command.args[1], 60).toUpperCase(),
      reason,
    })
  }
}

/** Commands that are about no key: the db at hand does not matter to them. */
function isKeyless(info: CommandInfo): boolean {
  return info.keys.kind === 'none' && info.name !== 'FLUSHDB'
}

/** Arguments that are database numbers. */
function dbArguments(info: CommandInfo, command: CommandDecoder): readonly number[] {
  if (info.name === 'MOVE') return [2]
  if (info.name === 'SWAPDB') return [1, 2]
  if (info.name !== 'COPY') return []
  for (let i = 3; i + 1 < command.argc; i += 1) if (isArg(command, i, 'DB')) return [i + 1]
  return []
}

function argBytes(command: CommandDecoder, i: number): Buffer {
  const start = command.args[2 * i]!
  return Buffer.from(command.bytes.subarray(start, command.args[2 * i + 1]))
}
