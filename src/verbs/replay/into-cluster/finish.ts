/** What an interrupted replay left in a cluster, at all of its masters. */
import type { ServerSettings } from '../../../net/server-settings.js'
import { CommandTable } from '../../../resp/command-table.js'
import type { Checkpoint } from '../../../target/checkpoint.js'
import { ClusterStreamWriter } from '../../../target/cluster/cluster-writer.js'
import { Ledger } from '../../../target/ledger.js'
import type { TargetConnection } from '../../../target/server/target-connection.js'
import {
  probeTarget,
  setImportMode,
  type TargetFacts,
} from '../../../target/server/target-probe.js'
import { shiftTtls } from '../../../target/stream/ttl-shift.js'
import { mastersOf } from '../../../topology/cluster-nodes.js'
import { readWholeCluster, settingsAt } from '../../../topology/cluster.js'
import { awayMs } from './away.js'
import { endImportModeAt } from './import-mode.js'

export interface FinishInCluster {
  checkpointKey: Buffer
  facts: TargetFacts
  retries: number
  signal: AbortSignal | undefined
  /** Rejects where a replay is at work. */
  refuseAtWork: (connection: TargetConnection) => Promise<void>
  onProgress: (keys: number, totalKeys: number) => void
}

export interface FinishedInCluster {
  found: Checkpoint | undefined
  keys: number
  expired: number
  importModeEnded: boolean
}

export async function finishCluster(
  node: ServerSettings,
  { facts, refuseAtWork, onProgress, ...options }: FinishInCluster,
): Promise<FinishedInCluster> {
  const { signal, retries } = options
  const ignore = (): void => undefined
  const writer = new ClusterStreamWriter({
    ...options,
    seeds: [node],
    clientName: 'rrep-finish',
    importSource: false,
    ledger: new Ledger(),
    table: new CommandTable(),
    hasExpireTime: facts.capabilities.version >= 70000,
    onReconnect: ignore,
    onWarning: ignore,
  })
  try {
    await writer.open()
    await writer.onEach(refuseAtWork)
    const found = await writer.findCheckpoint()
    const sum = { keys: 0, expired: 0 }
    // Keys may move from where is still to be looked to where was looked already.
    for (let moved = 1; moved > 0;) {
      moved = 0
      await writer.onEach(async (connection) => {
        const shifted = await shiftTtls(connection, {
          direction: 'off',
          fields: true,
          target: facts.capabilities,
          signal,
          onProgress,
        })
        moved += shifted.keys
        sum.keys += shifted.keys
        sum.expired += shifted.expired
      })
    }
    const { via, ...now } = await readWholeCluster([node], awayMs(retries), signal)
    let importModeEnded = false
    for (const { place } of mastersOf(now)) {
      const server = settingsAt(via, place)
      if ((await probeTarget(server, signal)).importMode !== 'yes') continue
      await setImportMode(server, false)
      importModeEnded = true
    }
    if (importModeEnded) {
      const replicas = now.nodes.filter(({ isMaster }) => !isMaster)
      await endImportModeAt(replicas.map(({ place }) => settingsAt(via, place)))
    }
    await writer.deleteCheckpoint()
    return { found, ...sum, importModeEnded }
  } finally {
    writer.close()
  }
}
