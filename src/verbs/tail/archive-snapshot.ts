/**
 * A new base for a running archive, over a connection of its own: the stream goes on meanwhile,
 * and the increments are split exactly where the snapshot belongs.
 */
import type { IncrRecord } from '../../archive/sidecar.js'
import { ProtocolError } from '../../errors.js'
import type { ServerSettings } from '../../net/server-settings.js'
import { ReplicationLink } from '../../replication/link.js'
import type { ArchiveWriter } from '../../archive/writer/writer.js'
import type { BaseWriter, SnapshotFacts } from '../../archive/writer/base.js'

/** Rejects where the snapshot failed or does not fit; the archive is then as before. */
export async function takeSnapshot(
  archive: ArchiveWriter,
  server: ServerSettings,
  signal: AbortSignal,
  onWire: ((direction: 'sent' | 'received', line: string) => void) | undefined,
): Promise<void> {
  let base: BaseWriter | undefined
  let split: Promise<IncrRecord> | undefined
  let facts: SnapshotFacts | undefined
  const link = new ReplicationLink(
    { server, purpose: 'snapshot', start: 'full', retries: 0, signal, onWire },
    {
      onFullResync: ({ replid, replOffset }) => {
        if (replid === undefined) {
          throw new ProtocolError('ERR_SNAPSHOT_HISTORY', 'the snapshot has no offset')
        }
        base = archive.newBase({ replid, replOffset })
        split = archive.splitAt(replid, replOffset)
        // Looked at below; until then its failure must not count as unhandled.
        split.catch(() => link.stop())
      },
      onSnapshotBytes: (bytes, start, end) => base?.append(bytes, start, end),
      onSnapshotEnd: (info) => (facts = info),
      onContinue: () => undefined,
      resumePoint: () => 'full',
      onStream: () => undefined,
      drain: () => base?.file.drain(),
    },
  )
  archive.watchForSplit()
  try {
    await link.run()
    if (base === undefined || split === undefined || facts === undefined)
      throw new ProtocolError('ERR_PROTOCOL', 'no snapshot')
    const before = await split
    await archive.commitBase(base, before, facts)
    base = undefined
  } finally {
    archive.stopWatching()
    await base?.abandon()
  }
}
