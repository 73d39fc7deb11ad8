/**
 * A dump into a cluster: each master gets the keys of its slots, over its own connections, from its own
 * reading of the source. Functions go to every one. What each says is added up in one ledger.
 *
 * The owners of the slots must be the same before and behind: a slot that moved meanwhile has refused
 * keys, and that is told. A source that has commands, too, goes another way (into-cluster/). It can be read
 * more than once.
 */
import { ProtocolError } from '../../errors.js'
import type { ServerSettings } from '../../net/server-settings.js'
import { mergeReports, type LedgerReport } from '../../target/ledger.js'
import { allOrNone } from '../../topology/all-or-none.js'
import {
  hasSameOwners,
  mastersOf,
  type ClusterNode,
  type ClusterNodes,
} from '../../topology/cluster-nodes.js'
import { readCluster, refuseHoles, settingsAt, type ClusterSeeds } from '../../topology/cluster.js'
import { slotSet, tagIn } from '../../topology/key-slot.js'
import { DEFAULT_CHECKPOINT_KEY } from '../../target/checkpoint.js'
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
  const { signal } = call
  const before = await readCluster(seeds, signal)
  const masters = mastersOf(before)
  refuseHoles(seeds, masters, 'a dump goes into a cluster that is whole')
  const result = await allShards(call, masters, before.via, runs)
  try {
    await checkOwners(before, seeds, signal)
  } catch (error) {
    runs.noteLedger(error, result.ledger)
    throw error
  }
  return result
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
  const startMs = performance.now()
  const ledgers: LedgerReport[] = []
  let results: readonly ReplayResult[]
  try {
    results = await allOrNone(masters, call.signal, async ({ place, slots }, signal, index) => {
      const owned = slotSet(slots)
      try {
        const result = await runs.run({
          ...call,
          target: settingsAt(via, place),
          signal,
          verify: false,
          checkpointKey: `${call.checkpointKey ?? DEFAULT_CHECKPOINT_KEY}:{${tagIn(owned)}}`,
          connections: Math.max(1, Math.ceil((call.connections ?? CONNECTIONS) / masters.length)),
          rateBytesPerSecond:
            call.rateBytesPerSecond === undefined
              ? undefined
              : call.rateBytesPerSecond / masters.length,
          shard: { slots: owned },
          onProgress: index === 0 ? call.onProgress : undefined,
        })
        ledgers.push(result.ledger)
        return result
      } catch (error) {
        const ledger = runs.ledgerOf(error)
        if (ledger !== undefined) ledgers.push(ledger)
        throw error
      }
    })
  } catch (error) {
    if (ledgers.length > 0) runs.noteLedger(error, mergeReports(ledgers))
    throw error
  }
  const salvaged = results.find((each) => each.salvaged !== undefined)?.salvaged
  return {
    ledger: mergeReports(ledgers),
    complete: results.every((each) => each.complete),
    replOffset: undefined,
    stopped: false,
    durationMs: performance.now() - startMs,
    verified: undefined,
    salvaged,
  }
}
