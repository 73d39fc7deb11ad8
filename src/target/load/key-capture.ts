/**
 * Keys that a transform wants several times over, or command by command: the commands that rebuild
 * the key are kept (in memory: the price of this) and then written for each result, under its
 * name, in its db, with its expiry.
 */
import { Buffer } from 'node:buffer'
import { OutputBuffer } from '../../bytes/output-buffer.js'
import { printable } from '../../bytes/printable.js'
import { CommandDecoder, RESP } from '../../resp/decoder.js'
import { bulkOf, CommandWriter } from '../../rewrite/command-writer.js'
import type { KeyPlan } from '../../rewrite/key-plan.js'
import { InternalError } from '../../errors.js'
import type { Slice } from '../../rdb/visitor.js'
import type { KeyCounts, Ledger } from '../ledger.js'
import type { KeyTarget } from '../key-target.js'
import {
  TRANSFORM_FAILED,
  transformCommand,
  type Transform,
  type TransformKey,
} from '../transform.js'

export interface KeyCaptureOptions {
  writer: KeyTarget
  transform: Transform | undefined
  databases: number
  ledger: Ledger
  shiftMs: number
}

export class KeyCapture {
  readonly #options: KeyCaptureOptions
  #parts: Buffer[] = []
  #plan: { db: number; expireAtMs: number; key: Buffer; check: boolean } | undefined
  readonly #out = new OutputBuffer((bytes) => this.#parts.push(Buffer.from(bytes)))
  readonly #commands = new CommandWriter(this.#out)

  constructor(options: KeyCaptureOptions) {
    this.#options = options
  }

  begin(plan: KeyPlan): void {
    this.#plan = {
      db: plan.dbnum,
      expireAtMs: plan.expireAtMs,
      key: Buffer.from(plan.key.bytes.subarray(plan.key.start, plan.key.end)),
      check: plan.conflict === 'refuse',
    }
    // Each result brings its own; the db is selected with it.
    plan.expireAtMs = -1
    plan.writer = this.#commands
    this.#commands.selectedDb = plan.dbnum
  }

  end(results: readonly TransformKey[] | 'commands', type: string, counts: KeyCounts): void {
    this.#out.flush()
    const bytes = Buffer.concat(this.#parts)
    this.#parts = []
    const plan = this.#plan
    if (plan === undefined) throw new InternalError('a captured key without a beginning')
    if (results === 'commands') {
      try {
        this.#byCommands(bytes, plan, type, counts)
      } catch (error) {
        counts.failed += 1
        this.#nameFailed(plan.db, plan.key, type, TRANSFORM_FAILED)
        throw error
      }
      return
    }
    for (const [i, result] of results.entries()) {
      // One key read may become several written: the further ones are new keys.
      if (i > 0) counts.read += 1
      if (result.db >= this.#options.databases) {
        counts.failed += 1
        this.#nameOut(result.db, result.key, type)
        continue
      }
      this.#options.writer.beginKey(result.db, plan.check, wholeOf(result.key))
      this.#select(result.db)
      forEachCommand(bytes, (args) => {
        args[keyArgument(args)] = result.key
        this.#write(args)
      })
      if (result.expireAtMs !== null) {
        this.#expire(result.key, result.expireAtMs + this.#options.shiftMs)
      }
      this.#options.writer.endKey(type, counts)
    }
  }

  #byCommands(
    bytes: Buffer,
    plan: { db: number; expireAtMs: number; key: Buffer; check: boolean },
    type: string,
    counts: KeyCounts,
  ): void {
    const transform = this.#options.transform!
    let begun = false as boolean
    /** A part of the key has no place in the target. */
    let isOut = false as boolean
    const emit = (args: readonly Buffer[]): void => {
      const at = keyArgument(args)
      for (const item of transformCommand(transform, {
        kind: 'command',
        db: plan.db,
        args,
        key: args[at],
        from: 'snapshot',
      })) {
        if (item.db >= this.#options.databases) {
          if (!isOut) this.#nameOut(item.db, plan.key, type)
          isOut = true
          continue
        }
        if (!begun) this.#options.writer.beginKey(item.db, plan.check, wholeOf(plan.key))
        begun = true
        this.#select(item.db)
        this.#write([...item.args])
      }
    }
    forEachCommand(bytes, emit)
    if (plan.expireAtMs !== -1) {
      emit([Buffer.from('PEXPIREAT'), plan.key, Buffer.from(String(plan.expireAtMs))])
    }
    if (begun) this.#options.writer.endKey(type, counts)
    // What is written of a key, and what has no place, count as one each.
    if (begun && isOut) counts.read += 1
    if (isOut) counts.failed += 1
    else if (!begun) counts.skipped += 1
  }

  #nameOut(db: number, key: Buffer, type: string): void {
    const reason = `the transform names database ${db}, which the target has not`
    this.#nameFailed(db, key, type, reason)
  }

  #nameFailed(db: number, key: Buffer, type: string, reason: string): void {
    this.#options.ledger.name({ db, key: printable(key, 0, key.length, 200), type, reason })
  }

  #select(db: number): void {
    const { commands } = this.#options.writer
    if (commands.selectedDb === db) return
    this.#write([Buffer.from('SELECT'), Buffer.from(String(db))])
    commands.selectedDb = db
  }

  #expire(key: Buffer, expireAtMs: number): void {
    this.#write([Buffer.from('PEXPIREAT'), key, Buffer.from(String(expireAtMs))])
  }

  #write(args: readonly Buffer[]): void {
    const { commands } = this.#options.writer
    commands.open(bulkOf(args[0]!.toString('latin1')))
    for (const arg of args.slice(1)) commands.bulk(arg, 0, arg.length)
    commands.close()
  }
}

/** XGROUP CREATE key …; everything else that rebuilds a key has it first. */
function keyArgument(args: readonly Buffer[]): number {
  return args[0]?.toString('latin1').toUpperCase() === 'XGROUP' ? 2 : 1
}

function forEachCommand(bytes: Buffer, visit: (args: Buffer[]) => void): void {
  const decoder = new CommandDecoder({ lines: 'none' })
  decoder.feed(bytes)
  while (decoder.next() === RESP.COMMAND) {
    const args: Buffer[] = []
    for (let i = 0; i < decoder.argc; i += 1) {
      const from = decoder.args[2 * i]!
      args.push(Buffer.from(decoder.bytes.subarray(from, decoder.args[2 * i + 1])))
    }
    visit(args)
  }
}

function wholeOf(bytes: Buffer): Slice {
  return { bytes, start: 0, end: bytes.length }
}
