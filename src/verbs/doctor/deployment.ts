/** What is said of a cluster as a whole. */
import { countOf } from '../../bytes/figures-text.js'
import { mastersOf, slotsWithoutOwner } from '../../topology/cluster-nodes.js'
import {
  nameOfCluster,
  readCluster,
  settingsAt,
  type ClusterSeeds,
} from '../../topology/cluster.js'
import type { ServerSettings } from '../../net/server-settings.js'
import type { Check } from './options.js'

export interface ClusterLook {
  readonly checks: readonly Check[]
  /** Of its masters. */
  readonly masters: readonly ServerSettings[]
}

/** Rejects with ProtocolError (no cluster), LinkError, AuthError or AbortedError. */
export async function lookAtCluster(
  seeds: ClusterSeeds,
  signal: AbortSignal | undefined,
): Promise<ClusterLook> {
  const place = nameOfCluster(seeds)
  const told = await readCluster(seeds, signal)
  const masters = mastersOf(told)
  const holes = slotsWithoutOwner(masters)
  const down = masters.filter(({ isUp }) => !isUp)
  const checks: Check[] = []
  const add = (subject: string, state: Check['state'], text: string, hint?: string): void => {
    checks.push({ place, subject, state, text, hint })
  }
  if (holes > 0) {
    add('slots', 'failure', `${countOf(holes, 'slot')} have no owner`, 'CLUSTER NODES tells more')
  } else add('slots', 'ok', `all have an owner, ${countOf(masters.length, 'shard')}`)
  for (const { place: node } of down) {
    add('nodes', 'failure', `the master ${node.host}:${node.port} is down`)
  }
  if (told.openSlots.length > 0) {
    add(
      'migration',
      'warning',
      `${countOf(told.openSlots.length, 'slot')} on the move`,
      'a snapshot of all shards is taken again until they rest',
    )
  }
  return {
    checks,
    masters: masters.filter(({ isUp }) => isUp).map((node) => settingsAt(told.via, node.place)),
  }
}
