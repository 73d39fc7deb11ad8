/**
 * What waits for each slot of the target, in order. A window is a stretch of the stream, with one part for
 * each slot that it touches; parts of a slot form a line, and the first ones of it are on their way
 * together, as one transaction. All of it is numbers in arrays: a window may touch every slot.
 */
import { SLOT_COUNT } from '../../topology/cluster-nodes.js'
import type { StreamBatch } from '../stream/stream-batch.js'

export const SLOT_STATE = {
  /** Nothing waits. */
  IDLE: 0,
  /** Something is to be sent. */
  READY: 1,
  FLYING: 2,
  /** It is asked again later. */
  HELD: 3,
} as const

/** A stretch of the stream. */
export interface SlotWindow {
  readonly batch: StreamBatch
  /** By frame: the next one of the same part; -1: it is the last. */
  readonly next: Int32Array
  /** Frames that the target refuses: left out. */
  dropped: Set<number> | undefined
  /** Parts that are not confirmed. */
  left: number
  /** Behind it the stream can be begun again. */
  readonly isEnd: boolean
}

export class SlotQueues {
  readonly state = new Uint8Array(SLOT_COUNT)
  /** First part of each slot; -1: none. */
  readonly head = new Int32Array(SLOT_COUNT).fill(-1)
  /** How many of them are on their way. */
  readonly flying = new Int32Array(SLOT_COUNT)
  windowOf: (SlotWindow | undefined)[] = []
  firstFrame = new Int32Array(1024)
  bytes = new Int32Array(1024)
  stream = new Uint16Array(1024)
  nextPart = new Int32Array(1024)
  #lastFrame = new Int32Array(1024)
  readonly #tail = new Int32Array(SLOT_COUNT).fill(-1)
  readonly #free: number[] = []
  #parts = 0

  /** All of a window at once: `onReady` sends nothing yet.
   *
   * @param slots by frame; negative: it is not for here */
  add(window: SlotWindow, slots: Int32Array, onReady: (slot: number) => void): void {
    const { batch, next } = window
    const { frameCount, frameStream } = batch
    for (let frame = 0; frame < frameCount; frame += 1) {
      const slot = slots[frame]!
      if (slot < 0) continue
      const tail = this.#tail[slot]!
      const size = batch.endOfFrame(frame) - batch.frameStart[frame]!
      next[frame] = -1
      if (tail >= 0 && this.windowOf[tail] === window && this.stream[tail] === frameStream[frame]) {
        next[this.#lastFrame[tail]!] = frame
        this.#lastFrame[tail] = frame
        this.bytes[tail] = this.bytes[tail]! + size
        continue
      }
      this.#begin(window, slot, frame, size)
      if (this.state[slot] === SLOT_STATE.IDLE) {
        this.state[slot] = SLOT_STATE.READY
        onReady(slot)
      }
    }
  }

  #begin(window: SlotWindow, slot: number, frame: number, size: number): void {
    const part = this.#free.pop() ?? this.#grow()
    this.windowOf[part] = window
    this.firstFrame[part] = this.#lastFrame[part] = frame
    this.bytes[part] = size
    this.stream[part] = window.batch.frameStream[frame]!
    this.nextPart[part] = -1
    window.left += 1
    const tail = this.#tail[slot]!
    if (tail < 0) this.head[slot] = part
    else this.nextPart[tail] = part
    this.#tail[slot] = part
  }

  /** The stream behind the last frame of a part. */
  replOffset(part: number): number {
    return this.windowOf[part]!.batch.frameReplOffset[this.#lastFrame[part]!]!
  }

  /** The first part of the slot is in the target. */
  shift(slot: number): void {
    const part = this.head[slot]!
    this.windowOf[part]!.left -= 1
    this.windowOf[part] = undefined
    const next = this.nextPart[part]!
    this.head[slot] = next
    if (next < 0) this.#tail[slot] = -1
    this.#free.push(part)
  }

  /** Nothing waits any more. */
  clear(): void {
    this.state.fill(SLOT_STATE.IDLE)
    this.head.fill(-1)
    this.#tail.fill(-1)
    this.flying.fill(0)
    this.windowOf = []
    this.#free.length = 0
    this.#parts = 0
  }

  #grow(): number {
    const part = this.#parts
    this.#parts += 1
    if (part === this.firstFrame.length) {
      this.firstFrame = twice(this.firstFrame)
      this.#lastFrame = twice(this.#lastFrame)
      this.bytes = twice(this.bytes)
      this.nextPart = twice(this.nextPart)
      const stream = new Uint16Array(2 * part)
      stream.set(this.stream)
      this.stream = stream
    }
    return part
  }
}

function twice(array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const next = new Int32Array(2 * array.length)
  next.set(array)
  return next
}
