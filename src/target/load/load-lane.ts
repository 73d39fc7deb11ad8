/**
 * Rows of keys on the short way: from the input's memory into the writer's by a kernel, a thousand
 * and more a call. For loads in which nobody has to look at a key: no filter, no other name, no
 * transform. What the kernel leaves goes key by key, as everything does without this.
 */
import { RESTORE_TYPES } from '../../kernels/abi.js'
import type { Buffer } from 'node:buffer'
import type { ByteKernel } from '../../kernels/kernel.js'
import type { Stretch } from '../../rdb/lane/lane.js'
import type { RdbFamily } from '../../rdb/numbers.js'
import { typeTable } from '../../rdb/type-table.js'
import { KIND_NAMES } from '../../rdb/visitor.js'
import { RestoreLane, type RestoreLaneOptions } from '../../rewrite/restore-lane.js'
import { encodeCommand } from '../../resp/encoder.js'
import type { KeyTarget } from '../key-target.js'
import type { KeyCounts, Ledger } from '../ledger.js'

export interface LoadLaneOptions extends RestoreLaneOptions {
  writer: KeyTarget
  ledger: Ledger
  /** As the target counts. */
  mapDb: (dbnum: number) => number
  databases: number
  keysByDb: ReadonlyMap<number, number>
  keepExpired: boolean
  /** In db 0 of the target. */
  checkpointKey: Buffer | undefined
}

/** For less room a call is not worth it. */
const MIN_ROOM_BYTES = 4096
const NO_BYTES = new Uint8Array(0)
/** By type byte: those of rows are the same in both families. */
const NAMES = typeTable('redis').map((type) => type && KIND_NAMES[type.kind])

export class LoadLane {
  readonly #options: LoadLaneOptions
  readonly #rows: RestoreLane
  /** Of the db at hand: counters by type byte, made when they are wanted, and its SELECT. */
  #counts: (KeyCounts | undefined)[] = []
  #dbnum = -1
  #select: Uint8Array = NO_BYTES

  constructor(kernel: ByteKernel, options: LoadLaneOptions) {
    this.#options = options
    this.#rows = new RestoreLane(kernel, options)
  }

  /** As `RdbLane.anyRecords`, from a file of this family. */
  take(stretch: Stretch, dbnum: number, family: RdbFamily): number {
    const options = this.#options
    const rows = this.#rows
    const { writer } = options
    const db = options.mapDb(dbnum)
    if (db >= options.databases) return 0
    const free = options.replace || (options.keysByDb.get(db) ?? 0) === 0
    const expiredUpToMs = options.keepExpired ? -1 : Date.now()
    const ownKey = db === 0 ? options.checkpointKey : undefined
    if (!rows.begin(family, free, expiredUpToMs, ownKey)) return 0
    stretch.takenTo = stretch.start
    if (!rows.takes(stretch)) return 0
    if (dbnum !== this.#dbnum) this.#enter(dbnum, db)
    const { commands } = writer
    const { out } = commands
    let taken = 0
    for (;;) {
      const select = commands.selectedDb === db ? NO_BYTES : this.#select
      out.room(select.length + MIN_ROOM_BYTES)
      const keys = rows.write(stretch, out.bytes, out.pos + select.length)
      taken += rows.passed
      if (rows.passed > 0) this.#count()
      if (keys > 0) {
        out.bytes.set(select, out.pos)
        out.pos = rows.writtenTo
        commands.selectedDb = db
        commands.commands += select.length > 0 ? keys + 1 : keys
        writer.addRow!(db, keys, !free, this.#counts, rows.written)
      }
      if (!rows.wantsRoom) return taken
      // Not even an empty buffer has room for it.
      if (out.pos === 0 && keys === 0) return taken
      out.flush()
    }
  }

  /** Keys of the row into the ledger; whether they are written shows when they are answered. */
  #count(): void {
    const { written, expired } = this.#rows
    for (let type = 0; type < RESTORE_TYPES; type += 1) {
      const keys = written[type]! + expired[type]!
      if (keys === 0) continue
      const counts = (this.#counts[type] ??= this.#options.ledger.of(this.#dbnum, NAMES[type]!))
      counts.read += keys
      counts.expired += expired[type]!
    }
  }

  #enter(dbnum: number, db: number): void {
    this.#dbnum = dbnum
    this.#counts = []
    this.#select = encodeCommand('SELECT', String(db))
  }
}
