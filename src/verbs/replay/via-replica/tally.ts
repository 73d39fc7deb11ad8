/**
 * What becomes of the keys of a dump that is written for a target to load: counted while it is written,
 * and booked as written only once the target has all of them.
 */
import { Buffer } from 'node:buffer'
import { printable } from '../../../bytes/printable.js'
import { KEY_FATE, type KeyFate, type KeyTally } from '../../../formats/key-format.js'
import { RECORD_TYPES } from '../../../kernels/abi.js'
import { typeTable } from '../../../rdb/type-table.js'
import { KIND, KIND_NAMES, typeNameOf, type KeyHeader } from '../../../rdb/visitor.js'
import type { KeyMapping } from '../../../target/key-mapping.js'
import type { KeyCounts, Ledger } from '../../../target/ledger.js'

const NO_PLACE = 'the target has no place for it'
const MAX_KEY_CHARS = 200
/** By type byte: those of rows are the same in both families. */
const NAMES = typeTable('redis').map((type) => type && KIND_NAMES[type.kind])

export class LoadTally implements KeyTally {
  readonly nowMs = Date.now()
  /** Keys sent, by db of the target. */
  readonly sent = new Map<number, number>()
  readonly #ledger: Ledger
  readonly #mapping: KeyMapping

  constructor(ledger: Ledger, mapping: KeyMapping) {
    this.#ledger = ledger
    this.#mapping = mapping
  }

  key(header: KeyHeader, fate: KeyFate): void {
    const counts = this.#ledger.of(header.dbnum, typeNameOf(header))
    const isExpired = header.hasExpiry && header.expireAtMs <= this.nowMs
    if (fate === KEY_FATE.TAKEN_BACK) this.#send(header.dbnum, -1, counts, isExpired ? -1 : 0)
    else counts.read += 1
    if (fate === KEY_FATE.SKIPPED) counts.skipped += 1
    else if (fate === KEY_FATE.WRITTEN) this.#send(header.dbnum, 1, counts, isExpired ? 1 : 0)
    else this.#lost(header, counts)
  }

  string(dbnum: number, expireAtMs: number, isWanted: boolean): void {
    const counts = this.#ledger.of(dbnum, 'string')
    counts.read += 1
    if (!isWanted) counts.skipped += 1
    else this.#send(dbnum, 1, counts, expireAtMs >= 0 && expireAtMs <= this.nowMs ? 1 : 0)
  }

  records(dbnum: number, found: Uint32Array): void {
    for (let type = 0; type < RECORD_TYPES; type += 1) {
      const keys = found[type]!
      if (keys === 0) continue
      const counts = this.#ledger.of(dbnum, NAMES[type]!)
      counts.read += keys
      this.#send(dbnum, keys, counts, found[type + RECORD_TYPES]!)
    }
  }

  /** The target has all that was sent. */
  confirm(): void {
    this.#ledger.confirmKeys()
  }

  #send(dbnum: number, keys: number, counts: KeyCounts, expired: number): void {
    const db = this.#mapping.db(dbnum)
    this.sent.set(db, (this.sent.get(db) ?? 0) + keys)
    // A replica loads them too, and throws them out as soon as it is a master.
    counts.expired += expired
  }

  #lost(header: KeyHeader, counts: KeyCounts): void {
    const { bytes, start, end } = header.key
    counts.failed += 1
    this.#ledger.name({
      db: header.dbnum,
      key: printable(Buffer.from(bytes.subarray(start, end)), 0, end - start, MAX_KEY_CHARS),
      type: typeNameOf(header),
      reason:
        header.kind === KIND.MODULE
          ? `the target lacks the module for ${typeNameOf(header)}`
          : NO_PLACE,
    })
  }
}
