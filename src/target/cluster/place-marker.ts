/** Tells the target now and then where the stream can be begun again: as far as its replicas are. */
import { sleep } from '../../net/waiting.js'
import { encodeCommand } from '../../resp/encoder.js'
import { keySlot } from '../../topology/key-slot.js'
import { checkpointCommand, type Checkpoint } from '../checkpoint.js'
import type { PipelinedBatch } from '../server/target-connection.js'
import type { NodeSet } from './node-set.js'
import { atPlace, type Place, type PlaceKeeper } from './place-keeper.js'
import type { SlotCheckpoints } from './slot-checkpoints.js'

export interface PlaceMarkerOptions {
  nodes: NodeSet
  slots: SlotCheckpoints
  places: PlaceKeeper
  checkpointKey: Buffer
  signal: AbortSignal
  /** Undefined: it is not to be written now. */
  checkpoint(): Checkpoint | undefined
}

/** The replicas are looked at so often. */
const LOOK_MS = 1000

/** The checkpoint of the whole, between the slots' transactions. */
export class MarkBatch implements PipelinedBatch {
  readonly expectedReplies = 1
  readonly isClosed = true
  readonly #confirm: () => void
  #isRefused = false

  constructor(confirm: () => void) {
    this.#confirm = confirm
  }

  onError(): void {
    this.#isRefused = true
  }

  answered(): void {
    if (!this.#isRefused) this.#confirm()
  }
}

export class PlaceMarker {
  readonly #options: PlaceMarkerOptions

  constructor(options: PlaceMarkerOptions) {
    this.#options = options
  }

  /** Until the signal. */
  async run(): Promise<void> {
    const { signal, nodes, places } = this.#options
    while (!signal.aborted) {
      await sleep(LOOK_MS, signal).catch(() => undefined)
      if (this.#options.checkpoint() === undefined) continue
      const { generation, map } = nodes
      const replication = await map.replication()
      if (nodes.generation !== generation) continue
      const place = places.look(replication, map.owners())
      if (place !== undefined) this.#mark(place)
    }
  }

  /** Where there is no room now, there is the next time. */
  #mark(place: Place): void {
    const { checkpointKey, nodes, slots, places } = this.#options
    const checkpoint = this.#options.checkpoint()
    const lane = nodes.laneOf(keySlot(checkpointKey))
    if (checkpoint === undefined || lane?.hasRoom !== true) return
    const told = slots.markOf(atPlace(checkpoint, place))
    const batch = new MarkBatch(() => places.marked(place))
    lane.send(batch, encodeCommand(...checkpointCommand(checkpointKey, told)))
  }
}
