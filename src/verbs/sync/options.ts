/** What a sync is asked for, what it tells on the way, and what it says at the end. */
import type { Writable } from 'node:stream'
import type { Compression } from '../../disk/compression.js'
import type { Progress, RetryEvent, WarningEvent } from '../../source/progress.js'
import type { ServerSettings } from '../../net/server-settings.js'

export interface SyncOptions {
  /** A path (`{host} {port} {time}` and strftime places are filled in; the directory must exist)
   * or a stream, which is not ended. */
  output: string | Writable
  compress?: Compression | undefined
  /** Attempts after a failure that can pass. Default 5. */
  retries?: number | undefined
  signal?: AbortSignal | undefined
  onProgress?: ((progress: SyncProgress) => void) | undefined
  onEvent?: ((event: RetryEvent | WarningEvent) => void) | undefined
  /** It is one of all shards of a cluster: no warning that it is one alone. */
  isShard?: boolean | undefined
  /** Each line of the handshake, secrets masked. */
  onWire?: ((direction: 'sent' | 'received', line: string) => void) | undefined
}

/** A sync under way. */
export interface SyncCall extends SyncOptions {
  server: ServerSettings
}

/** `waiting`: the master saves or waits. `storing`: on the way to the disk. The total is known where
 * the master told the length. */
export type SyncProgress = Progress<'connecting' | 'waiting' | 'transfer' | 'storing'>

export interface SyncClusterOptions extends Omit<SyncOptions, 'output' | 'onProgress' | 'isShard'> {
  /** A directory that does not exist yet, or is empty. */
  output: string
  /** Of all shards together. */
  onProgress?: ((progress: Progress<'transfer'>) => void) | undefined
}

export interface SyncMomentOptions extends Omit<SyncClusterOptions, 'onProgress'> {
  /** Holds the writes of all masters for some milliseconds while the moment is chosen, so that what
   * one client wrote to one shard after another is never cut in the wrong order. */
  strict?: boolean | undefined
  /** The redis-server or valkey-server in which the streams are applied. Default: that of PATH. */
  withServer?: string | undefined
  onProgress?: ((progress: Progress<'follow' | 'build'>) => void) | undefined
}

export interface SyncMomentResult {
  source: string
  directory: string
  /** Between these two all shards said where they are, by their own clocks, unix ms. */
  fromMs: number
  toMs: number
  /** For so long writes were held. Undefined: not `strict`. */
  heldMs: number | undefined
  /** In the order of their slots. */
  shards: readonly MomentShard[]
}

export interface MomentShard {
  /** Address of the master, and its id. */
  source: string
  node: string
  slots: readonly (readonly [first: number, last: number])[]
  file: string
  /** The moment in its stream. */
  replOffset: number
  keys: number
  fileBytes: number
}

export interface SyncClusterResult {
  source: string
  directory: string
  /** In the order of their slots. */
  shards: readonly ShardResult[]
}

export interface ShardResult extends SyncResult {
  /** The id of the master, 40 hex digits. */
  node: string
  /** First and last slot of each range that it owns. */
  slots: readonly (readonly [first: number, last: number])[]
  /** In the directory. */
  file: string
}

export interface SyncResult {
  /** Address without secrets. */
  source: string
  /** Path as filled in; undefined for a stream. */
  file: string | undefined
  /** Of the snapshot. */
  bytes: number
  /** Of the file or stream: less than `bytes` where compressed. */
  fileBytes: number
  /** Undefined for masters that know SYNC only (<= 2.6). */
  replid: string | undefined
  replOffset: number | undefined
  rdbVersion: number
  /** From the snapshot itself; undefined before RDB 7. */
  serverVersion: string | undefined
  transfer: 'disk' | 'eof'
  checksum: 'ok' | 'absent'
  /** From the begin to the first byte of the snapshot. */
  waitMs: number
  /** From there until the file was in its place. */
  transferMs: number
}
