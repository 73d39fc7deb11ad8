/**
 * While a load is behind its source, keys do not expire in the target: by Valkey's import-mode where
 * the target has it, else by times that are moved far into the future (target/expiry-time.ts). At
 * the end all is put right. A run that breaks off leaves it as it is, for the next one to go on.
 */
import { RrepError } from '../../errors.js'
import type { Checkpoint } from '../../target/checkpoint.js'
import { TTL_SHIFT_MS } from '../../target/expiry-time.js'
import type { Ledger } from '../../target/ledger.js'
import type { ServerSettings } from '../../net/server-settings.js'
import { setImportMode, type TargetFacts } from '../../target/server/target-probe.js'
import { requireRights } from '../../target/server/target-rights.js'
import type { StreamTarget } from '../../target/stream/stream-target.js'
import { TargetRewound } from '../../target/stream/target-rewound.js'
import {
  shiftTtls,
  type TtlShiftOptions,
  type TtlShiftResult,
} from '../../target/stream/ttl-shift.js'
import { endImportModeAt } from './into-cluster/import-mode.js'
import type { ReplayEvent, ReplayCall, ReplayProgress } from './options.js'

/** What is needed of the run that holds it. */
export interface ExpiryHoldHost {
  readonly options: ReplayCall
  readonly isDry: boolean
  readonly isToBeEmptied: boolean
  readonly facts: TargetFacts
  readonly checkpointKey: Buffer
  readonly streamWriter: StreamTarget | undefined
  /** The servers that the target consists of. */
  readonly targets: readonly ServerSettings[]
  findNodes(): Promise<{
    readonly masters: readonly ServerSettings[]
    readonly replicas: readonly ServerSettings[]
  }>
  patiently<T>(work: () => Promise<T>): Promise<T>
  readonly ledger: Ledger
  event(event: ReplayEvent): void
  progress(progress: Omit<ReplayProgress, 'keys' | 'commands'>): void
}

export class ExpiryHold {
  /** Added to expiries while the target is behind; 0 with import-mode or where nothing follows. */
  shiftMs = 0
  isImportMode = false
  /** Times of fields were moved, too. */
  fieldsMoved = false
  #isReleased = false
  readonly #run: ExpiryHoldHost
  readonly #keepsHeld: boolean

  /** @param keepsHeld all expiries stay moved at the end; nothing expires */
  constructor(run: ExpiryHoldHost, keepsHeld: boolean) {
    this.#run = run
    this.#keepsHeld = keepsHeld
  }

  /** From now on keys do not expire in the target until `release`. */
  async hold(): Promise<void> {
    if (this.#run.isDry) return
    if (this.#run.facts.importMode !== undefined && !this.#keepsHeld) {
      try {
        await this.#setImportMode(true)
        this.isImportMode = true
        this.#run.event({ event: 'expiry', how: 'import-mode' })
        await this.#requireRights()
        return
      } catch (error) {
        if (this.isImportMode) throw error
        // CONFIG may be forbidden: the way that needs no rights serves as well.
        this.#run.event({
          event: 'warning',
          message: `import-mode cannot be used (${error instanceof Error ? error.message : ''})`,
        })
      }
    }
    this.shiftMs = TTL_SHIFT_MS
    this.#run.event({ event: 'expiry', how: 'shift' })
    await this.#requireRights()
  }

  /** Before anything is written: all that the end will need is tried now. */
  async #requireRights(): Promise<void> {
    await this.#run.patiently(async () => {
      for (const server of this.#run.targets) {
        await requireRights(server, {
          target: this.#run.facts.capabilities,
          checkpointKey: this.#run.checkpointKey,
          shift: this.shiftMs !== 0,
          flush: this.#run.isToBeEmptied,
          signal: this.#run.options.signal,
        })
      }
    })
  }

  async #setImportMode(on: boolean): Promise<void> {
    await this.#run.patiently(async () => {
      // They may be others by now.
      const { masters, replicas } = await this.#run.findNodes()
      for (const server of masters) await setImportMode(server, on)
      if (!on) await endImportModeAt(replicas)
    })
  }

  /** Keys of a cluster may go from where is still to be looked to where was looked already: what is found
   * last has to be nothing. */
  async #shift(options: TtlShiftOptions): Promise<TtlShiftResult> {
    const sum = { keys: 0, expired: 0 }
    for (let found = 1; found > 0;) {
      found = 0
      await this.#run.streamWriter!.onEach(async (connection) => {
        const { keys, expired } = await shiftTtls(connection, options)
        found += keys
        sum.keys += keys
        sum.expired += expired
      })
      if (this.#run.options.intoCluster === undefined) break
    }
    return sum
  }

  /** A run that fails leaves expiry as it is, so that the next one can go on: to be known. Where
   * nothing was written yet, nothing stays. */
  async settleFailure(error: unknown): Promise<void> {
    if (this.isImportMode && this.#run.streamWriter?.checkpoint === undefined) {
      // A target that is away has forgotten it with its restart, or keeps it for the next run.
      await this.release().catch(() => undefined)
      return
    }
    const isHeld =
      this.shiftMs !== 0 && !this.#isReleased && this.#run.streamWriter?.checkpoint !== undefined
    if (!this.isImportMode && !isHeld) return
    const state = this.isImportMode
      ? 'the target is still in import-mode'
      : 'expiries in the target are still moved by 1,115 years'
    const next = isDeadEnd(error)
      ? 'this replay cannot go on: '
      : 'the same call again goes on and ends that; '
    this.#run.event({
      event: 'warning',
      message: `${state}; ${next}\`finishReplay()\` puts it right without going on`,
    })
  }

  /** What an earlier run did goes on. */
  resume(checkpoint: Checkpoint): void {
    if (this.isImportMode) return
    this.shiftMs = checkpoint.shiftMs
    this.fieldsMoved = true
  }

  /** Puts all times right. What is past its time then expires, as it should. */
  async release(): Promise<void> {
    if (this.#run.isDry || this.#keepsHeld) return
    if (this.isImportMode) {
      await this.#setImportMode(false)
      this.isImportMode = false
      return
    }
    if (this.shiftMs === 0 || this.#run.streamWriter === undefined) return
    const result = await this.#shift({
      direction: 'off',
      fields: this.fieldsMoved || this.#run.ledger.commands.read > 0,
      target: this.#run.facts.capabilities,
      onProgress: (keys, totalKeys) =>
        this.#run.progress({ phase: 'finish', done: keys, total: totalKeys, unit: 'keys' }),
    })
    this.#isReleased = true
    if (result.expired > 0) this.#run.ledger.note('keys past their time at the end', result.expired)
  }

  /** Nothing was moved by this run yet: the target is left as it was found. */
  async leave(): Promise<void> {
    if (this.isImportMode) {
      await this.#setImportMode(false)
      this.isImportMode = false
    }
    this.#isReleased = true
  }

  /** After a clean stop times were put right: a run that goes on moves them again. */
  async moveAgain(): Promise<void> {
    if (this.shiftMs === 0 || this.#run.streamWriter === undefined || this.#run.isDry) return
    await this.#shift({
      direction: 'on',
      fields: true,
      target: this.#run.facts.capabilities,
      signal: this.#run.options.signal,
    })
    this.fieldsMoved = true
  }
}

/** What will be the same at the next call. */
const DEAD_ENDS: ReadonlySet<string> = new Set([
  'ERR_FULL_RESYNC_NEEDED',
  'ERR_TARGET_LOST_STATE',
  'ERR_LOAD_INTERRUPTED',
  'ERR_OTHER_CHECKPOINT',
  'ERR_SPOOL_GONE',
])

function isDeadEnd(error: unknown): boolean {
  return (
    error instanceof RrepError &&
    (DEAD_ENDS.has(error.code) ||
      (error.code === 'ERR_TARGET_REWOUND' && !(error instanceof TargetRewound)))
  )
}
