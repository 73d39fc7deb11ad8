/** Where the streams of all shards go, in one order. */
import type { CommandDecoder } from '../../../../resp/decoder.js'
import type { SlotRanges } from '../../../../topology/cluster-nodes.js'
import type { ShardLane } from '../shard-lane.js'

/** Whose command it is that deletes, and at which byte of its stream, by slot. */
export interface DeletedBy {
  readonly lane: ShardLane
  at(slot: number): number
  /** Left out: of all. */
  readonly db?: number | undefined
}

export interface MergeSink {
  /** One command of a unit; `end` is the first byte behind that. */
  apply(lane: ShardLane, command: CommandDecoder, db: number, end: number): void
  /** The unit is whole; `end` is the first byte behind it. */
  endUnit(lane: ShardLane, bytes: number, end: number): void
  readonly isFull: boolean
  drain(): Promise<void> | undefined
  /** Deletes the keys that the command names, in order with what is applied. Where it is missing,
   * `deleteSlots` costs no more than the keys that it deletes. */
  deleteKeysOf?(command: CommandDecoder, db: number): void
  /** Deletes the keys of these slots, behind all that was applied, and keeps how far all are. */
  deleteSlots(slots: SlotRanges, by?: DeletedBy): Promise<void>
  /** Deletes everything: of a source that is no cluster. */
  flushAll(lane: ShardLane, command: CommandDecoder, db: number): Promise<void>
  /** Keeps how far all are. */
  save(): Promise<void>
  note(what: string): void
}
