/**
 * What a loader of keys writes to: `SnapshotWriter`, which makes batches of them for its
 * connections. The seam between a key's form and its way: a target whose keys live on several
 * nodes (`SlotTarget`) routes here, by the slot of the key that `beginKey` announces, to a writer for
 * each node; nothing above it knows of connections, nothing below it of what a key is.
 */
import type { Slice } from '../rdb/visitor.js'
import type { ByteKernel } from '../kernels/kernel.js'
import type { CommandWriter } from '../rewrite/command-writer.js'
import type { KeyCounts } from './ledger.js'

export type OnConflict = 'fail' | 'skip' | 'replace'

export interface KeyTarget {
  readonly commands: CommandWriter
  /** Before the commands of a key: `db` as the target counts. */
  beginKey(db: number, check: boolean, key: Slice): void
  endKey(type: string, counts: KeyCounts): void
  /** In whose memory the buffer behind `commands` lies: kernels may write keys there. */
  readonly kernel?: ByteKernel | undefined
  /** So many keys were written there, one command each, perhaps behind a SELECT. */
  addRow?(
    db: number,
    keys: number,
    check: boolean,
    counts: readonly (KeyCounts | undefined)[],
    keysByType: Uint32Array,
  ): void
  /** A promise while no more should be written, else undefined. */
  drain(): Promise<void> | undefined
  /** Everything written so far has been answered. */
  flush(): Promise<void>
}
