/**
 * The account of a replay: what was read, written, skipped, failed, by db and type, and what the
 * stream's commands came to. A run whose ledger has anything `failed` does not count as done.
 *
 * Keys are counted from a snapshot, commands from a stream. `skipped` was asked for (a filter,
 * `--on-conflict skip`, a transform that gives nothing). `expired` keys were past their time when
 * they would have been written. `left out` commands must not be replayed, by their nature.
 * `unknown` is what a run that broke off has read and not heard of. So always
 *
 *     read = written + skipped + failed + expired (keys) or left out (commands) + unknown
 */
import { lossText } from './loss-text.js'

/** Counters of keys; each key read ends in exactly one of the others. */
export interface KeyCounts {
  read: number
  written: number
  skipped: number
  failed: number
  expired: number
  /** Read, perhaps sent, and never answered: the run broke off. */
  unknown: number
}

export interface Failure {
  db: number
  /** Printable. */
  key: string
  type: string
  /** Name of the command that the target refused, or undefined where it was not even sent. */
  command?: string | undefined
  /** The target's error line, or why the key was not written. */
  reason: string
}

export interface CommandCounts {
  read: number
  /** Sent and answered without error. */
  written: number
  /** By filters and transforms. */
  skipped: number
  failed: number
  /** By reason: what is the master's own business, or would act twice. */
  leftOut: Record<string, number>
  /** As of keys. */
  unknown: number
}

/** All failures of one reason. */
export interface FailureReason {
  command?: string | undefined
  reason: string
  count: number
  /** One of them. */
  example: { db: number; key: string }
}

/** The target at the end of a run. */
export interface TargetEnd {
  keys: number
  /** Keys that it has thrown out since the run began, for want of memory. */
  evicted: number
  /** Its `maxmemory-policy`, where it tells. */
  policy: string | undefined
}

export interface LedgerReport {
  keys: KeyCounts
  /** Database number in the source → type → counts. */
  databases: Record<string, Record<string, KeyCounts>>
  functions: { read: number; written: number; skipped: number; failed: number }
  commands: CommandCounts
  /** Things lost inside what was written, such as the expiry of a field: what → how many. */
  notHeld: Record<string, number>
  /** What was done about it, to be known but no loss: what → how many. */
  notes: Record<string, number>
  /** The first failures; `failuresOmitted` more are only counted. */
  failures: Failure[]
  failuresOmitted: number
  /** All failures by reason, most first; a hundred reasons at most. */
  failureReasons: FailureReason[]
  /** Nothing was written: `written` is what would have been. */
  dryRun: boolean
  /** Where it could still be asked. */
  target?: TargetEnd
}

const COUNTERS_TEXT = lossText('stream-counters')
/** So many failures are kept with their names. */
const MAX_FAILURES = 1000
const MAX_REASONS = 100

export class Ledger {
  readonly functions = { read: 0, written: 0, skipped: 0, failed: 0 }
  readonly commands: CommandCounts = {
    ...{ read: 0, written: 0, skipped: 0, failed: 0 },
    leftOut: {},
    unknown: 0,
  }
  readonly failures: Failure[] = []
  failuresOmitted = 0
  /** Keys left because the target had them, and nobody asked to skip or replace them. */
  conflicts = 0
  dryRun = false
  target: TargetEnd | undefined
  readonly #reasons = new Map<string, FailureReason>()
  readonly #dbs = new Map<number, Map<string, KeyCounts>>()
  readonly #notHeld = new Map<string, number>()
  readonly #notes = new Map<string, number>()
  // The counters of the key before: most keys are like their neighbour.
  #lastDb = -1
  #lastType = ''
  #last: KeyCounts | undefined

  /** The counters of a db and type; the same object each time. */
  of(db: number, type: string): KeyCounts {
    if (this.#last !== undefined && db === this.#lastDb && type === this.#lastType) {
      return this.#last
    }
    let types = this.#dbs.get(db)
    if (types === undefined) this.#dbs.set(db, (types = new Map<string, KeyCounts>()))
    let counts = types.get(type)
    if (counts === undefined) types.set(type, (counts = emptyCounts()))
    this.#lastDb = db
    this.#lastType = type
    this.#last = counts
    return counts
  }

  /** Names a failure; counting it is the caller's, since a key may fail in several ways. */
  name(failure: Failure): void {
    this.#countReason(failure)
    if (this.failures.length < MAX_FAILURES) this.failures.push(failure)
    else this.failuresOmitted += 1
  }

  #countReason({ command, reason, db, key }: Failure): void {
    const id = `${command ?? ''} ${reason}`
    const found = this.#reasons.get(id)
    if (found !== undefined) found.count += 1
    else if (this.#reasons.size < MAX_REASONS) {
      this.#reasons.set(id, { command, reason, count: 1, example: { db, key } })
    }
  }

  /** The run breaks off: what was read and has no other end is unknown. */
  breakOff(): void {
    const { commands } = this
    const { read, written, skipped, failed, leftOut } = commands
    let known = written + skipped + failed
    for (const count of Object.values(leftOut)) known += count
    commands.unknown = Math.max(0, read - known)
    for (const types of this.#dbs.values()) for (const counts of types.values()) closeCounts(counts)
  }

  /** All that was read and has no other end is in the target. */
  confirmKeys(): void {
    for (const types of this.#dbs.values()) {
      for (const counts of types.values()) {
        const { read, skipped, failed, expired } = counts
        counts.written = read - skipped - failed - expired
      }
    }
  }

  /** Parts lost inside what was written. Counters beside the data are only noted. */
  notHeld(what: string, count = 1): void {
    if (what === COUNTERS_TEXT) {
      this.note(`not held by the target: ${what}`, count)
      return
    }
    this.#notHeld.set(what, (this.#notHeld.get(what) ?? 0) + count)
  }

  note(what: string, count = 1): void {
    this.#notes.set(what, (this.#notes.get(what) ?? 0) + count)
  }

  /** A load begins again from its first key: what was counted of it is counted anew. */
  forgetKeys(): void {
    this.#dbs.clear()
    this.#last = undefined
    this.#lastDb = -1
    this.conflicts = 0
    this.failures.length = 0
    this.failuresOmitted = 0
    this.#reasons.clear()
    Object.assign(this.functions, { read: 0, written: 0, skipped: 0, failed: 0 })
  }

  /** Commands read and not confirmed are read again. */
  forgetPending(): void {
    const { written, skipped, failed, leftOut } = this.commands
    const left = Object.values(leftOut).reduce((sum, count) => sum + count, 0)
    this.commands.read = written + skipped + failed + left
  }

  /**
   * What a part of the load came to. `isComing`: a failure of keys that are written again, and count as
   * written until then. `isAgain`: such keys, which were counted; only what failed now is news.
   */
  absorb(
    part: Ledger,
    { isAgain, isComing }: { isAgain: boolean; isComing: (failure: Failure) => boolean },
  ): void {
    for (const [db, types] of part.#dbs) {
      for (const [type, from] of types) {
        const to = this.of(db, type)
        if (isAgain) {
          to.written -= from.failed
          to.failed += from.failed
        } else addCounts(to, from)
      }
    }
    for (const failure of part.failures) {
      if (!isComing(failure)) {
        this.name(failure)
        continue
      }
      const counts = this.of(failure.db, failure.type)
      counts.failed -= 1
      counts.written += 1
    }
    this.failuresOmitted += part.failuresOmitted
    this.conflicts += part.conflicts
    if (this.functions.read === 0) Object.assign(this.functions, part.functions)
    if (isAgain) return
    for (const [what, count] of part.#notHeld) this.notHeld(what, count)
    for (const [what, count] of part.#notes) this.note(what, count)
  }

  leaveOut(reason: string): void {
    this.commands.leftOut[reason] = (this.commands.leftOut[reason] ?? 0) + 1
  }

  get totals(): KeyCounts {
    const sum = emptyCounts()
    for (const types of this.#dbs.values()) {
      for (const counts of types.values()) {
        sum.read += counts.read
        sum.written += counts.written
        sum.skipped += counts.skipped
        sum.failed += counts.failed
        sum.expired += counts.expired
        sum.unknown += counts.unknown
      }
    }
    return sum
  }

  /** False where something was not written that nobody asked to skip. */
  get isComplete(): boolean {
    return (
      this.totals.failed === 0 &&
      (this.target?.evicted ?? 0) === 0 &&
      this.functions.failed === 0 &&
      this.commands.failed === 0 &&
      this.#notHeld.size === 0
    )
  }

  report(): LedgerReport {
    const databases: Record<string, Record<string, KeyCounts>> = {}
    for (const [db, types] of [...this.#dbs].sort(([a], [b]) => a - b)) {
      databases[db] = Object.fromEntries([...types].sort(([a], [b]) => (a < b ? -1 : 1)))
    }
    return {
      keys: this.totals,
      databases,
      functions: { ...this.functions },
      commands: { ...this.commands, leftOut: { ...this.commands.leftOut } },
      notHeld: Object.fromEntries(this.#notHeld),
      notes: Object.fromEntries(this.#notes),
      failures: [...this.failures],
      failuresOmitted: this.failuresOmitted,
      failureReasons: [...this.#reasons.values()].sort((a, b) => b.count - a.count),
      dryRun: this.dryRun,
      ...(this.target === undefined ? {} : { target: { ...this.target } }),
    }
  }
}

/** Of loads into the parts of one target that had the same source: keys are added up, functions went to
 * each. */
export function mergeReports(reports: readonly LedgerReport[]): LedgerReport {
  const merged = new Ledger().report()
  for (const [index, report] of reports.entries()) {
    addCounts(merged.keys, report.keys)
    for (const [db, types] of Object.entries(report.databases)) {
      for (const [type, counts] of Object.entries(types)) {
        if (counts.read === 0) continue
        addCounts(((merged.databases[db] ??= {})[type] ??= emptyCounts()), counts)
      }
    }
    if (index === 0) Object.assign(merged.functions, report.functions)
    else if (report.functions.failed > merged.functions.failed) {
      Object.assign(merged.functions, report.functions)
    }
    addAll(merged.notHeld, report.notHeld)
    addAll(merged.notes, report.notes)
    merged.failures.push(...report.failures.slice(0, MAX_FAILURES - merged.failures.length))
    const kept = merged.failures.length
    merged.failuresOmitted += report.failuresOmitted
    if (kept >= MAX_FAILURES) merged.failuresOmitted = Math.max(0, merged.keys.failed - kept)
    for (const reason of report.failureReasons) {
      const found = merged.failureReasons.find(
        (each) => each.reason === reason.reason && each.command === reason.command,
      )
      if (found === undefined) merged.failureReasons.push({ ...reason })
      else found.count += reason.count
    }
    merged.dryRun ||= report.dryRun
    if (report.target !== undefined) {
      const { keys, evicted, policy } = report.target
      const before = merged.target ?? { keys: 0, evicted: 0, policy }
      merged.target = {
        keys: before.keys + keys,
        evicted: before.evicted + evicted,
        policy: before.policy ?? policy,
      }
    }
  }
  merged.failureReasons.sort((a, b) => b.count - a.count)
  return merged
}

function addCounts(to: KeyCounts, from: KeyCounts): void {
  for (const name of Object.keys(from) as (keyof KeyCounts)[]) to[name] += from[name]
}

function addAll(to: Record<string, number>, from: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(from)) to[name] = (to[name] ?? 0) + count
}

function emptyCounts(): KeyCounts {
  return { read: 0, written: 0, skipped: 0, failed: 0, expired: 0, unknown: 0 }
}

function closeCounts(counts: KeyCounts): void {
  const { read, written, skipped, failed, expired } = counts
  counts.unknown = Math.max(0, read - written - skipped - failed - expired)
}
