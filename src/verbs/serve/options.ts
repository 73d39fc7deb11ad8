/** What serving is asked for, and what it says when it listens and at the end. */
import type { Until } from '../../archive/moment.js'
import type { Readable } from 'node:stream'
import type { Progress } from '../../source/progress.js'
import type { ServerName } from '../../source/classify.js'
import type { ServerPlace } from '../../net/server-settings.js'
import type { ServerKind } from '../../servers/rdb-version.js'
import type { OnServeEvent } from '../../serving/events.js'
import type { FrozenSource } from '../../serving/origin/frozen-origin.js'
import type { ReplicaLimits } from '../../serving/limits.js'
import type { RdbFacts } from '../../serving/origin/rdb-scan.js'

export interface ServeOptions {
  /** An AOF or an archive: its state at this moment, for ever. */
  until?: Until
  /** What `-` reads. */
  stdin?: Readable | undefined
  /** The file with the identity that opens what is encrypted with age. */
  identity?: string | undefined
  listen: { host: string; port: number }
  /** Replicas give it with `masterauth`. */
  password?: string | undefined
  /** PEM files. With `caFile`, clients must have a certificate that it signed. */
  tls?: { certFile: string; keyFile: string; caFile?: string | undefined } | undefined
  /** Listen on any address without password or TLS. */
  unprotected?: boolean | undefined
  /** Bytes of stream kept for those who come back. Default 256 MiB. */
  backlogBytes?: number | undefined
  /** Keep backlog and last snapshot here; they survive the process. */
  backlogDir?: string | undefined
  /** Where snapshots go without `backlogDir`. Default: the system's temporary directory. */
  temporaryDir?: string | undefined
  limits?: Partial<ReplicaLimits> | undefined
  /** A replica without a sign of life for so long is dropped. Default 60 s. */
  replicaTimeoutMs?: number | undefined
  maxConnections?: number | undefined
  connectionsPerSecond?: number | undefined
  /** A relay behind Sentinels: where their connections are answered, as by a replica that is neither listed nor
   * promoted. An address of ours that they reach; port 0: any that is free. Default: loopback where
   * the source is there, else nowhere, with a warning that says what they will list. */
  announce?: ServerPlace | undefined
  metrics?: { host: string; port: number } | undefined
  /** Ask replicas with INFO which version they are, where that decides. Default true. */
  probeReplicas?: boolean | undefined
  /** What to take a replica for that cannot be asked. */
  assumedReplica?: ServerKind | undefined
  /** Attempts to reach upstream before the first success. Default 5. */
  retries?: number | undefined
  signal: AbortSignal
  onEvent?: OnServeEvent | undefined
  onWire?: ((direction: 'sent' | 'received', line: string) => void) | undefined
  /** Called while a file is read and checked. */
  onProgress?: ((progress: Progress<'check'>) => void) | undefined
  /** Called once it listens. */
  onReady?: ((handle: ServeHandle) => void) | undefined
}

export interface ServeHandle {
  /** Where replicas connect. */
  host: string
  port: number
  metricsPort: number | undefined
  replid: string
  /** Of a source of files. */
  frozen: FrozenFacts | undefined
  /** Another upstream from now on; replicas continue if it knows the history. Throws UsageError
   * where the source is a file. */
  follow(server: ServerName): void
}

export interface ServeResult {
  fullResyncs: number
  partialResyncs: number
  cutOff: number
}

/** Of a dump that was looked through while it was served. */
export type DumpFacts = Omit<RdbFacts, 'contentId' | 'neededVersion'>

export interface FrozenFacts {
  /** @internal */
  source: FrozenSource
  /** What its head says; undefined where the source holds commands only. */
  dump: Omit<DumpFacts, 'keys'> | undefined
  /** All that is known of the dump, where it was read before serving began. */
  rdb: RdbFacts | undefined
  commands: number
  streamBytes: number
  /** Behind the last whole command or transaction, cut off: bytes, and where. */
  cutBytes: number
  cutFile: string | undefined
  /** What is not as it should be with an archive, in words. */
  problems: readonly string[]
  /** Unix seconds of the last `#TS:` line that was followed. */
  lastSeconds: number | undefined
}
