/** Stretches of the stream on their way into a cluster, in order: what waits to be begun, and what is begun and
 * not all answered. */
import type { StreamBatch } from '../stream/stream-batch.js'
import type { Routed, WholeCommand } from './frame-router.js'
import type { SlotWindow } from './slot-queues.js'

export interface OpenWindow extends SlotWindow {
  readonly shards: StreamBatch['shards']
}

export interface WindowLineOptions {
  send(window: SlotWindow, slots: Int32Array): void
  /** All of it is in the target, and all in front of it. */
  onApplied(window: OpenWindow): void
}

export class WindowLine {
  pendingBytes = 0
  readonly #options: WindowLineOptions
  /** Routed and not begun. */
  readonly #items: (Routed & { isEnd: boolean; shards: StreamBatch['shards'] })[] = []
  readonly #open: OpenWindow[] = []

  constructor(options: WindowLineOptions) {
    this.#options = options
  }

  get isEmpty(): boolean {
    return this.#items.length === 0 && this.#open.length === 0
  }

  /** What became of a batch: behind the last part of it the stream can be begun again. */
  add(routed: readonly Routed[], { shards, out }: StreamBatch): void {
    for (const [index, item] of routed.entries()) {
      const isEnd = index === routed.length - 1
      this.#items.push({ ...item, isEnd, shards: isEnd ? shards : undefined })
    }
    this.pendingBytes += out.length
  }

  /** Begins as much as can be. Returns a command that goes alone, if it is its turn. */
  begin(): WholeCommand | undefined {
    for (;;) {
      this.advance()
      const item = this.#items[0]
      if (item === undefined) return undefined
      if ('kind' in item) {
        if (this.#open.length > 0) return undefined
        this.#items.shift()
        return item
      }
      this.#items.shift()
      const { batch, slots, isEnd, shards } = item
      const next = new Int32Array(batch.frameCount)
      const window = { batch, next, dropped: undefined, left: 0, isEnd, shards }
      this.#open.push(window)
      this.#options.send(window, slots)
    }
  }

  /** Whole windows at the front are in the target. */
  advance(): void {
    const open = this.#open
    let count = 0
    while (count < open.length && open[count]!.left === 0) {
      const window = open[count]!
      count += 1
      this.pendingBytes = Math.max(0, this.pendingBytes - window.batch.out.length)
      this.#options.onApplied(window)
    }
    open.splice(0, count)
    if (this.isEmpty) this.pendingBytes = 0
  }

  /** Nothing of it is waited for. */
  clear(): void {
    this.#items.length = 0
    this.#open.length = 0
    this.pendingBytes = 0
  }
}
