/**
 * A dump into a cluster: each master gets the keys of its slots, over its own connections, from its own
 * reading of the source. Functions go to every one. What each says is added up in one ledger.
 *
 * The owners of the slots must be the same before and behind: a slot that moved meanwhile has refused
 * keys, and that is told. Commands behind a snapshot are not for here yet.
 */
import { ProtocolError } from '../../errors.js'
import type { ServerSettings } from '../../net/server-settings.js'
import { nameOfSource } from '../../source/classify.js'
import { mergeReports, type LedgerReport } from '../../target/ledger.js'
import {
  hasSameOwners,
  mastersOf,
  slotsWithoutOwner,
  type ClusterNode,
  type ClusterNodes,
} from '../../topology/cluster-nodes.js'
import {
  nameOfCluster,
  readCluster,
  settingsAt,
  type ClusterSeeds,
} from '../../topology/cluster.js'
import { slotSet, tagIn } from '../../topology/key-slot.js'
import { DEFAULT_CHECKPOINT_KEY } from '../../target/checkpoint.js'
import { noStream } from './cluster-target.js'
import { isReadOnce } from './checks.js'
import { keepInput } from './kept-input.js'
import type { ReplayCall, ReplayResult } from './options.js'

/** Of all nodes together. */
const CONNECTIONS = 6

export interface ShardRuns {
  /** One replay into one server. */
  run(call: ReplayCall): Promise<ReplayResult>
  ledgerOf(error: unknown): LedgerReport | undefined
  /** What stands on an error that ends all of them. */
  noteLedger(error: unknown, ledger: LedgerReport): void
}

/** Rejects as a replay does, and with ProtocolError where slots have no owner or moved. */
export async function replayToCluster(
  call: Omit<ReplayCall, 'target'>,
  seeds: ClusterSeeds,
  runs: ShardRuns,
): Promise<ReplayResult> {
  const { source, signal } = call
  if (source.kind === 'server') throw noStream(nameOfSource(source))
  const before = await readCluster(seeds, signal)
  const masters = mastersOf(before)
  const holes = slotsWithoutOwner(masters)
  if (holes > 0) {
    throw new ProtocolError('ERR_CLUSTER_DOWN', `${holes} slots of the cluster have no owner`, {
      retriable: true,
      hint: 'CLUSTER NODES of any node tells which; a dump goes into a cluster that is whole',
      details: { cluster: nameOfCluster(seeds) },
    })
  }
  const kept = isReadOnce(source) ? await keepInput(source, call.stdin, signal) : undefined
  try {
    const from = kept === undefined ? source : ({ kind: 'file', path: kept.path } as const)
    const result = await allShards({ ...call, source: from }, masters, before.via, runs)
    try {
      await checkOwners(before, seeds, signal)
    } catch (error) {
      runs.noteLedger(error, result.ledger)
      throw error
    }
    return result
  } finally {
    kept?.remove()
  }
}

/** Rejects where the cluster cannot be asked any more, too: then nobody knows. */
async function checkOwners(
  before: ClusterNodes,
  seeds: ClusterSeeds,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (hasSameOwners(before, await readCluster(seeds, signal))) return
  throw new ProtocolError(
    'ERR_CLUSTER_CHANGES',
    'slots moved while the cluster was loaded: keys of theirs may have been refused',
    { retriable: true, hint: "run again with `onConflict: 'replace'`" },
  )
}

async function allShards(
  call: Omit<ReplayCall, 'target'>,
  masters: readonly ClusterNode[],
  via: ServerSettings,
  runs: ShardRuns,
): Promise<ReplayResult> {
  // One that cannot go on ends the others.
  const halt = new AbortController()
  const onAbort = (): void => halt.abort(call.signal?.reason)
  call.signal?.addEventListener('abort', onAbort, { once: true })
  if (call.signal?.aborted === true) halt.abort(call.signal.reason)
  const startMs = performance.now()
  const ledgers: LedgerReport[] = []
  let failure: unknown
  const load = async (node: ClusterNode, index: number): Promise<ReplayResult | undefined> => {
    const slots = slotSet(node.slots)
    try {
      const result = await runs.run({
        ...call,
        target: settingsAt(via, node.place),
        signal: halt.signal,
        verify: false,
        checkpointKey: `${call.checkpointKey ?? DEFAULT_CHECKPOINT_KEY}:{${tagIn(slots)}}`,
        connections: Math.max(1, Math.ceil((call.connections ?? CONNECTIONS) / masters.length)),
        rateBytesPerSecond:
          call.rateBytesPerSecond === undefined
            ? undefined
            : call.rateBytesPerSecond / masters.length,
        shard: { slots },
        onProgress: index === 0 ? call.onProgress : undefined,
      })
      ledgers.push(result.ledger)
      return result
    } catch (error) {
      const ledger = runs.ledgerOf(error)
      if (ledger !== undefined) ledgers.push(ledger)
      failure ??= error
      halt.abort(error)
      return undefined
    }
  }
  const results = await Promise.all(masters.map(load))
  call.signal?.removeEventListener('abort', onAbort)
  const ledger = mergeReports(ledgers)
  if (failure !== undefined) {
    if (ledgers.length > 0) runs.noteLedger(failure, ledger)
    throw failure as Error
  }
  const salvaged = results.find((each) => each?.salvaged !== undefined)?.salvaged
  return {
    ledger,
    complete: results.every((each) => each?.complete === true),
    replOffset: undefined,
    stopped: false,
    durationMs: performance.now() - startMs,
    verified: undefined,
    salvaged,
  }
}
