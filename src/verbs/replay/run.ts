/**
 * `replay`: what a file, an archive or a live server holds, written into another server.
 *
 * From an RDB: its keys, over several connections. From an AOF or archive: the base, then the
 * commands in order, each batch one transaction with a checkpoint. From a live server: its
 * snapshot and its stream, by way of a spool on disk, until stopped or until both are the same.
 * Whatever happened to each key and command stands in the ledger.
 */
import type { LedgerReport } from '../../target/ledger.js'
import type { DiffResult } from '../diff/options.js'
import { makeTemporaryDir, removeTemporaryDir } from '../../disk/temporary-dir.js'
import { fetchSource, isFarArchive } from '../../source/fetched-archive.js'
import { join } from 'node:path'
import { diff } from '../diff/run.js'
import { dumpOfClusterArchive } from '../export/cluster-dump.js'
import { replayFiles } from './files.js'
import { replayLive } from './live/live.js'
import type { ReplayCall, ReplayOptions, ReplayOutcome, ReplayResult } from './options.js'
import {
  readServer,
  readSource,
  type ServerName,
  type Source,
  type SourceName,
} from '../../source/classify.js'
import { UsageError } from '../../errors.js'
import type { ServerSettings } from '../../net/server-settings.js'
import {
  clusterSeeds,
  isClusterAddress,
  nameOfCluster,
  readWholeCluster,
  type ClusterSeeds,
} from '../../topology/cluster.js'
import { checkOptions, isReadOnce } from './checks.js'
import { replayToCluster } from './cluster.js'
import { ClusterTarget } from './cluster-target.js'
import { keepInput } from './kept-input.js'
import { awayMs } from './into-cluster/away.js'
import { DEFAULT_RETRIES } from '../../net/server-settings.js'
import { hasCommands } from './parts.js'
import { replaySalvaged } from './salvage.js'
import { ReplaySession } from './session.js'
import { replayShards } from './shards/shards.js'
import { adviceFor } from './via-replica/advice.js'
import { unfit } from './via-replica/fitness.js'
import { replayViaReplica } from './via-replica/run.js'

export type * from './options.js'
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

const ledgersOfFailures = new WeakMap<object, LedgerReport>()

/** The ledger as it was when `replay` rejected with this error, if it had begun to write. */
export function ledgerOfFailure(error: unknown): LedgerReport | undefined {
  return typeof error === 'object' && error !== null ? ledgersOfFailures.get(error) : undefined
}

/** The same for what is thrown in its place: the reason of an abort. One that is no object holds none. */
export function passLedger(from: unknown, to: unknown): void {
  const ledger = ledgerOfFailure(from)
  if (ledger !== undefined && typeof to === 'object' && to !== null) {
    ledgersOfFailures.set(to, ledger)
  }
}

/**
 * Rejects with UsageError, LinkError, AuthError, ProtocolError, InputError, FileError, TargetError
 * (the target refuses for good) or AbortedError. Single keys that could not be written are no
 * error: they stand in the ledger, and `complete` is false.
 */
export async function replay(
  source: SourceName,
  target: TargetName,
  options: ReplayOptions = {},
): Promise<ReplayResult> {
  const named = await readSource(source)
  if (named.kind === 'cluster') return await replayCluster(named.seeds, target, options)
  if (!isFarArchive(named)) return await replayNear(named, target, options)
  const directory = makeTemporaryDir('rrep-archive-')
  try {
    const path = join(directory, 'archive')
    // From a time on, all that came before is left out, not what is read.
    await fetchSource(named.path, options.until, path, options.signal)
    return await replayNear({ kind: 'directory', path }, target, options)
  } finally {
    removeTemporaryDir(directory)
  }
}

/** All shards of a live cluster. */
async function replayCluster(
  cluster: ClusterSeeds,
  target: TargetName,
  options: ReplayOptions,
): Promise<ReplayResult> {
  if (options.viaReplica === true) {
    throw new UsageError('`viaReplica` loads one dump: a live cluster has one for each shard')
  }
  const source = { kind: 'server', server: cluster[0]! } as const
  return await replayOpened(source, target, options, cluster)
}

/** What lies here, or is live. */
async function replayNear(
  source: Exclude<Source, { kind: 'cluster' }>,
  target: TargetName,
  options: ReplayOptions,
): Promise<ReplayResult> {
  const { onEvent } = options
  const dump = await dumpOfClusterArchive(source, {
    ...options,
    onEvent: ({ message }) => onEvent?.({ event: 'warning', message }),
  })
  if (dump === undefined) return await replayOpened(source, target, options)
  try {
    // It is that moment's already.
    return await replayOpened(dump.source, target, { ...options, until: undefined })
  } finally {
    dump.remove()
  }
}

async function replayOpened(
  opened: ReplayCall['source'],
  target: TargetName,
  options: ReplayOptions,
  cluster?: ClusterSeeds,
): Promise<ReplayResult> {
  const call = { ...options, source: opened, cluster }
  const seeds = seedsOf(target)
  if (seeds !== undefined && options.viaReplica === true) {
    throw unfit(nameOfCluster(seeds), 'it is a cluster')
  }
  if (seeds !== undefined) return await intoCluster(call, seeds)
  const server = readServer(target as ServerName)
  try {
    return await runCall({ ...call, target: server })
  } catch (error) {
    if (!(error instanceof ClusterTarget)) throw error
    if (options.viaReplica === true) throw unfit(error.server, 'it is a node of a cluster')
    if (options.emptyTarget === true) {
      throw new UsageError(
        `${error.server} is a node of a cluster: to empty it is to empty all masters`,
        { hint: 'mean it by naming the cluster: redis-cluster://HOST:PORT' },
      )
    }
    return await intoCluster(call, [server])
  }
}

/** A server, or all masters of a cluster: `redis-cluster://…`, or what `clusterSeeds` makes. */
export type TargetName = ServerName | ClusterSeeds

function seedsOf(target: TargetName): ClusterSeeds | undefined {
  if (typeof target === 'string') return isClusterAddress(target) ? clusterSeeds(target) : undefined
  return isSeeds(target) ? target : undefined
}

function isSeeds(target: ServerSettings | ClusterSeeds): target is ClusterSeeds {
  return Array.isArray(target)
}

async function intoCluster(
  call: Omit<ReplayCall, 'target'>,
  seeds: ClusterSeeds,
): Promise<ReplayResult> {
  if (call.transform !== undefined) {
    throw new UsageError(
      '`transform` cannot be used into a cluster yet: it may move keys to other slots',
    )
  }
  const { source, signal } = call
  checkOptions({ ...call, target: seeds[0]! })
  // It is read more than once.
  const kept = isReadOnce(source) ? await keepInput(source, call) : undefined
  try {
    const from = kept === undefined ? source : ({ kind: 'file', path: kept.path } as const)
    const known = { ...call, source: from, target: seeds[0]! }
    if (source.kind !== 'server' && !(await hasCommands(known))) {
      return await keysIntoCluster({ ...call, source: from }, seeds)
    }
    const waitMs = awayMs(call.retries ?? DEFAULT_RETRIES)
    const { via } = await readWholeCluster(seeds, waitMs, signal)
    return await runCall({ ...known, target: via, intoCluster: seeds })
  } finally {
    kept?.remove()
  }
}

/** Of a source that has keys alone. */
async function keysIntoCluster(
  call: Omit<ReplayCall, 'target'>,
  seeds: ClusterSeeds,
): Promise<ReplayResult> {
  const result = await replayToCluster(call, seeds, {
    run: runCall,
    noteLedger: (error, ledger) => {
      if (error instanceof Error) ledgersOfFailures.set(error, ledger)
    },
  })
  return { ...result, verified: await verify(call, { kind: 'cluster', seeds }, false) }
}

async function runCall(options: ReplayCall): Promise<ReplayResult> {
  checkOptions(options)
  const startMs = performance.now()
  const session = new ReplaySession(options)
  try {
    const outcome = await run(session)
    await session.lookAtTarget(options.target.timeoutMs)
    const durationMs = performance.now() - startMs
    session.close()
    const advice = await adviceFor(session, { durationMs, readBytes: session.readBytes })
    if (advice !== undefined) session.event({ event: 'advice', ...advice })
    return {
      ledger: session.ledger.report(),
      complete: session.ledger.isComplete && outcome.salvaged?.error === undefined,
      replOffset: outcome.replOffset,
      stopped: outcome.stopped,
      durationMs,
      verified: await verify(options, targetOf(options), outcome.stopped),
      salvaged: outcome.salvaged,
    }
  } catch (error) {
    await session.settle(error)
    if (error instanceof Error) ledgersOfFailures.set(error, session.ledger.report())
    await session.expiry.settleFailure(error)
    throw error
  } finally {
    session.close()
  }
}

async function run(session: ReplaySession): Promise<ReplayOutcome> {
  const { source, salvage, viaReplica, cluster } = session.options
  if (viaReplica === true) return await replayViaReplica(session)
  if (cluster !== undefined) return await replayShards(session, cluster)
  if (source.kind === 'server') return await replayLive(session)
  return await (salvage === true ? replaySalvaged(session) : replayFiles(session))
}

function targetOf({ target, intoCluster }: ReplayCall): Source {
  if (intoCluster !== undefined) return { kind: 'cluster', seeds: intoCluster }
  return { kind: 'server', server: target }
}

async function verify(
  options: Omit<ReplayCall, 'target'>,
  target: Source,
  stopped: boolean,
): Promise<DiffResult | undefined> {
  const { source, filter, retries, signal } = options
  if (options.verify !== true || source.kind === 'stdin') return undefined
  if (stopped) {
    options.onEvent?.({ event: 'warning', message: 'stopped: source and target are not compared' })
    return undefined
  }
  const { cluster } = options
  const whole: Source = cluster === undefined ? source : { kind: 'cluster', seeds: cluster }
  return await diff(whole, target, {
    // Of a live source it is past.
    ...(source.kind === 'server' ? {} : { until: { a: options.until } }),
    retries,
    filter,
    withServer: options.withServer,
    identity: options.identity,
    signal,
    onEvent: ({ message }) => options.onEvent?.({ event: 'warning', message }),
  })
}
