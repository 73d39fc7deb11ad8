/**
 * A cluster as the target of several streams. Each slot says for itself how far it is in each stream, in the
 * transaction of what it got of it; what a stream says again is left out by that. So what is deleted
 * counts as a command of the stream that it is deleted for.
 */
import { InternalError } from '../../../../errors.js'
import { ClusterStreamWriter } from '../../../../target/cluster/cluster-writer.js'
import type { SlotRanges } from '../../../../topology/cluster-nodes.js'
import type { CheckpointPhase } from '../../../../target/checkpoint.js'
import type { DeletedBy } from './merge-sink.js'
import type { ShardLane } from '../shard-lane.js'
import { slotsIn } from '../shard-point.js'
import { TargetSink } from './target-sink.js'

/** So many keys of a slot go at once, and so many slots. */
const MOST_KEYS = 5000
const MOST_SLOTS = 256

export class ClusterSink extends TargetSink {
  get #writer(): ClusterStreamWriter {
    const { streamWriter } = this.session
    if (streamWriter instanceof ClusterStreamWriter) return streamWriter
    throw new InternalError('the target is no cluster')
  }

  protected override stampOf(lane: ShardLane, end: number): number {
    if (!this.session.isDry) this.#writer.current.commandStream = this.#writer.streamOf(lane.id)
    return end
  }

  /** All shards go on where they are now. */
  override async write(phase: CheckpointPhase): Promise<void> {
    if (!this.session.isDry) this.#writer.loadedTo = this.lanes.map(({ at }) => at)
    await super.write(phase)
  }

  async deleteSlots(slots: SlotRanges, by?: DeletedBy): Promise<void> {
    // A shard that comes to be loaded is refused for a cluster.
    if (by === undefined) throw new InternalError('slots of a cluster are deleted for nobody')
    await this.flush()
    const { session } = this
    const isElsewhere = by.db !== undefined && session.mapping.db(by.db) !== 0
    if (session.isDry || isElsewhere) return
    const stream = this.#writer.streamOf(by.lane.id)
    // What stands in front of it in the stream ends there at the latest, and what follows ends behind it.
    const left = slotsIn(slots).filter(
      (slot) => !this.#writer.isApplied(slot, by.at(slot) + 1, stream),
    )
    while (left.length > 0) await this.#deleteSome(left.splice(0, MOST_SLOTS), by)
  }

  async #deleteSome(slots: readonly number[], by: DeletedBy): Promise<void> {
    let left = slots
    while (left.length > 0) {
      const found = await this.#writer.keysOf(left, MOST_KEYS)
      left = left.filter((slot) => found.get(slot)!.length === MOST_KEYS)
      for (const [slot, keys] of found) {
        const isAll = keys.length < MOST_KEYS
        this.#delete(keys, by.lane, by.at(slot) + (isAll ? 1 : 0))
        if (this.isFull) this.seal()
        await this.#writer.drain()
      }
      await this.flush()
    }
  }

  #delete(keys: readonly Buffer[], lane: ShardLane, at: number): void {
    const { selection } = this.session
    const gone = keys.filter((key) => selection.name(key, 0, key.length) && !this.isOurs(key))
    if (gone.length === 0) return
    const { current } = this.#writer
    current.commandReplOffset = this.stampOf(lane, at)
    current.beginFrame()
    current.out.begin(1 + gone.length).ascii('DEL')
    for (const key of gone) current.out.bulk(key)
  }
}
