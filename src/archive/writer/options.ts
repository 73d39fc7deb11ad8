/** What the writer of an archive is asked for, and what it tells. */
import type { OnSlots } from './stream.js'

export type ArchiveWriterEvent =
  | { event: 'snapshot'; file: string; bytes: number; replOffset: number; rdbVersion: number }
  | { event: 'rotated'; file: string; replOffset: number }
  | { event: 'gap'; fromReplOffset: number; toReplOffset: number; replid: string; toReplid: string }
  | { event: 'pruned'; files: string[] }
  /** Commands that had an effect and that no server can load were left out: the state is not the
   * master's any more. `replOffset` is the last one's; told once a second for each name. */
  | { event: 'dropped'; command: string; count: number; replOffset: number }

export interface ArchiveWriterOptions {
  /** A new increment is begun above this size. 0: never, but for transactions too large to hold. */
  rotateBytes: number
  /** `always`: after every batch of stream bytes. `everysec`: when `sync` is called each second.
   * `no`: only when a part is complete. */
  fsync: 'always' | 'everysec' | 'no'
  /** fsync as soon as the master asks for an acknowledgement (WAITAOF waits for it). */
  syncOnGetAck?: boolean
  /** What to keep of older bases. Undefined: all. */
  keep?: { bases: number } | { ageMs: number } | undefined
  onEvent?: (event: ArchiveWriterEvent) => void
  /** Nothing more is kept; `close` tidies up. */
  onError: (error: Error) => void
  /** What the stream tells of slots of a cluster that come and go. */
  onSlots?: OnSlots | undefined
  /** `syncedReplOffset` has grown. */
  onSynced?: () => void
  /** A transaction above this size grows in a file of its own. Default 8 MB. */
  holdBytes?: number
  /** Unix ms; for tests. */
  now?: () => number
  /** In place of fdatasync; for tests of slow disks. */
  sync?: (fd: number) => Promise<void>
}
