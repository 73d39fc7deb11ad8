/**
 * Loads the keys of an RDB into a target: decides for each key whether and how it is written, lets
 * `KeyRewriter` write it, and keeps the ledger. Synchronous; between two chunks the caller awaits
 * `drain`.
 */
import { keySlot } from '../../topology/key-slot.js'
import { Buffer } from 'node:buffer'
import { printable } from '../../bytes/printable.js'
import type { RdbLane } from '../../rdb/lane/lane.js'
import { RdbParser } from '../../rdb/parser.js'
import {
  typeNameOf,
  KIND,
  type KeyHeader,
  type LostRegion,
  type RdbVisitor,
  type Slice,
  type ValueStats,
} from '../../rdb/visitor.js'
import { RestoreLane } from '../../rewrite/restore-lane.js'
import { METHOD, type Conflict, type KeyOutcome, type KeyPlan } from '../../rewrite/key-plan.js'
import { DEFAULT_MAX_PAYLOAD_BYTES, KeyRewriter } from '../../rewrite/key-rewriter.js'
import type { Loss } from '../../servers/loss.js'
import type { TargetCapabilities } from '../../servers/capabilities.js'
import { shiftedFieldMs } from '../expiry-time.js'
import { KeyCapture } from './key-capture.js'
import { lossText } from '../loss-text.js'
import type { KeyMapping } from '../key-mapping.js'
import { wantsKey, type KeyFilter } from '../../source/key-filter.js'
import type { KeyCounts, Ledger } from '../ledger.js'
import type { KeyTarget, OnConflict } from '../key-target.js'
import { LoadLane } from './load-lane.js'
import { TRANSFORM_FAILED, transformKey, type Transform, type TransformKey } from '../transform.js'

export interface SnapshotLoaderOptions {
  /** For error messages. */
  file?: string | undefined
  target: TargetCapabilities
  writer: KeyTarget
  restore: 'auto' | 'always' | 'never'
  onConflict: OnConflict
  /** Keys that the target holds, by db: where there are none, nothing can be in the way. */
  keysByDb: ReadonlyMap<number, number>
  databases: number
  hasModule: (moduleName: string) => boolean
  selection: KeyFilter
  mapping: KeyMapping
  transform: Transform | undefined
  ledger: Ledger
  /** Added to all expiries: a stream follows that may renew them. */
  shiftMs: number
  /** Keys past their time are written, since a stream follows that may renew them. */
  keepExpired: boolean
  /** The key that is rrep's own in db 0 of the target. */
  checkpointKey: Buffer | undefined
  /** The target is a node of a cluster: by slot, 1 where it is the owner. */
  slots?: Uint8Array | undefined
  maxPayloadBytes?: number | undefined
  /** Nothing vouches for the values: each is looked through to its last byte before it is given a
   * fresh checksum by RESTORE. */
  validate?: boolean | undefined
  /** Salvage: where the damaged keys begin. They fail, and what lies behind damage is loaded. */
  damagedFrom?: ReadonlySet<number> | undefined
  /** Stands in front of the keys and holds some back, each of which it reports as skipped. */
  gate?: ((inner: RdbVisitor, skipped: (header: KeyHeader) => void) => RdbVisitor) | undefined
}

export class SnapshotLoader {
  readonly parser: RdbParser
  /** Code of functions and scripts met since the last look: for the caller to load. */
  readonly functions: Buffer[] = []
  readonly scripts: Buffer[] = []
  /** From the AUX fields. */
  replDb = 0
  sourceVersion = ''
  /** Set while a field with a moved expiry was written. */
  movedFields = false
  readonly #options: SnapshotLoaderOptions
  readonly #conflict: Conflict
  readonly #capture: KeyCapture
  #counts: KeyCounts | undefined
  #typeName = ''
  #dropped = false
  #captured: readonly TransformKey[] | 'commands' | undefined
  #lossKey = -1
  #lastLoss: Loss | undefined

  constructor(options: SnapshotLoaderOptions) {
    this.#options = options
    this.#conflict = options.onConflict === 'replace' ? 'replace' : 'refuse'
    this.#capture = new KeyCapture(options)
    const { shiftMs } = options
    const rewriter = new KeyRewriter({
      target: options.target,
      writer: options.writer.commands,
      restore: options.restore,
      conflict: this.#conflict,
      hasModule: options.hasModule,
      code: {
        functionLibrary: (code) => this.functions.push(copyOf(code)),
        script: (code) => this.scripts.push(copyOf(code)),
      },
      aux: (field, value) => this.#aux(field, value),
      lost: (region) => this.#lost(region),
      fieldTime:
        shiftMs === 0
          ? undefined
          : (expireAtMs) => {
              this.movedFields = true
              return shiftedFieldMs(expireAtMs, shiftMs)
            },
      kernel: options.writer.kernel,
      ...(options.maxPayloadBytes === undefined
        ? {}
        : { maxPayloadBytes: options.maxPayloadBytes }),
      key: (header, plan) => this.#key(header, plan),
      keyDone: (header, stats, outcome) => this.#keyDone(header, stats, outcome),
      onLoss: (loss, header) => this.#loss(loss, header),
    })
    const records = this.#records()
    const gated = options.gate?.(rewriter, (header) => this.#heldBack(header)) ?? rewriter
    this.parser = new RdbParser(gated, {
      file: options.file,
      checksum: 'verify',
      validate: options.validate === true,
      salvage: options.damagedFrom !== undefined,
      strict: false,
      // What stands in front of the keys has to see all of each.
      lane: options.gate === undefined ? { ...rewriter.lane, anyRecords: records } : undefined,
    })
  }

  /** Bytes taken, as `RdbParser.push`. */
  push(chunk: Uint8Array): number {
    return this.parser.push(chunk)
  }

  /** Where nobody has to look at a key, whole records go by kernels. */
  #records(): RdbLane['anyRecords'] {
    const options = this.#options
    const { writer, selection, mapping, transform, gate } = options
    const { kernel } = writer
    if (kernel === undefined || !selection.passesAll || mapping.renames) return undefined
    // Each key is asked whose it is.
    if (options.slots !== undefined) return undefined
    if (transform !== undefined || gate !== undefined) return undefined
    // Each key is asked whether it is damaged.
    if (options.damagedFrom !== undefined) return undefined
    const load = {
      ...options,
      replace: this.#conflict === 'replace',
      maxPayloadBytes: options.maxPayloadBytes ?? DEFAULT_MAX_PAYLOAD_BYTES,
      mapDb: (dbnum: number) => mapping.db(dbnum),
    }
    if (!RestoreLane.serves(load)) return undefined
    const lane = new LoadLane(kernel, load)
    return (stretch, dbnum) => lane.take(stretch, dbnum, this.parser.family)
  }

  #key(header: KeyHeader, plan: KeyPlan): boolean {
    const { selection, mapping, ledger, transform, slots } = this.#options
    // Another node's: not even read, as far as this one is concerned.
    if (slots !== undefined && !this.#isOfSlots(header, slots)) {
      this.#dropped = true
      return false
    }
    this.#typeName = typeNameOf(header)
    const counts = ledger.of(header.dbnum, this.#typeName)
    this.#counts = counts
    this.#captured = undefined
    this.#dropped = true
    counts.read += 1
    if (!selection.passesAll && !wantsKey(selection, header, Date.now())) {
      counts.skipped += 1
      return false
    }
    if (this.#options.damagedFrom?.has(header.byteOffset) === true) {
      counts.failed += 1
      this.#name(header, 'damaged in the file')
      return false
    }
    plan.dbnum = mapping.db(header.dbnum)
    if (mapping.renames)
      plan.key = whole(mapping.key(header.key.bytes, header.key.start, header.key.end))
    if (transform !== undefined && !this.#transform(header, plan, transform)) {
      counts.skipped += 1
      return false
    }
    if (this.#isOwn(plan)) {
      counts.skipped += 1
      ledger.note('checkpoint of another replay left out')
      return false
    }
    if (plan.expireAtMs !== -1) {
      if (!this.#options.keepExpired && plan.expireAtMs <= Date.now()) {
        counts.expired += 1
        return false
      }
      plan.expireAtMs += this.#options.shiftMs
    }
    if (plan.dbnum >= this.#options.databases) {
      counts.failed += 1
      this.#name(
        header,
        `the target has no database ${plan.dbnum} (only ${this.#options.databases})`,
      )
      return false
    }
    this.#dropped = false
    // The times inside of a payload cannot be moved.
    if (this.#options.shiftMs !== 0 && header.type.fieldTimes && plan.method === METHOD.RESTORE) {
      plan.method = METHOD.COMMANDS
    }
    const mayMeet = (this.#options.keysByDb.get(plan.dbnum) ?? 0) > 0
    if (this.#conflict !== 'replace') plan.conflict = mayMeet ? 'refuse' : 'ignore'
    if (this.#isCaptured) {
      this.#capture.begin(plan)
      return true
    }
    // SKIP: it turns out in keyDone what could not be written.
    if (plan.method !== METHOD.SKIP) {
      // Also for RESTORE, which may turn into commands when the value proves too big.
      this.#options.writer.beginKey(plan.dbnum, plan.conflict === 'refuse', plan.key)
    }
    return true
  }

  /** By the name that it has in the target. */
  #isOfSlots({ key }: KeyHeader, slots: Uint8Array): boolean {
    const { mapping } = this.#options
    const slot = mapping.renames
      ? keySlot(mapping.key(key.bytes, key.start, key.end))
      : keySlot(key.bytes, key.start, key.end)
    return slots[slot] === 1
  }

  /** Of a key that was begun something may be written already: only what was known before will do. */
  #lost({ fromByte, error }: LostRegion): void {
    if (this.#options.damagedFrom?.has(fromByte) !== true) throw error
  }

  #aux(field: string, value: Slice): void {
    if (field === 'repl-stream-db') {
      this.replDb = Number(value.bytes.toString('latin1', value.start, value.end)) || 0
    } else if (field === 'redis-ver' || field === 'valkey-ver') {
      this.sourceVersion = value.bytes.toString('latin1', value.start, value.end)
    }
  }

  #heldBack(header: KeyHeader): void {
    const counts = this.#options.ledger.of(header.dbnum, typeNameOf(header))
    counts.read += 1
    counts.skipped += 1
  }

  get #isCaptured(): boolean {
    return this.#captured !== undefined
  }

  /** False: the transform gives nothing for this key. */
  #transform(header: KeyHeader, plan: KeyPlan, transform: Transform): boolean {
    const item: TransformKey = {
      kind: 'key',
      db: plan.dbnum,
      key: Buffer.from(plan.key.bytes.subarray(plan.key.start, plan.key.end)),
      type: this.#typeName,
      expireAtMs: header.hasExpiry ? header.expireAtMs : null,
    }
    const items = this.#resultOf(transform, item, header)
    if (items === 'commands' || items.length > 1) {
      this.#captured = items
      return true
    }
    const [only] = items
    if (only === undefined) return false
    plan.dbnum = only.db
    plan.key = whole(only.key)
    plan.expireAtMs = only.expireAtMs ?? -1
    return true
  }

  /** What it throws ends the run, and this key is one that was not written. */
  #resultOf(
    transform: Transform,
    item: TransformKey,
    header: KeyHeader,
  ): ReturnType<typeof transformKey> {
    try {
      return transformKey(transform, item)
    } catch (error) {
      this.#counts!.failed += 1
      this.#name(header, TRANSFORM_FAILED)
      throw error
    }
  }

  #keyDone(header: KeyHeader, _stats: ValueStats, outcome: KeyOutcome): void {
    const counts = this.#counts!
    if (this.#dropped) return
    if (outcome.method === METHOD.SKIP) {
      counts.failed += 1
      this.#name(
        header,
        header.kind === KIND.MODULE
          ? `the target lacks the module for ${this.#typeName}`
          : 'the target lacks this type of value',
      )
      return
    }
    if (this.#captured !== undefined) {
      this.#capture.end(this.#captured, this.#typeName, counts)
      return
    }
    this.#options.writer.endKey(this.#typeName, counts)
  }

  #loss(loss: Loss, header: KeyHeader | undefined): void {
    const text = lossText(loss)
    // A value that is lost as a whole is a failed key: counted there.
    if (header !== undefined && (loss === 'value' || loss === 'stream')) return
    this.#options.ledger.notHeld(text)
    if (header === undefined || loss === 'stream-counters') return
    if (header.index === this.#lossKey && loss === this.#lastLoss) return
    this.#lossKey = header.index
    this.#lastLoss = loss
    this.#name(header, `not held by the target: ${text}`)
  }

  #isOwn(plan: KeyPlan): boolean {
    const own = this.#options.checkpointKey
    const { bytes, start, end } = plan.key
    return (
      own !== undefined &&
      plan.dbnum === 0 &&
      end - start === own.length &&
      own.equals(bytes.subarray(start, end))
    )
  }

  #name(header: KeyHeader, reason: string): void {
    this.#options.ledger.name({
      db: header.dbnum,
      key: printable(header.key.bytes, header.key.start, header.key.end, 200),
      type: this.#typeName,
      reason,
    })
  }
}

function copyOf({ bytes, start, end }: Slice): Buffer {
  return Buffer.from(bytes.subarray(start, end))
}

function whole(bytes: Buffer): Slice {
  return { bytes, start: 0, end: bytes.length }
}
