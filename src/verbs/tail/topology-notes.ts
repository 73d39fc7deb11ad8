/**
 * Who owns which slots is noted when each shard's archive holds what its master had written when it was
 * looked: behind a pause the streams come later than the answer, and a moment must not count the keys of
 * owners that they have not come to yet.
 */
import type { ClusterRecorder, ShardRecord, TopologyRecord } from '../../archive/cluster-record.js'
import { directoryOf } from '../../archive/cluster-record.js'
import { AbortedError } from '../../errors.js'
import { sleep } from '../../net/waiting.js'
import type { ClusterShard } from '../../topology/cluster-shards.js'
import type { ClusterWatch } from '../../topology/cluster-watch.js'

/** All masters have heard of a move that long after its end. */
const SETTLE_MS = 1000
const POLL_MS = 50
/** The last look of the run before may have been as long before its end. */
const LOOKED_BEFORE_MS = 2000
/** Not reached for so long, they are asked anew: a failover may have lost the end. */
const REACH_MS = 5000

type Seen = Pick<ClusterWatch, 'shards' | 'nodes' | 'seenMs' | 'lookedMs' | 'look' | 'replOffsets'>
type Offsets = ReadonlyMap<string, number>

export class TopologyNotes {
  readonly #recorder: ClusterRecorder
  readonly #reached: (shard: string) => number
  readonly #onError: (error: unknown) => void
  readonly #settleMs: number
  readonly #halt = new AbortController()
  readonly #startedMs = Date.now()
  #watch: Seen | undefined
  /** The last look before what is not noted yet. */
  #sinceMs: number | undefined
  /** Of a run that goes on where another one ended (`isResumed`), or from when a shard came: until all
   * is there that was missed. */
  #catchingUp: { fromMs: number; isResumed: boolean; offsets?: Offsets } | undefined
  /** When the run before received last, of all shards. */
  #receivedMs = -Infinity
  #noting: Promise<void> | undefined

  /**
   * @param reached the last byte that the archive of the shard has; -1: nothing yet
   * @param settleMs until all masters have heard of a move that is over
   */
  constructor(
    recorder: ClusterRecorder,
    reached: (shard: string) => number,
    onError: (error: unknown) => void,
    settleMs = SETTLE_MS,
  ) {
    this.#recorder = recorder
    this.#reached = reached
    this.#onError = onError
    this.#settleMs = settleMs
  }

  /** Throws FileError. */
  changed(watch: Seen): void {
    const isFirst = this.#watch === undefined
    this.#watch = watch
    if (isFirst && this.#recorder.record.topology.length === 0) {
      this.#recorder.noteTopology(shardsOf(watch), topologyOf(watch, watch.seenMs, watch.lookedMs))
      return
    }
    if (isFirst) this.#beginCatchUp(this.#startedMs, true)
    // Until its snapshot is here, nobody has the slots that it was given.
    else if (watch.shards.some((each) => this.#isNew(each)))
      this.#beginCatchUp(watch.lookedMs, false)
    this.#recorder.noteShards(shardsOf(watch))
    this.#sinceMs ??= isFirst ? this.#startedMs : watch.lookedMs
    this.#noting ??= this.#noteAll()
      .catch((error: unknown) => {
        if (!(error instanceof AbortedError)) this.#onError(error)
      })
      .finally(() => (this.#noting = undefined))
  }

  /**
   * The archive of a shard goes on behind what it received at that time, unix ms. What others sent just
   * before that may be of slots that had gone to this one, in what was still on its way, or to one that
   * had not been seen yet: that is not whole either. Throws FileError.
   */
  goesOn(receivedMs: number): void {
    if (this.#catchingUp?.isResumed !== true) return
    this.#receivedMs = Math.max(this.#receivedMs, receivedMs)
    const { fromMs } = this.#catchingUp
    this.#recorder.moveCatchUp(Math.min(fromMs, this.#receivedMs - LOOKED_BEFORE_MS))
  }

  #beginCatchUp(fromMs: number, isResumed: boolean): void {
    this.#catchingUp ??= { fromMs: this.#recorder.beginCatchUp(fromMs), isResumed }
  }

  #isNew({ id, slots }: ClusterShard): boolean {
    return slots.length > 0 && this.#reached(id) < 0
  }

  /** When the archives have ended: what they have come to is noted. */
  async end(): Promise<void> {
    this.#halt.abort()
    await this.#noting
    const { fromMs = 0, offsets } = this.#catchingUp ?? {}
    if (offsets !== undefined && this.#isReached(offsets)) this.#note(fromMs, offsets)
  }

  async #noteAll(): Promise<void> {
    const watch = this.#watch!
    const { signal } = this.#halt
    while (this.#sinceMs !== undefined) {
      const sinceMs = this.#sinceMs
      const catchingUp = this.#catchingUp
      const offsets = await watch.replOffsets(watch.shards.map(({ id }) => id))
      if (catchingUp !== undefined) {
        catchingUp.offsets = offsets
        await sleep(this.#settleMs, signal)
        await watch.look()
      }
      // What changes from here on is another one.
      this.#sinceMs = undefined
      const seen = { shards: watch.shards, nodes: watch.nodes }
      const isThere = await this.#waitFor(offsets)
      // A shard may have come meanwhile.
      if (isThere && this.#catchingUp === catchingUp) this.#note(sinceMs, offsets, seen)
      else this.#sinceMs = sinceMs
    }
  }

  async #waitFor(offsets: Offsets): Promise<boolean> {
    const deadlineMs = Date.now() + REACH_MS
    while (!this.#isReached(offsets)) {
      if (Date.now() > deadlineMs) return false
      await sleep(POLL_MS, this.#halt.signal)
    }
    return true
  }

  #isReached(offsets: Offsets): boolean {
    if (this.#catchingUp !== undefined && this.#watch!.shards.some((each) => this.#isNew(each))) {
      return false
    }
    return [...offsets].every(([shard, offset]) => this.#reached(shard) >= offset)
  }

  #note(
    sinceMs: number,
    offsets: Offsets,
    seen: Pick<Seen, 'shards' | 'nodes'> = this.#watch!,
  ): void {
    const nowMs = Date.now()
    const entry = topologyOf(seen, nowMs, sinceMs)
    if (this.#catchingUp === undefined) {
      this.#recorder.noteTopology(shardsOf(this.#watch!), entry)
      return
    }
    this.#catchingUp = undefined
    const { fromMs = sinceMs } = this.#recorder.record.catchUps?.at(-1) ?? {}
    this.#recorder.endCatchUp(shardsOf(this.#watch!), {
      ...entry,
      sinceMs: Math.min(sinceMs, fromMs),
      replOffsets: Object.fromEntries(offsets),
    })
  }
}

function shardsOf({ shards }: Pick<Seen, 'shards'>): readonly ShardRecord[] {
  return shards.map(({ id, members, master }) => {
    const { host, port } = master?.place ?? { host: '', port: 0 }
    return { id, directory: directoryOf(id), members, host, port }
  })
}

function topologyOf(
  { shards, nodes }: Pick<Seen, 'shards' | 'nodes'>,
  unixMs: number,
  sinceMs: number,
): TopologyRecord {
  const shardOf = (node: string): string =>
    shards.find(({ members }) => members.includes(node))?.id ?? node
  return {
    unixMs,
    sinceMs,
    owners: shards.map(({ id, slots }) => ({ shard: id, slots })),
    moves: nodes.moves.map(({ slot, from, to }) => ({
      slot,
      from: shardOf(from),
      to: shardOf(to),
    })),
  }
}
