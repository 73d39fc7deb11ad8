/**
 * A dump into a cluster: it is read once, and each key goes to whose slot it is. Functions go to every master.
 *
 * The owners of the slots must be the same before and behind: a slot that moved meanwhile has refused
 * keys, and that is told. A source that has commands, too, goes another way (into-cluster/).
 */
import { ProtocolError } from '../../errors.js'
import type { LedgerReport } from '../../target/ledger.js'
import { hasSameOwners, mastersOf, type ClusterNodes } from '../../topology/cluster-nodes.js'
import { readCluster, refuseHoles, settingsAt, type ClusterSeeds } from '../../topology/cluster.js'
import { slotSet } from '../../topology/key-slot.js'
import type { ReplayCall, ReplayResult } from './options.js'

/** Of all nodes together. */
const CONNECTIONS = 6

export interface ShardRuns {
  /** One replay. */
  run(call: ReplayCall): Promise<ReplayResult>
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
  const nodes = masters.map(({ place, slots }) => {
    return { server: settingsAt(before.via, place), slots: slotSet(slots) }
  })
  const result = await runs.run({
    ...call,
    target: nodes[0]!.server,
    verify: false,
    connections: Math.max(1, Math.ceil((call.connections ?? CONNECTIONS) / masters.length)),
    shard: { slots: slotSet(masters.flatMap(({ slots }) => slots)), nodes },
  })
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
