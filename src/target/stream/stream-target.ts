/** Where the commands of a stream go: one server, or the masters of a cluster. */
import type { Checkpoint } from '../checkpoint.js'
import type { Reply } from '../server/reply-reader.js'
import type { TargetConnection } from '../server/target-connection.js'
import type { StreamBatch } from './stream-batch.js'

export interface StreamTarget {
  /** Where commands are appended; `seal` when it is full and at a boundary. */
  readonly current: StreamBatch
  /** Next stream byte that the target has confirmed not to have. */
  readonly appliedReplOffset: number
  readonly appliedDb: number
  /** The next byte that may still be asked for when the target is met again. */
  readonly keptReplOffset: number
  /** What the checkpoint says besides offset and db. */
  readonly checkpoint: Checkpoint | undefined
  readonly isFull: boolean
  /** All that was handed over is confirmed. */
  readonly isIdle: boolean
  /** It is away, and met again as soon as it can be. */
  readonly isRecovering: boolean
  open(): Promise<void>
  readCheckpoint(): Promise<Checkpoint | undefined>
  /** @param proof what must hold on the very connection that writes it: of a load, its marks */
  writeCheckpoint(
    checkpoint: Checkpoint,
    proof?: (connection: TargetConnection) => Promise<void>,
  ): Promise<void>
  deleteCheckpoint(): Promise<void>
  /** Hands the current batch over; what stands in it from frame `keepFrom` on goes to the next. */
  seal(keepFrom?: number, keepDb?: number): void
  /** A promise while no more should be sealed. Rejects with TargetRewound, among others. */
  drain(): Promise<void> | undefined
  /** Resolves once everything sealed is confirmed. */
  flush(): Promise<void>
  /** Resolves at the next confirmation. */
  progress(): Promise<void>
  /** Something done by calls on each server of the target, again where a connection breaks. */
  onEach(work: (connection: TargetConnection) => Promise<void>): Promise<void>
  /** One command outside of the stream, while nothing is in flight. */
  call(...args: readonly (string | Uint8Array)[]): Promise<Reply>
  /** After `TargetRewound`: forgets what was queued; the caller begins again at the checkpoint. */
  rewind(checkpoint: Checkpoint): void
  close(): void
}
