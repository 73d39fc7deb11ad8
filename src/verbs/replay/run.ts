/**
 * `replay`: what a file, a capture or a live server holds, written into another server.
 *
 * From an RDB: its keys, over several connections. From an AOF or capture: the base, then the
 * commands in order, each batch one transaction with a checkpoint. From a live server: its
 * snapshot and its stream, by way of a spool on disk, until stopped or until both are the same.
 * Whatever happened to each key and command stands in the ledger.
 */
import type { Readable } from 'node:stream'
import type { RrepError } from '../../errors.js'
import type { ServerSettings } from '../../net/server-settings.js'
import type { KeyRewriteRule } from '../../target/key-mapping.js'
import type { LedgerReport } from '../../target/ledger.js'
import type { OnConflict } from '../../target/key-target.js'
import type { Transform } from '../../target/transform.js'
import { diff, type DiffResult } from '../diff/run.js'
import type { KeyFilterOptions } from '../../source/key-filter.js'
import { checkOptions } from './checks.js'
import { replayFiles } from './files.js'
import { replayLive } from './live.js'
import { ReplaySession } from './session.js'

export type { Failure, KeyCounts, CommandCounts, LedgerReport } from '../../target/ledger.js'
export type { KeyRewriteRule } from '../../target/key-mapping.js'
export { parseDbMapping, parseRewriteRule } from '../../target/key-mapping.js'
export type { OnConflict } from '../../target/key-target.js'
export {
  transformOf,
  type Transform,
  type TransformCommand,
  type TransformItem,
  type TransformKey,
  type TransformResult,
} from '../../target/transform.js'
export { DEFAULT_CHECKPOINT_KEY } from '../../target/checkpoint.js'

export type ReplaySource =
  | { kind: 'server'; settings: ServerSettings }
  | { kind: 'file'; path: string }
  | { kind: 'directory'; path: string }
  | { kind: 'stdin'; stream: Readable }

export interface ReplayOptions {
  source: ReplaySource
  target: ServerSettings
  /** Stop behind this moment (unix ms: by `#TS:` lines; of a live source, by when it was received, to 5 ms) or
   * behind this offset: of the replication stream for captures and servers, of the file's bytes for
   * other AOFs. */
  until?: { unixMs: number } | { offset: number } | undefined
  /** AOF and capture: only commands stamped at or after this time (unix ms); no base is loaded. */
  fromMs?: number | undefined
  /** A key that the target has already. `fail` (default): it is left and reported. */
  onConflict?: OnConflict | undefined
  /** RESTORE payloads or commands. Default auto. */
  restore?: 'auto' | 'always' | 'never' | undefined
  filter?: KeyFilterOptions | undefined
  mapDb?: ReadonlyMap<number, number> | undefined
  rewriteKey?: readonly KeyRewriteRule[] | undefined
  transform?: Transform | undefined
  /** Bytes a second to the target. */
  rateBytesPerSecond?: number | undefined
  /** Reads everything, writes nothing: what would be done stands in the ledger. */
  dryRun?: boolean | undefined
  /** FLUSHALL (and FUNCTION FLUSH) first. Who asks the user is the caller. */
  emptyTarget?: boolean | undefined
  /** A live source: end when the target has had everything for a second. */
  untilSynced?: boolean | undefined
  /** Default `rrep:checkpoint`. Two replays into one target need two. */
  checkpointKey?: string | undefined
  /** Where a live source is spooled. Default: a directory of its own in the temporary directory. */
  spoolDir?: string | undefined
  /** Connections for the snapshot. Default 3. */
  connections?: number | undefined
  /** Values above this size go by commands in place of one RESTORE. Default 16 MiB. */
  maxPayloadBytes?: number | undefined
  /** Compare source and target when done (see `diff`). For a file, a capture, or a live server whose
   * writers have stopped, written under its own names into its own dbs. */
  verify?: boolean | undefined
  /** `verify` of an AOF or a capture: the redis-server or valkey-server in which its commands are
   * applied for the comparison. Default: that of PATH. */
  withServer?: string | undefined
  /** Attempts after a failure that can pass, on each side. Default 5. */
  retries?: number | undefined
  signal?: AbortSignal | undefined
  onProgress?: ((progress: ReplayProgress) => void) | undefined
  onEvent?: ((event: ReplayEvent) => void) | undefined
  onWire?: ((direction: 'sent' | 'received', line: string) => void) | undefined
}

export interface ReplayProgress {
  /** `receive`: the snapshot comes in. `load`: it goes out. `stream`: commands. `finish`: expiries. */
  phase: 'receive' | 'load' | 'stream' | 'finish'
  /** Of the input in this phase. */
  bytes: number
  totalBytes: number | undefined
  keys: number
  commands: number
  /** A live source: received and not yet in the target. */
  lagBytes?: number
  lagMs?: number
}

export type ReplayEvent =
  | { event: 'target'; server: string; version: string; keys: number }
  | { event: 'expiry'; how: 'import-mode' | 'shift' }
  | { event: 'resumed'; replOffset: number }
  | { event: 'emptied' }
  | { event: 'snapshot'; replOffset: number; bytes: number }
  | { event: 'loaded'; keys: number }
  | { event: 'caught-up'; replOffset: number }
  | { event: 'synced'; replOffset: number }
  | { event: 'link-lost'; side: 'source' | 'target'; message: string; retryInMs?: number }
  | { event: 'warning'; message: string }

export interface ReplayResult {
  ledger: LedgerReport
  /** False: something was not written that nobody asked to skip. */
  complete: boolean
  /** Where the replay ended in the source, where that has offsets. */
  replOffset: number | undefined
  /** Set where the run was stopped by the signal (a live source: the normal end). */
  stopped: boolean
  durationMs: number
  /** What the comparison said, where one was asked for; `complete` does not count it in. */
  verified: DiffResult | undefined
}

/** An error of a replay under way: the ledger up to there goes with it. */
export interface ReplayFailure {
  error: RrepError
  ledger: LedgerReport
}

const ledgersOfFailures = new WeakMap<Error, LedgerReport>()

/** The ledger as it was when `replay` rejected with this error, if it had begun to write. */
export function ledgerOfFailure(error: unknown): LedgerReport | undefined {
  return error instanceof Error ? ledgersOfFailures.get(error) : undefined
}

/**
 * Rejects with UsageError, LinkError, AuthError, ProtocolError, InputError, FileError, TargetError
 * (the target refuses for good) or AbortedError. Single keys that could not be written are no
 * error: they stand in the ledger, and `complete` is false.
 */
export async function replay(options: ReplayOptions): Promise<ReplayResult> {
  checkOptions(options)
  const startMs = performance.now()
  const session = new ReplaySession(options)
  try {
    const outcome =
      options.source.kind === 'server' ? await replayLive(session) : await replayFiles(session)
    const durationMs = performance.now() - startMs
    session.close()
    return {
      ledger: session.ledger.report(),
      complete: session.ledger.isComplete,
      replOffset: outcome.replOffset,
      stopped: outcome.stopped,
      durationMs,
      verified: await verify(options, outcome.stopped),
    }
  } catch (error) {
    if (error instanceof Error) ledgersOfFailures.set(error, session.ledger.report())
    session.warnOfHeldExpiry()
    throw error
  } finally {
    session.close()
  }
}

async function verify(options: ReplayOptions, stopped: boolean): Promise<DiffResult | undefined> {
  const { source, target, filter, retries, signal } = options
  if (options.verify !== true || source.kind === 'stdin') return undefined
  if (stopped) {
    options.onEvent?.({ event: 'warning', message: 'stopped: source and target are not compared' })
    return undefined
  }
  return await diff({
    a:
      source.kind === 'server'
        ? { kind: 'server', server: source.settings, retries }
        : { kind: 'file', path: source.path, until: options.until },
    b: { kind: 'server', server: target, retries },
    filter,
    withServer: options.withServer,
    signal,
    onWarning: (message) => options.onEvent?.({ event: 'warning', message }),
  })
}
