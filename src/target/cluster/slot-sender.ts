/**
 * The slots' transactions on their way: many of them to a node in one piece, one of a slot at a time. What a
 * node refuses as a whole goes again, to where the slot is now, or waits while it is on the move.
 */
import { AuthError, LinkError, type RrepError } from '../../errors.js'
import { printable } from '../../bytes/printable.js'
import type { Ledger } from '../ledger.js'
import { errorKind } from '../server/reply-reader.js'
import { isTransient } from '../server/target-connection.js'
import { refuses } from '../stream/batch-verdict.js'
import type { NodeBatch, SlotError } from './node-batch.js'
import type { NodeLane } from './node-lane.js'
import type { NodeSet } from './node-set.js'
import type { SlotCheckpoints } from './slot-checkpoints.js'
import { SLOT_STATE, SlotQueues, type SlotWindow } from './slot-queues.js'

export interface SlotSenderOptions {
  nodes: NodeSet
  slots: SlotCheckpoints
  ledger: Ledger
  /** What was held is ready again. */
  onReady(): void
  /** What was sent may have been executed or not, or be lost again. */
  onLost(error: RrepError): void
  onWarning(message: string): void
}

const NODE_BATCH_BYTES = 256 << 10
const SLOT_BYTES = 128 << 10
/** A slot on the move is asked for again so often. */
const HOLD_MS = 100
/** What a node refuses for reasons that pass is tried so long. */
const MAX_REFUSED_MS = 60_000
/** A slot that waits so long is told of. */
const TELL_HELD_MS = 10_000

export class SlotSender {
  readonly #options: SlotSenderOptions
  readonly #nodes: NodeSet
  readonly #slots: SlotCheckpoints
  readonly #queues = new SlotQueues()
  readonly #held: number[] = []
  /** By slot, since when it is refused. */
  readonly #refusedMs = new Map<number, number>()
  readonly #toldHeld = new Set<number>()
  #holdTimer: NodeJS.Timeout | undefined
  #lookedMs = 0

  constructor(options: SlotSenderOptions) {
    this.#options = options
    this.#nodes = options.nodes
    this.#slots = options.slots
  }

  /** @param slots by frame; negative: it is not for here */
  add(window: SlotWindow, slots: Int32Array): void {
    this.#queues.add(window, slots, (slot) => this.#ready(slot))
  }

  pump(): void {
    for (const lane of this.#nodes.lanes) {
      while (lane.ready.length > 0 && lane.hasRoom) this.#sendTo(lane)
    }
  }

  #sendTo(lane: NodeLane): void {
    const batch = lane.batch()
    const { ready } = lane
    let taken = 0
    while (taken < ready.length && batch.out.length < NODE_BATCH_BYTES) {
      const slot = ready[taken]!
      taken += 1
      if (this.#queues.state[slot] !== SLOT_STATE.READY) continue
      if (this.#nodes.laneOf(slot) !== lane) {
        this.#ready(slot)
        continue
      }
      batch.add(slot, this.#queues, this.#slots, SLOT_BYTES)
      this.#queues.state[slot] = SLOT_STATE.FLYING
    }
    ready.splice(0, taken)
    if (batch.count > 0) lane.send(batch, batch.out.view())
  }

  /** Throws where the target refuses for good. */
  answered(batch: NodeBatch): void {
    for (let tx = 0; tx < batch.count; tx += 1) {
      const errors = batch.errors.size === 0 ? undefined : batch.errors.get(tx)
      if (errors === undefined) this.#confirm(batch.slots[tx]!)
      else this.#judge(batch.slots[tx]!, errors)
    }
  }

  /** What waits is forgotten. */
  clear(): void {
    this.#queues.clear()
    this.#held.length = 0
    this.#refusedMs.clear()
  }

  close(): void {
    clearTimeout(this.#holdTimer)
  }

  #ready(slot: number): void {
    const lane = this.#nodes.laneOf(slot)
    if (lane !== undefined) lane.ready.push(slot)
    else {
      this.#hold(slot)
      // It may lack what its predecessor has confirmed.
      this.#options.onLost(
        new LinkError('ERR_LINK_LOST', 'slots of the target have another master', {
          retriable: true,
        }),
      )
    }
  }

  #confirm(slot: number): void {
    const queues = this.#queues
    for (let parts = queues.flying[slot]!; parts > 0; parts -= 1) {
      const part = queues.head[slot]!
      this.#slots.confirm(slot, queues.stream[part]!, queues.replOffset(part))
      queues.shift(slot)
    }
    queues.flying[slot] = 0
    if (this.#refusedMs.size > 0) this.#refusedMs.delete(slot)
    if (queues.head[slot]! < 0) queues.state[slot] = SLOT_STATE.IDLE
    else this.#again(slot)
  }

  #again(slot: number): void {
    this.#queues.flying[slot] = 0
    this.#queues.state[slot] = SLOT_STATE.READY
    this.#ready(slot)
  }

  #judge(slot: number, errors: readonly SlotError[]): void {
    if (!errors.some(({ isQueued }) => isQueued)) {
      // Executed; single commands failed. The rest of a transaction goes on, as on the source.
      for (const error of errors) this.#nameFailed(slot, error)
      this.#confirm(slot)
      return
    }
    const reasons = errors.filter(({ text }) => errorKind(text) !== 'EXECABORT')
    const denied = reasons.find(({ text }) => /^NOAUTH\b/.test(text))
    if (denied !== undefined) {
      const text = printable(Buffer.from(denied.text))
      throw new AuthError('ERR_REFUSED', `the target refuses: ${text}`)
    }
    const passing = reasons.find(({ text }) => isRedirect(text) || isTransient(text))
    if (passing !== undefined) {
      this.#pass(slot, passing.text)
      return
    }
    const lasting = reasons.filter(({ frame }) => frame >= 0)
    if (lasting.length === 0) {
      const text = (reasons[0] ?? errors[0]!).text
      throw refuses(text)
    }
    for (const error of lasting) this.#nameFailed(slot, error, true)
    this.#again(slot)
  }

  /** Refused for a reason that passes. */
  #pass(slot: number, text: string): void {
    const asked = this.#nodes.map.owner[slot]!
    if (text.startsWith('MOVED ') && this.#nodes.map.moved(text, asked)) {
      this.#again(slot)
      return
    }
    const nowMs = performance.now()
    const sinceMs = this.#refusedMs.get(slot) ?? nowMs
    this.#refusedMs.set(slot, sinceMs)
    const isMoving = /^(ASK|TRYAGAIN)\b/.test(text)
    if (!isMoving && nowMs - sinceMs > MAX_REFUSED_MS) throw refuses(text)
    if (isMoving && nowMs - sinceMs > TELL_HELD_MS && !this.#toldHeld.has(slot)) {
      this.#toldHeld.add(slot)
      const seconds = Math.round((nowMs - sinceMs) / 1000)
      this.#options.onWarning(
        `slot ${slot} of the target has been on the move for ${seconds} s: what is for it waits`,
      )
    }
    this.#queues.flying[slot] = 0
    this.#hold(slot)
    if (!isMoving && nowMs - this.#lookedMs > HOLD_MS) {
      this.#lookedMs = nowMs
      void this.#nodes.look()
    }
  }

  #hold(slot: number): void {
    this.#queues.state[slot] = SLOT_STATE.HELD
    this.#held.push(slot)
    this.#holdTimer ??= setTimeout(() => {
      this.#holdTimer = undefined
      for (const each of this.#held.splice(0)) {
        if (this.#queues.state[each] === SLOT_STATE.HELD) this.#again(each)
      }
      this.#options.onReady()
    }, HOLD_MS)
  }

  /** The frame with this number of the slot's transaction. */
  #nameFailed(slot: number, { frame, text }: SlotError, isDropped = false): void {
    const queues = this.#queues
    let number = frame
    for (let part = queues.head[slot]!; part >= 0; part = queues.nextPart[part]!) {
      const window = queues.windowOf[part]!
      const { batch, next } = window
      for (let at = queues.firstFrame[part]!; at >= 0; at = next[at]!) {
        if (window.dropped?.has(at) === true) continue
        if (number === 0) {
          const { command, key } = batch.describe(at)
          const reason = printable(Buffer.from(text))
          this.#options.ledger.name({ db: 0, key, type: '', command, reason })
          this.#options.ledger.commands.failed += batch.takeFailed([at])
          if (isDropped) this.#dropped(window).add(at)
          return
        }
        number -= 1
      }
    }
    this.#options.ledger.name({ db: 0, key: '', type: '', command: 'EXEC', reason: text })
  }

  #dropped(window: SlotWindow): Set<number> {
    return (window.dropped ??= new Set())
  }
}

function isRedirect(text: string): boolean {
  return /^(MOVED|ASK|TRYAGAIN|CLUSTERDOWN)\b/.test(text)
}
