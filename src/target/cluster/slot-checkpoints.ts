/** The checkpoints of all slots, and the one that says where to begin: read, written, deleted (slot-mark.ts). */
import { randomBytes } from 'node:crypto'
import { Buffer } from 'node:buffer'
import { LinkError, TargetError } from '../../errors.js'
import { SLOT_COUNT } from '../../topology/cluster-nodes.js'
import { keySlot } from '../../topology/key-slot.js'
import {
  checkpointCommand,
  parseCheckpoint,
  refuseTakenOver,
  type Checkpoint,
} from '../checkpoint.js'
import { ReplyError, replyText, type Reply } from '../server/reply-reader.js'
import { refused } from '../server/target-connection.js'
import type { NodeSet } from './node-set.js'
import { formatMark, parseMark, SlotKeys, type SlotMark } from './slot-mark.js'

const ALL_SLOTS: readonly number[] = Array.from({ length: SLOT_COUNT }, (_, slot) => slot)
/** So many at once. */
const STEP = 2048
const NO_MARK: SlotMark = { run: '', floor: -1, isWhole: false, keyless: -1, pending: -1 }
const WAIT_MS = '1000'
/** So long replicas are waited for that are behind, or gone and not given up yet. */
const REPLICAS_MS = 30_000

export class SlotCheckpoints {
  readonly keys: SlotKeys
  /** By stream: what it is called in the hash of a slot. */
  fields: readonly Buffer[] = []
  mark: SlotMark = NO_MARK
  readonly #nodes: NodeSet
  readonly #checkpointKey: Buffer
  readonly #markSlot: number
  /** Empty: there is one, without a name. */
  #streams: readonly string[] = []
  #applied: Float64Array[] = [new Float64Array(SLOT_COUNT).fill(-1)]

  constructor(nodes: NodeSet, checkpointKey: Buffer) {
    this.#nodes = nodes
    this.#checkpointKey = checkpointKey
    this.#markSlot = keySlot(checkpointKey)
    this.keys = new SlotKeys(checkpointKey)
  }

  get hasStreams(): boolean {
    return this.#streams.length > 0
  }

  /** Its number in batches. */
  streamOf(name: string): number {
    return this.#streams.indexOf(name)
  }

  isApplied(slot: number, replOffset: number, stream = 0): boolean {
    return this.#applied[stream]![slot]! >= replOffset
  }

  confirm(slot: number, stream: number, replOffset: number): void {
    this.#applied[stream]![slot] = replOffset
  }

  /** A replay begins. */
  begin(streams: readonly string[]): void {
    const run = randomBytes(4).toString('hex')
    this.#take({ ...NO_MARK, run }, streams)
  }

  #take(mark: SlotMark, streams: readonly string[]): void {
    this.mark = mark
    this.#streams = streams
    const names =
      streams.length === 0 ? [mark.run] : streams.map((stream) => `${mark.run}:${stream}`)
    this.fields = names.map((name) => Buffer.from(name))
    this.#applied = names.map(() => new Float64Array(SLOT_COUNT).fill(-1))
  }

  /** What is known here of it, if anything, is newer. */
  async readMark(): Promise<Checkpoint | undefined> {
    const [reply] = await this.#nodes.callAt(this.#markSlot, ['HGETALL', this.#checkpointKey])
    if (reply instanceof ReplyError) throw refused('the target', 'HGETALL', reply.text)
    const found = parseCheckpoint(reply!)
    const mark = parseMark(found?.slots)
    if (mark !== undefined && this.mark.run === '')
      this.#take(mark, [...(found?.shards?.keys() ?? [])])
    return found
  }

  markOf(checkpoint: Checkpoint): Checkpoint {
    return { ...checkpoint, slots: formatMark(this.mark) }
  }

  async writeMark(checkpoint: Checkpoint): Promise<void> {
    const command = checkpointCommand(this.#checkpointKey, this.markOf(checkpoint))
    const [reply] = await this.#nodes.callAt(this.#markSlot, command)
    if (reply instanceof ReplyError) throw refused('the target', 'HMSET', reply.text)
  }

  /** The load is in: each slot says so, behind its keys. `at`: of each stream, where it goes on. */
  async writeAll(at: readonly number[]): Promise<void> {
    // Of several streams each slot says it by itself.
    const floor = this.hasStreams ? -1 : at[0]!
    this.mark = { ...this.mark, floor, isWhole: true }
    const values = this.fields.flatMap((field, stream) => [field, String(at[stream]!)])
    await this.#each((slot) => [
      ['DEL', this.keys.key(slot)],
      ['HSET', this.keys.key(slot), ...values],
    ])
    await this.untilReplicated()
    for (const [stream, each] of this.#applied.entries()) each.fill(at[stream]!)
  }

  /** A failover that follows at once has it, where replicas can be had. False: some have not all of it yet. */
  async untilReplicated(limitMs = REPLICAS_MS): Promise<boolean> {
    const { map } = this.#nodes
    const endMs = performance.now() + limitMs
    let isThere = true
    for (const index of map.owners()) {
      await this.#nodes.onNode(index, async (connection) => {
        for (;;) {
          const wanted = map.replicasAt(index)
          if (wanted === 0) return
          const reply = await connection.call('WAIT', String(wanted), WAIT_MS)
          // Where it is not allowed, nothing can be known.
          if (typeof reply !== 'number' || reply >= wanted) return
          if (performance.now() < endMs) continue
          isThere = false
          return
        }
      })
    }
    return isThere
  }

  /** Asks all. Nothing of it is taken before all have answered. */
  async read(): Promise<void> {
    const read = this.#applied.map(() => new Float64Array(SLOT_COUNT))
    await this.#each(
      (slot) => [['HMGET', this.keys.key(slot), ...this.fields]],
      (slot, [reply]) => {
        if (reply instanceof ReplyError) throw refused('the target', 'HMGET', reply.text)
        const values = reply as readonly Reply[]
        if (this.mark.isWhole && values.every((value) => value === null)) throw lostState()
        for (const [stream, applied] of read.entries()) {
          const value = values[stream]
          applied[slot] = value === null ? this.mark.floor : Number(replyText(value!))
        }
      },
    )
    for (const [stream, applied] of read.entries()) this.#applied[stream]!.set(applied)
  }

  /** How far all slots are now. */
  copyApplied(): readonly Float64Array[] {
    return this.#applied.map((each) => each.slice())
  }

  /** All slots are as far as they were then. */
  covers(then: readonly Float64Array[]): boolean {
    return then.every((applied, stream) => {
      const now = this.#applied[stream]!
      return applied.every((at, slot) => now[slot]! >= at)
    })
  }

  /** True: a slot is older than a FLUSHALL that all had: its master was replaced by one that had not. */
  get hasLostFlush(): boolean {
    return (
      !this.mark.isWhole &&
      this.#applied.some((applied) => applied.some((at) => at < this.mark.floor))
    )
  }

  /** Everything was deleted, checkpoints included. */
  flushed(replOffset: number): void {
    this.mark = { ...this.mark, floor: replOffset, isWhole: false, pending: -1 }
    for (const each of this.#applied) each.fill(replOffset)
  }

  /** That of the whole first: without it the others say nothing. */
  async deleteAll(): Promise<void> {
    await this.#nodes.callAt(this.#markSlot, ['DEL', this.#checkpointKey])
    await this.#each((slot) => [['DEL', this.keys.key(slot)]])
  }

  /** Throws TargetError where the target is not ours any more. */
  expect(found: Checkpoint | undefined, expected: Checkpoint): asserts found is Checkpoint {
    if (found === undefined) throw lostState()
    refuseTakenOver(found, expected)
  }

  async #each(
    commands: (slot: number) => readonly (readonly (string | Uint8Array)[])[],
    take?: (slot: number, replies: readonly Reply[]) => void,
  ): Promise<void> {
    for (let at = 0; at < SLOT_COUNT; at += STEP) {
      const slots = ALL_SLOTS.slice(at, at + STEP)
      const replies = await this.#nodes.callEach(slots, commands)
      for (const [i, slot] of slots.entries()) take?.(slot, replies[i]!)
    }
  }
}

function lostState(): TargetError {
  return new TargetError(
    'ERR_TARGET_LOST_STATE',
    'the target has lost checkpoints that it had: a master was restarted without its data, or replaced before a replica had them',
    { hint: 'run again with `emptyTarget` to begin anew' },
  )
}

export function isAway(error: unknown): error is LinkError {
  return error instanceof LinkError && error.retriable
}
