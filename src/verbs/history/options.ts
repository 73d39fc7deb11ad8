/** What is asked of a key's past, and what comes out. */
import type { Readable } from 'node:stream'
import type { Until } from '../../archive/moment.js'
import type { Progress, WarningEvent } from '../../source/progress.js'
import type { TailedCommand } from '../tail/commands.js'

export interface HistoryOptions {
  /** Default 0. */
  db?: number | undefined
  /** Only commands of this time (unix ms) and later. */
  fromMs?: number | undefined
  until?: Until
  /** The value behind each of the newest commands; see `limit`. */
  values?: boolean | undefined
  /** So many values at most, the newest. Default 1000. */
  limit?: number | undefined
  /** The redis-server or valkey-server that commands are applied in. Default: that of PATH. */
  withServer?: string | undefined
  /** What `-` reads. */
  stdin?: Readable | undefined
  signal?: AbortSignal | undefined
  onEvent?: ((event: WarningEvent) => void) | undefined
  onProgress?: ((progress: Progress<'read' | 'build'>) => void) | undefined
}

export interface HistoryEntry extends TailedCommand {
  /** Offset of the MULTI that it is in. */
  readonly transaction: number | undefined
  /** With `values`: what the key was behind it; null: it was not there; undefined: not known. */
  readonly value?: HistoryValue | null | undefined
}

export interface HistoryValue {
  readonly type: string
  /** As `exportKeys` writes it in JSON lines. */
  readonly value: unknown
  /** Unix ms. */
  readonly expireAt: number | null
}

export interface UndoOptions extends Pick<
  HistoryOptions,
  'db' | 'withServer' | 'signal' | 'onEvent' | 'onProgress'
> {
  /** Of a command: what the key was before it is asked for. */
  offset: number
}

export interface UndoResult {
  db: number
  /** What makes the key what it was: RESTORE … REPLACE ABSTTL, or DEL where it was not there. */
  command: readonly Buffer[]
  /** The same behind a SELECT, as it is sent. */
  resp: Buffer
  /** Of the server that made the payload: it loads in servers of its family that are as new. */
  server: string
}
