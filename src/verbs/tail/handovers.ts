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
import { slotSet } from '../../topology/key-slot.js'
import type { ClusterWatch } from '../../topology/cluster-watch.js'
import type { SlotRanges } from '../../topology/cluster-nodes.js'
import type { SlotSign } from '../../topology/slot-signs.js'

export class Handovers {
  readonly #recorder: ClusterRecorder
  readonly #onError: (error: unknown) => void
  /** Arrived, and nobody was asked yet; one a shard, kind and step. */
  #waiting = new Map<string, Omit<HandoverRecord, 'needs'> & { from: Set<string> }>()
  #asking: Promise<void> | undefined
  watch: ClusterWatch | undefined

  constructor(recorder: ClusterRecorder, onError: (error: unknown) => void) {
    this.#recorder = recorder
    this.#onError = onError
  }

  note(shard: string, sign: SlotSign, replOffset: number, unixMs: number): void {
    const { kind, slots } = sign
    if (kind !== 'key' && kind !== 'slots') return
    const stepMs = Math.floor(unixMs / HANDOVER_STEP_MS) * HANDOVER_STEP_MS
    const key = `${shard} ${kind} ${stepMs}`
    const before = this.#waiting.get(key)
    if (before === undefined) {
      const named = kind === 'key' ? 'keys' : 'slots'
      const from = new Set(kind === 'slots' ? [sign.from] : [])
      this.#waiting.set(key, { unixMs: stepMs, kind: named, shard, replOffset, slots, from })
    } else {
      if (kind === 'slots') before.from.add(sign.from)
      before.replOffset = replOffset
      if (!covers(before.slots, slots)) before.slots = joined([...before.slots, ...slots])
    }
    this.#asking ??= this.#ask()
      .catch((error: unknown) => this.#onError(error))
      .finally(() => (this.#asking = undefined))
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
      for (const { from, ...each } of taken) {
        const needs = Object.fromEntries(
          this.#ownersBefore(each, from, watch).flatMap((id) => {
            const offset = offsets.get(id)
            return offset === undefined ? [] : [[id, offset]]
          }),
        )
        await this.#recorder.noteHandover({ ...each, needs })
      }
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
