/**
 * What is served: a history, the log of its stream, and snapshots to begin with. A frozen origin
 * stands on a file, a relay on a live upstream; the master's side knows only this contract.
 */
import type { ServerPlace } from '../../net/server-settings.js'
import type { History } from './history.js'
import type { ServerKind } from '../../servers/rdb-version.js'
import type { ServedSnapshot } from './snapshot.js'
import type { StreamLog } from './stream-log.js'

/** `fresh`: the state of now, for a client that takes a snapshot and goes. `any`: one that the
 * log continues. `empty`: without keys (`rdb-filter-only ""`). */
export type SnapshotWish = 'any' | 'fresh' | 'empty'

/** `yes`: the log has what is wanted. `soon`: the replica is ahead of us and we are catching up.
 * `no`: a full resync. */
export type ResumeAnswer = 'yes' | 'soon' | 'no'

export interface OriginListener {
  /** Bytes were added to the log. */
  onAppended(): void
  /** The history has another name, or is another: replicas must ask again. */
  onHistoryChanged(reason: string): void
}

export interface UpstreamFacts {
  /** `host:port` or what was configured. */
  address: string
  host: string
  port: number
  /** As INFO's master_link_status. */
  isUp: boolean
  isSyncing: boolean
  /** Seconds since a byte came; -1 before the first. */
  lastIoSeconds: number
  downSinceMs: number | undefined
  /** Connections lost, snapshots taken and partial resyncs granted since the start. */
  lost: number
  fullResyncs: number
  partialResyncs: number
}

export interface Origin {
  readonly history: History
  readonly log: StreamLog
  /** False while there is nothing to serve yet (upstream not reached): -NOMASTERLINK. */
  readonly isReady: boolean
  /** Which server the data is of, where it is known. */
  readonly writer: ServerKind | undefined
  /** Last byte at which a command and a transaction ends: what INFO tells, so that who begins
   * there begins with a command. */
  readonly boundaryReplOffset: number
  /** True where the stream behind the snapshot holds commands: a snapshot alone is not the state. */
  readonly hasCommandsBehindSnapshot: boolean
  /** Of a relay. */
  readonly upstream: UpstreamFacts | undefined
  /** For INFO: bytes of the backlog as configured. */
  readonly backlogSizeBytes: number
  /** RDB versions may be relabelled: only where the stream holds nothing newer than the snapshot. */
  readonly mayRelabel: boolean

  /** Where a Sentinel says that the master is another now. Undefined: nobody is heard. */
  readonly onReplicaOf?: (place: ServerPlace) => void

  setListener(listener: OriginListener): void
  /** May a replica go on at this byte of this history? */
  resume(replid: string, nextReplOffset: number): ResumeAnswer
  /** A snapshot that the log continues (`retain` it at once). It may still be arriving. Rejects
   * with ProtocolError (cannot be done) or LinkError (not now), AbortedError. */
  snapshot(wish: SnapshotWish, signal: AbortSignal): Promise<ServedSnapshot>
  /** Called each second, and by a frozen origin used for its PINGs. */
  tick(nowMs: number): void
  close(): Promise<void>
}
