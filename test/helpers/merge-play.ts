/** The streams of a model of a cluster received and played in any order, by runs that are killed and by such
 * that were away. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { CommandDecoder } from '../../src/resp/decoder.js'
import { CommandTable } from '../../src/resp/command-table.js'
import { keySlot } from '../../src/topology/key-slot.js'
import { StreamSpool } from '../../src/verbs/replay/live/stream-spool.js'
import { Arrivals } from '../../src/verbs/replay/shards/arrivals.js'
import { Barriers } from '../../src/verbs/replay/shards/barriers.js'
import { ShardLane } from '../../src/verbs/replay/shards/shard-lane.js'
import type { MergeSink } from '../../src/verbs/replay/shards/sinks/merge-sink.js'
import { ShardMerge } from '../../src/verbs/replay/shards/shard-merge.js'
import { parsePoint, formatPoint, rangesOfSet } from '../../src/verbs/replay/shards/shard-point.js'
import { ClusterModel, execute, randomOf, type ModelOptions, type Random } from './cluster-model.js'
import { tagsOf } from './cluster.js'

const TAGS = tagsOf([0, 1, 2, 3, 4])

/** A target with transactions: what was not sealed is lost with the process. */
class ModelTarget implements MergeSink {
  readonly keys = new Map<string, string[]>()
  points = new Map<string, string>()
  isFull = false
  #unsent: string[][] = []
  readonly #random: Random
  lanes: readonly ShardLane[] = []
  owners = new Int16Array(0)
  readonly deleteKeysOf?: (command: CommandDecoder, db: number) => void

  constructor(random: Random) {
    this.#random = random
    if (random() < 0.5) this.deleteKeysOf = (command) => this.#unsent.push(['DEL', keyOf(command)])
  }

  apply(_lane: ShardLane, command: CommandDecoder): void {
    const args = Array.from({ length: command.argc }, (_, i) => command.arg(i).toString())
    this.#unsent.push(args)
  }

  endUnit(): void {
    if (this.#random() < 0.2) this.#mustSeal = true
  }
  #mustSeal = false

  drain(): undefined {
    if (this.#mustSeal) this.seal()
    return undefined
  }

  seal(): void {
    this.#mustSeal = false
    for (const args of this.#unsent.splice(0)) execute(this.keys, args)
    this.points = new Map(
      this.lanes.map((lane, i) => {
        const point = { ...lane.point(), owns: rangesOfSet(this.owners, i) }
        return [lane.id, formatPoint(point)]
      }),
    )
  }

  async deleteSlots(slots: readonly (readonly [number, number])[]): Promise<void> {
    this.seal()
    await Promise.resolve()
    for (const key of [...this.keys.keys()]) {
      const slot = keySlot(Buffer.from(key))
      if (slots.some(([first, last]) => first <= slot && slot <= last)) this.keys.delete(key)
    }
    this.seal()
  }

  flushAll = async (): Promise<void> => await Promise.resolve()
  save = async (): Promise<void> => {
    await Promise.resolve()
    this.seal()
  }
  note(): void {
    // Nothing to tell.
  }

  kill(): void {
    this.#unsent = []
    this.#mustSeal = false
  }
}

function keyOf(command: CommandDecoder): string {
  return command.arg(1).toString()
}

class Follower {
  readonly #model: ClusterModel
  readonly #random: Random
  readonly #target: ModelTarget
  readonly #dir: string
  #lanes: ShardLane[] = []
  #arrivals: Arrivals[] = []
  #merge!: ShardMerge
  readonly #delivered = new Map<string, number>()
  fault: unknown
  #seen: ReadonlyMap<number, string> = new Map()
  #seenMs = 0

  constructor(model: ClusterModel, random: Random, target: ModelTarget) {
    this.#model = model
    this.#random = random
    this.#target = target
    this.#dir = mkdtempSync(join(tmpdir(), 'rrep-merge-'))
    this.#open()
    for (const lane of this.#lanes) {
      lane.spool.beginStream('r', 1)
      const point = { replid: 'r', next: 1, db: 0, held: [], gone: [], owns: [], open: [] }
      lane.startAt({ ...point, members: lane.members })
    }
    for (const { id } of model.shards) {
      const own = [...model.owners].filter(([, shard]) => shard.id === id)
      this.#merge.own(
        id,
        own.map(([slot]) => [slot, slot] as const),
      )
    }
    target.seal()
  }

  /** The process is gone; another begins where the target says. */
  restart(): void {
    this.#target.kill()
    this.#model.forgetLooks()
    for (const { spool } of this.#lanes) spool.close()
    this.#open()
    for (const [index, lane] of this.#lanes.entries()) {
      const point = parsePoint(this.#target.points.get(lane.id)!)!
      lane.startAt(point)
      for (const [first, last] of point.owns!) this.#target.owners.fill(index, first, last + 1)
      this.#arrivals[index]!.goOn(lane.reader.position)
    }
  }

  deliver(all = false): void {
    for (const [i, { id, stream }] of this.#model.shards.entries()) {
      const bytes = Buffer.concat(stream)
      const at = this.#delivered.get(id) ?? 0
      const count = all ? bytes.length - at : Math.floor(this.#random() * (bytes.length - at + 1))
      if (count === 0) continue
      this.#lanes[i]!.spool.append(bytes, at, at + count)
      this.#arrivals[i]!.received(bytes, at, at + count)
      this.#delivered.set(id, at + count)
    }
  }

  look(): void {
    this.#seen = this.#model.look()
    this.#seenMs = Math.max(Date.now(), this.#seenMs) + 1
  }

  async turn(): Promise<boolean> {
    this.#merge.openSlots.look(async () => await Promise.resolve(this.#model.offsets))
    return await this.#merge.turn()
  }

  get hasAll(): boolean {
    const isRead = this.#lanes.every(({ at, spool }) => at >= spool.nextReplOffset)
    return isRead && !this.#merge.hasHeld
  }

  get held(): string {
    return JSON.stringify(this.#lanes.map(({ held }) => [...held.entries()]))
  }

  close(): void {
    for (const { spool } of this.#lanes) spool.close()
    rmSync(this.#dir, { recursive: true, force: true })
  }

  #open(): void {
    const owners = (this.#target.owners = new Int16Array(16_384).fill(-1))
    this.#lanes = []
    this.#arrivals = []
    for (const { id } of this.#model.shards) {
      const spool = new StreamSpool({ directory: join(this.#dir, id), source: 'model' })
      const barriers = new Barriers(
        join(this.#dir, id, 'barriers'),
        async () => {
          // An answer takes its time, and is of some moment of it.
          await Promise.resolve()
          return this.#model.offsets
        },
        (error) => (this.fault = error),
      )
      this.#lanes.push(new ShardLane({ id, spool, barriers, members: [id] }))
      this.#arrivals.push(new Arrivals(spool, barriers))
    }
    this.#target.lanes = this.#lanes
    this.#merge = new ShardMerge({
      ...{ sink: this.#target, table: new CommandTable(), owners, lanes: this.#lanes },
      settledOwner: (slot) => {
        const shard = this.#seen.get(slot)
        return shard === undefined ? undefined : { shard, seenMs: this.#seenMs }
      },
    })
  }
}

/** Throws where what was applied is not what the cluster holds. */
export async function playMerge(seed: number, options: ModelOptions): Promise<void> {
  const random = randomOf(seed)
  const model = new ClusterModel(random, TAGS, options)
  const target = new ModelTarget(random)
  const follower = new Follower(model, random, target)
  try {
    await play(random, model, follower)
    target.seal()
    assert.deepEqual(Object.fromEntries(target.keys), Object.fromEntries(model.state))
  } catch (error) {
    throw new Error(`seed ${seed}: ${String(error)}`, { cause: error })
  } finally {
    follower.close()
  }
}

async function play(random: Random, model: ClusterModel, follower: Follower): Promise<void> {
  for (let round = 0; round < 12; round += 1) {
    const steps = 5 + Math.floor(random() * 60)
    // Away: what happens meanwhile comes all at once, and nobody was asked.
    const isAway = random() < 0.15
    for (let step = 0; step < steps; step += 1) {
      model.step()
      if (isAway || random() < 0.3) continue
      follower.deliver()
      if (random() < 0.3) follower.look()
      if (random() < 0.5) await follower.turn()
    }
    if (isAway || random() < 0.3) follower.restart()
  }
  model.finish()
  follower.deliver(true)
  for (let turn = 0; turn < 2000 && !follower.hasAll; turn += 1) {
    follower.look()
    await follower.turn()
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.equal(follower.fault, undefined)
  assert.ok(follower.hasAll, `something waits for ever: ${follower.held}`)
}

export const MERGES: readonly (readonly [name: string, options: ModelOptions])[] = [
  ['key by key', { ways: ['classic'], shards: 2, deletes: false }],
  ['key by key, three shards', { ways: ['classic'], shards: 3, deletes: false }],
  ['key by key, keys come and go', { ways: ['classic'], shards: 2, deletes: true }],
  ['tasks', { ways: ['task'], shards: 2, deletes: true }],
  ['tasks, three shards', { ways: ['task'], shards: 3, deletes: true }],
  ['jobs', { ways: ['job'], shards: 2, deletes: true }],
  ['jobs, three shards', { ways: ['job'], shards: 3, deletes: true }],
  ['jobs and key by key', { ways: ['classic', 'job'], shards: 2, deletes: true }],
]
