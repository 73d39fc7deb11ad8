/**
 * What the target says of the keys of a load, one by one: written, refused, there already, or to be
 * tried again. It comes out in the ledger; what is to be sent again goes back to the writer.
 */
import { printable } from '../../bytes/printable.js'
import { TargetError } from '../../errors.js'
import { backoffMs, sleep } from '../../net/waiting.js'
import type { OnConflict } from '../key-target.js'
import type { KeyCounts, Ledger } from '../ledger.js'
import { errorKind } from '../server/reply-reader.js'
import { refusal } from '../server/target-refusal.js'
import type { SnapshotBatch } from './snapshot-batch.js'
import { batchOfKeys, type CheckBatch } from './snapshot-repeat.js'

/** Keys refused for reasons that pass are tried so often, over about half a minute. */
const MAX_TRANSIENT_ATTEMPTS = 10
const KEY_EXISTS = 'the key exists in the target'

export interface LoadVerdictsOptions {
  ledger: Ledger
  onConflict: OnConflict
  targetWasEmpty: boolean
  isDry: boolean
  signal: AbortSignal | undefined
  /** These keys are to be sent, once more. */
  onAgain: (batch: SnapshotBatch) => void
  onFatal: (error: Error) => void
}

export class LoadVerdicts {
  /** Batches that wait to be sent again. */
  retrying = 0
  readonly #options: LoadVerdictsOptions

  constructor(options: LoadVerdictsOptions) {
    this.#options = options
  }

  /** Of a batch that was answered: into the ledger, or to be sent again. */
  judge(batch: SnapshotBatch): void {
    const again: number[] = []
    const worst = new Map<number, (typeof batch.troubles)[number]>()
    for (const trouble of batch.troubles) {
      const before = worst.get(trouble.keyIndex)
      if (before === undefined || (before.transient && !trouble.transient)) {
        worst.set(trouble.keyIndex, trouble)
      }
    }
    for (const [key, trouble] of worst) {
      const counts = batch.countsOf(key)
      if (counts === undefined) continue
      counts.written -= 1
      if (trouble.transient && batch.canRepeat) {
        if (batch.attempt >= MAX_TRANSIENT_ATTEMPTS) {
          this.#options.onFatal(refusal(trouble.text))
          counts.failed += 1
          this.#name(batch, key, trouble.command, trouble.text)
        } else {
          again.push(key)
        }
      } else if (errorKind(trouble.text) === 'BUSYKEY') {
        this.#conflict(batch, key, counts, trouble.command)
      } else {
        counts.failed += 1
        this.#name(batch, key, trouble.command, trouble.text)
      }
    }
    if (again.length > 0) this.#retry(batch, again)
  }

  #conflict(batch: SnapshotBatch, key: number, counts: KeyCounts, command: string): void {
    if (batch.isRepeat && this.#options.targetWasEmpty) {
      counts.written += 1
      return
    }
    if (this.#options.onConflict === 'skip') {
      counts.skipped += 1
      return
    }
    counts.failed += 1
    this.#options.ledger.conflicts += 1
    const unsure = batch.isRepeat ? ' (sent twice over a lost connection: it may be our own)' : ''
    this.#name(batch, key, command, `${KEY_EXISTS}${unsure}`)
  }

  #retry(batch: SnapshotBatch, keys: readonly number[]): void {
    // Made now: the chunks go back to the pool.
    const again = batchOfKeys(batch, keys, {
      clear: this.#options.targetWasEmpty || this.#options.onConflict === 'replace',
    })
    again.attempt = batch.attempt + 1
    this.retrying += 1
    sleep(backoffMs(Math.min(again.attempt, 6)), this.#options.signal).then(
      () => {
        this.retrying -= 1
        this.#options.onAgain(again)
      },
      (error: unknown) =>
        this.#options.onFatal(error instanceof Error ? error : new Error(String(error))),
    )
  }

  /** Keys that the target was asked about, and has. False: the run is over. */
  exist({ source, existing }: CheckBatch): boolean {
    for (const key of existing) {
      const counts = source.countsOf(key)
      if (counts === undefined) {
        // The one key of an open batch: its commands must not be sent, but they still come.
        this.#options.onFatal(
          new TargetError(
            'ERR_TARGET_CONFLICT',
            `the key ${source.bigKeyName} exists in the target, and is too large to be set aside`,
            { hint: "filter it out with `filter.noMatch`, or use `onConflict: 'replace'`" },
          ),
        )
        return false
      }
      if (this.#options.isDry) counts.written -= 1
      if (this.#options.onConflict === 'skip') counts.skipped += 1
      else {
        counts.failed += 1
        this.#options.ledger.conflicts += 1
        this.#name(source, key, '', KEY_EXISTS)
      }
    }
    return true
  }

  #name(batch: SnapshotBatch, key: number, command: string, reason: string): void {
    this.#options.ledger.name({
      db: batch.dbOf(key),
      key: batch.nameOfKey(key),
      type: batch.typeOf(key),
      ...(command === '' ? {} : { command }),
      reason: printable(Buffer.from(reason)),
    })
  }
}
