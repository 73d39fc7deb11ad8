/** Keys by hash slot, as a cluster would have them, and the hash tags that most of them share. */
import { Buffer } from 'node:buffer'
import { SLOT_COUNT } from '../../topology/cluster-nodes.js'
import { hashTag, keySlot } from '../../topology/key-slot.js'
import type { Slice } from '../../rdb/visitor.js'

/** So many tags are counted; beyond that those with least memory are forgotten by halves. */
const MAX_TAGS = 8192
const MAX_TAG_BYTES = 256
const SHOWN = 10

export interface SlotRow {
  readonly slot: number
  readonly keys: number
  readonly memory: number
}

export interface TagRow {
  readonly tag: Buffer
  readonly keys: number
  readonly memory: number
}

export interface SlotReport {
  /** With keys, of all 16,384. */
  readonly used: number
  /** By slot. */
  readonly keys: Float64Array
  readonly memory: Float64Array
  /** Those with most memory. */
  readonly largest: readonly SlotRow[]
  readonly taggedKeys: number
  readonly taggedMemory: number
  readonly tags: readonly TagRow[]
  /** False: there were too many to count each, so the figures of `tags` are at least. */
  readonly tagsExact: boolean
}

export class SlotSpread {
  readonly #keys = new Float64Array(SLOT_COUNT)
  readonly #memory = new Float64Array(SLOT_COUNT)
  #tags = new Map<string, { keys: number; memory: number }>()
  #taggedKeys = 0
  #taggedMemory = 0
  #tagsExact = true

  add(key: Slice, memory: number): void {
    const { bytes, start, end } = key
    const slot = keySlot(bytes, start, end)
    this.#keys[slot]! += 1
    this.#memory[slot]! += memory
    const tag = hashTag(bytes, start, end)
    if (tag === undefined) return
    this.#taggedKeys += 1
    this.#taggedMemory += memory
    if (tag.end - tag.start > MAX_TAG_BYTES) {
      this.#tagsExact = false
      return
    }
    const name = bytes.toString('latin1', tag.start, tag.end)
    const row = this.#tags.get(name)
    if (row !== undefined) {
      row.keys += 1
      row.memory += memory
      return
    }
    if (this.#tags.size >= MAX_TAGS) this.#forget()
    this.#tags.set(name, { keys: 1, memory })
  }

  result(): SlotReport {
    const slots = Array.from(this.#keys, (keys, slot) => ({
      slot,
      keys,
      memory: this.#memory[slot]!,
    })).filter(({ keys }) => keys > 0)
    const tags = this.#sortedTags().slice(0, SHOWN)
    return {
      used: slots.length,
      keys: this.#keys,
      memory: this.#memory,
      largest: slots.sort((a, b) => b.memory - a.memory || a.slot - b.slot).slice(0, SHOWN),
      taggedKeys: this.#taggedKeys,
      taggedMemory: this.#taggedMemory,
      tags: tags.map(([tag, row]) => ({ tag: Buffer.from(tag, 'latin1'), ...row })),
      tagsExact: this.#tagsExact,
    }
  }

  #sortedTags(): [string, { keys: number; memory: number }][] {
    return [...this.#tags].sort(([, a], [, b]) => b.memory - a.memory)
  }

  #forget(): void {
    this.#tags = new Map(this.#sortedTags().slice(0, MAX_TAGS / 2))
    this.#tagsExact = false
  }
}
