import type { ServerSettings } from '../../../net/server-settings.js'
import { setImportMode } from '../../../target/server/target-probe.js'

/** So long a replica may take to answer. */
const REPLICA_MS = 2000

/** Who was a master keeps import-mode as a replica. One that is away has forgotten it when it comes; one that
 * hangs is not waited for. */
export async function endImportModeAt(replicas: readonly ServerSettings[]): Promise<void> {
  await Promise.allSettled(
    replicas.map(async (server) => {
      const timeoutMs = Math.min(server.timeoutMs, REPLICA_MS)
      await setImportMode({ ...server, timeoutMs }, false)
    }),
  )
}
