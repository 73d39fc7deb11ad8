/** Where the streams of all shards go, in one order. */
import type { CommandDecoder } from '../../../resp/decoder.js'
import type { SlotRanges } from '../../../topology/cluster-nodes.js'
import type { ShardLane } from './shard-lane.js'

export interface MergeSink {
  /** One command of the unit at hand. */
  apply(lane: ShardLane, command: CommandDecoder, db: number): void
  /** The unit is whole; `end` is the first byte behind it. */
  endUnit(lane: ShardLane, bytes: number, end: number): void
  readonly isFull: boolean
  drain(): Promise<void> | undefined
  /** Deletes the keys that the command names, in order with what is applied. Where it is missing,
   * `deleteSlots` costs no more than the keys that it deletes. */
  deleteKeysOf?(command: CommandDecoder, db: number): void
  /** Deletes the keys of these slots, of one db or of all, behind all that was applied, and keeps how far
   * all are. */
  deleteSlots(slots: SlotRanges, db?: number): Promise<void>
  /** Deletes everything: of a source that is no cluster. */
  flushAll(lane: ShardLane, command: CommandDecoder, db: number): Promise<void>
  /** Keeps how far all are. */
  save(): Promise<void>
  note(what: string): void
}
