/**
 * When slots arrive in a shard, whoever had them is asked how far he is: what he wrote to them lies
 * before that. Noted beside the archives, so that a moment can be cut through all of them.
 */
import {
  HANDOVER_STEP_MS,
  joined,
  type ClusterRecorder,
  type HandoverRecord,
} from '../../archive/cluster-record.js'
import { AbortedError } from '../../errors.js'
import { sleep } from '../../net/waiting.js'
import { slotSet } from '../../topology/key-slot.js'
import type { ClusterWatch } from '../../topology/cluster-watch.js'
import type { SlotRanges } from '../../topology/cluster-nodes.js'
import type { SlotSign } from '../../topology/slot-signs.js'

const POLL_MS = 100

type Arrived = Omit<HandoverRecord, 'needs'>

export class Handovers {
  readonly #recorder: ClusterRecorder
  readonly #reached: (shard: string) => number
  readonly #onError: (error: unknown) => void
  /** Arrived, and nobody was asked yet; one a shard, kind and step. */
  #waiting = new Map<string, { arrived: Arrived; from: Set<string> }>()
  /** Shards whose link was lost, and when they had sent last, unix ms. */
  readonly #missingSinceMs = new Map<string, number>()
  #asking: Promise<void> | undefined
  readonly #catchingUp = new Set<string>()
  readonly #halt = new AbortController()
  watch: ClusterWatch | undefined

  /** @param reached the last byte that the archive of the shard has */
  constructor(
    recorder: ClusterRecorder,
    reached: (shard: string) => number,
    onError: (error: unknown) => void,
  ) {
    this.#recorder = recorder
    this.#reached = reached
    this.#onError = onError
  }

  /** On disk before what the stream has behind it, where all of a slot came: whoever had it may have
   * deleted it, and a killed run asks nobody any more. */
  note(shard: string, sign: SlotSign, replOffset: number, unixMs: number): void {
    const { kind, slots } = sign
    if (kind !== 'key' && kind !== 'slots') return
    const stepMs = Math.floor(unixMs / HANDOVER_STEP_MS) * HANDOVER_STEP_MS
    const key = `${shard} ${kind} ${stepMs}`
    const waiting = this.#waiting.get(key) ?? {
      arrived: {
        unixMs: stepMs,
        kind: kind === 'key' ? 'keys' : 'slots',
        shard,
        replOffset,
        slots,
      },
      from: new Set<string>(),
    }
    const isNew = !this.#waiting.has(key) || !covers(waiting.arrived.slots, slots)
    this.#waiting.set(key, waiting)
    waiting.arrived.replOffset = replOffset
    if (kind === 'slots') waiting.from.add(sign.from)
    if (isNew) {
      waiting.arrived.slots = joined([...waiting.arrived.slots, ...slots])
      this.#save(waiting.arrived)
    }
    this.#asking ??= this.#ask()
      .catch((error: unknown) => this.#onError(error))
      .finally(() => (this.#asking = undefined))
  }

  /** What the shard's master sends from now on comes later. */
  linkLost(shard: string, receivedMs: number): void {
    if (!this.#missingSinceMs.has(shard)) this.#missingSinceMs.set(shard, receivedMs)
  }

  /** It sends again: when all has come that was missed, what comes is in time. */
  continued(shard: string): void {
    const sinceMs = this.#missingSinceMs.get(shard)
    if (sinceMs === undefined || this.#catchingUp.has(shard)) return
    this.#catchingUp.add(shard)
    this.#catchUp(shard)
      .catch((error: unknown) => {
        if (!(error instanceof AbortedError)) this.#onError(error)
      })
      .finally(() => this.#catchingUp.delete(shard))
  }

  end(): void {
    this.#halt.abort()
  }

  async #catchUp(shard: string): Promise<void> {
    let offset: number | undefined
    for (;;) {
      offset ??= (await this.watch?.replOffsets([shard]))?.get(shard)
      if (offset !== undefined && this.#reached(shard) >= offset) break
      await sleep(POLL_MS, this.#halt.signal)
    }
    this.#missingSinceMs.delete(shard)
  }

  #save(arrived: Arrived): void {
    const { shard, unixMs, kind } = arrived
    this.#recorder.noteHandover({ ...arrived, needs: {} })
    const sinceMs = this.#missingSinceMs.get(shard)
    if (sinceMs !== undefined) this.#recorder.noteLate(sinceMs, unixMs + HANDOVER_STEP_MS)
    try {
      if (kind === 'slots') this.#recorder.saveNow()
    } catch (error) {
      this.#onError(error)
    }
    if (kind === 'keys') void this.#recorder.save().catch((error: unknown) => this.#onError(error))
  }

  /** Resolves when all that arrived is on disk. */
  async settle(): Promise<void> {
    await this.#asking
  }

  async #ask(): Promise<void> {
    const { watch } = this
    if (watch === undefined) return
    while (this.#waiting.size > 0) {
      const taken = [...this.#waiting.values()]
      this.#waiting = new Map()
      const offsets = await watch.replOffsets(watch.shards.map(({ id }) => id))
      for (const { arrived: each, from } of taken) {
        const needs = Object.fromEntries(
          this.#ownersBefore(each, from, watch).flatMap((id) => {
            const offset = offsets.get(id)
            return offset === undefined ? [] : [[id, offset]]
          }),
        )
        this.#recorder.noteHandover({ ...each, needs })
      }
      await this.#recorder.save()
    }
  }

  /** All but the new one where nobody is known. */
  #ownersBefore(
    { shard, slots }: Pick<HandoverRecord, 'shard' | 'slots'>,
    from: ReadonlySet<string>,
    watch: ClusterWatch,
  ): readonly string[] {
    const arrived = slotSet(slots)
    const others = watch.shards.filter(({ id }) => id !== shard)
    const named = others.filter(({ members }) => members.some((id) => from.has(id)))
    if (named.length > 0 && named.length === from.size) return named.map(({ id }) => id)
    const owners = others.filter((each) =>
      each.slots.some(([first, last]) => arrived.subarray(first, last + 1).includes(1)),
    )
    return (owners.length > 0 ? owners : others).map(({ id }) => id)
  }
}

function covers(slots: SlotRanges, some: SlotRanges): boolean {
  return some.every(([first, last]) => slots.some(([from, to]) => from <= first && last <= to))
}
