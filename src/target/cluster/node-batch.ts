/**
 * Transactions of many slots on their way to one node:
 *
 *   MULTI   command … command   HSET checkpoint of the slot   EXEC      again and again
 *
 * Each slot has one at most, so that one that is refused has nothing of its slot behind it.
 */
import { Buffer } from 'node:buffer'
import { CommandEncoder } from '../../resp/encoder.js'
import type { PipelinedBatch } from '../server/target-connection.js'
import type { SlotKeys } from './slot-mark.js'
import type { SlotQueues } from './slot-queues.js'

export interface SlotError {
  /** Which frame of the transaction; -1: the transaction itself. */
  readonly frame: number
  /** Nothing of it was executed. */
  readonly isQueued: boolean
  readonly text: string
}

const MULTI = Buffer.from('*1\r\n$5\r\nMULTI\r\n')
const EXEC = Buffer.from('*1\r\n$4\r\nEXEC\r\n')
const MULTI_REPLIES = 3

export class NodeBatch implements PipelinedBatch {
  readonly isClosed = true
  readonly out = new CommandEncoder(1 << 16)
  expectedReplies = 0
  count = 0
  slots = new Int32Array(256)
  /** Number of the first reply of each. */
  #first = new Int32Array(256)
  /** By the number of the transaction; most have none. */
  readonly errors = new Map<number, SlotError[]>()

  reset(): void {
    this.out.reset()
    this.expectedReplies = 0
    this.count = 0
    this.errors.clear()
  }

  /** What waits for the slot, up to `maxBytes`. `fields`: of the slot's checkpoint, by stream. */
  add(
    slot: number,
    queues: SlotQueues,
    { keys, fields }: { keys: SlotKeys; fields: readonly Buffer[] },
    maxBytes: number,
  ): void {
    const { out } = this
    if (this.count === this.slots.length) {
      this.slots = twice(this.slots)
      this.#first = twice(this.#first)
    }
    this.slots[this.count] = slot
    this.#first[this.count] = this.expectedReplies
    this.count += 1
    out.raw(MULTI)
    let frames = 0
    let parts = 0
    let size = 0
    // Nearly always one: the others are told one by one.
    let stream = -1
    let replOffset = -1
    let more: [stream: number, replOffset: number][] | undefined
    for (let part = queues.head[slot]!; part >= 0; part = queues.nextPart[part]!) {
      size += queues.bytes[part]!
      if (parts > 0 && size > maxBytes) break
      parts += 1
      frames += this.#addPart(part, queues)
      if (stream >= 0 && stream !== queues.stream[part]) (more ??= []).push([stream, replOffset])
      stream = queues.stream[part]!
      replOffset = queues.replOffset(part)
    }
    queues.flying[slot] = parts
    out.begin(4 + 2 * (more?.length ?? 0)).ascii('HSET')
    out.raw(keys.bulk(slot))
    // Of a stream that stands twice the later one counts.
    for (const [each, offset] of more ?? []) out.bulk(fields[each]!).integer(offset)
    out.bulk(fields[stream]!).integer(replOffset)
    out.raw(EXEC)
    this.expectedReplies += frames + MULTI_REPLIES
  }

  #addPart(part: number, queues: SlotQueues): number {
    const { batch, next, dropped } = queues.windowOf[part]!
    const { out } = this
    let frames = 0
    for (let frame = queues.firstFrame[part]!; frame >= 0; frame = next[frame]!) {
      if (dropped?.has(frame) === true) continue
      const start = batch.frameStart[frame]!
      const end = batch.endOfFrame(frame)
      out.reserve(end - start)
      batch.out.bytes.copy(out.bytes, out.length, start, end)
      out.length += end - start
      frames += 1
    }
    return frames
  }

  onError(reply: number, element: number, text: Uint8Array): void {
    let tx = 0
    for (let low = 0, high = this.count - 1; low <= high;) {
      const middle = (low + high) >>> 1
      if (this.#first[middle]! <= reply) {
        tx = middle
        low = middle + 1
      } else high = middle - 1
    }
    const last = tx + 1 < this.count ? this.#first[tx + 1]! : this.expectedReplies
    const frames = last - this.#first[tx]! - MULTI_REPLIES
    const isQueued = element < 0
    const frame = isQueued ? reply - this.#first[tx]! - 1 : element
    const list = this.errors.get(tx) ?? []
    list.push({
      frame: frame >= 0 && frame < frames ? frame : -1,
      isQueued,
      text: Buffer.from(text).toString('utf8'),
    })
    this.errors.set(tx, list)
  }
}

function twice(array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const next = new Int32Array(2 * array.length)
  next.set(array)
  return next
}
