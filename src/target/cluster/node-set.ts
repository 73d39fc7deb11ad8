/** The masters of the target, one connection to each, and single commands at where a slot is. */
import { LinkError, ProtocolError, type RrepError } from '../../errors.js'
import { backoffMs, sleep } from '../../net/waiting.js'
import type { ClusterSeeds } from '../../topology/cluster.js'
import { ReplyError, type Reply } from '../server/reply-reader.js'
import {
  isTransient,
  type PipelinedBatch,
  type TargetConnection,
} from '../server/target-connection.js'
import { refuses } from '../stream/batch-verdict.js'
import { ClusterMap } from './cluster-map.js'
import { NodeLane } from './node-lane.js'

export interface NodeSetOptions {
  seeds: ClusterSeeds
  clientName: string
  importSource: boolean
  retries: number
  signal: AbortSignal
  onAnswered(batch: PipelinedBatch): void
  /** What was sent may have been executed or not, or be lost again. */
  onLost(error: RrepError): void
}

export type Args = readonly (string | Uint8Array)[]

/** A failover takes some seconds, and so does whoever restarts a node. */
const AWAY_MS = 60_000
const PAUSE_MS = 100
/** What is on the move is asked for so often, and what is refused for other reasons that pass. */
const MAX_ATTEMPTS = 600

export class NodeSet {
  readonly map: ClusterMap
  /** Counts how often all was left: who began before that must not go on. */
  generation = 0
  readonly #options: NodeSetOptions
  /** By the number of the place. */
  #lanes: (NodeLane | undefined)[] = []
  #isOpen = false

  constructor(options: NodeSetOptions) {
    this.#options = options
    this.map = new ClusterMap(options.seeds)
  }

  async open(retries: number): Promise<void> {
    const { signal } = this.#options
    // It looks each second.
    await this.map.open(retries === 0 ? 0 : Math.max(retries, AWAY_MS / 1000), signal)
    this.map.onChange = () => this.#look()
    await this.openAgain(undefined, () => undefined)
  }

  get lanes(): readonly NodeLane[] {
    return this.#lanes.filter((lane) => lane !== undefined)
  }

  /** Undefined: nobody is known to own it whom we are connected to. */
  laneOf(slot: number): NodeLane | undefined {
    return this.#lanes[this.map.owner[slot]!]
  }

  hasLane(index: number): boolean {
    return this.#lanes[index] !== undefined
  }

  async untilIdle(): Promise<void> {
    await Promise.all(this.lanes.map(async (lane) => await lane.untilIdle()))
  }

  /** Nothing more of what was sent is waited for. */
  drop(): void {
    this.#isOpen = false
    this.generation += 1
    for (const lane of this.lanes) lane.close()
    this.#lanes = []
  }

  close(): void {
    this.drop()
    void this.map.close()
  }

  /** Asks who owns what. */
  async look(): Promise<void> {
    await this.map.look().catch(() => undefined)
  }

  /** When the cluster is whole, connects to all masters, and ends what an old connection may have sent. */
  async openAgain(
    cause: RrepError | undefined,
    onReconnect: (error: RrepError) => void,
  ): Promise<void> {
    const { retries, signal } = this.#options
    const endMs = performance.now() + (retries === 0 ? 0 : AWAY_MS)
    let error = cause
    for (let attempt = 1; ; attempt += 1) {
      if (error !== undefined) {
        const isOver = attempt > retries && performance.now() > endMs
        if (!error.retriable || (isOver && error.code !== 'ERR_TARGET_BUSY')) throw error
        onReconnect(error)
        await sleep(backoffMs(Math.min(attempt, 4)), signal)
        await this.look()
      }
      try {
        if (!this.map.isWhole) throw notWhole()
        await this.#openAll()
        return
      } catch (fault) {
        this.drop()
        if (!(fault instanceof LinkError)) throw fault
        error = fault
      }
    }
  }

  /** Does it again where a connection breaks meanwhile. */
  async until<T>(work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work()
      } catch (error) {
        if (!(error instanceof LinkError) || !error.retriable) throw error
        this.drop()
        await this.openAgain(error, () => undefined)
      }
    }
  }

  /** Calls on one node's connection; again where keys are on the move. */
  async onNode(
    index: number,
    work: (connection: TargetConnection) => Promise<void>,
  ): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      const lane = this.#lanes[index]
      if (lane === undefined) throw gone()
      try {
        await work(lane.connection)
        return
      } catch (error) {
        const passes =
          error instanceof ProtocolError &&
          /non local key|MOVED|TRYAGAIN|CLUSTERDOWN|\bASK\b/.test(error.message)
        if (!passes || attempt >= MAX_ATTEMPTS) throw error
        await sleep(PAUSE_MS, this.#options.signal)
      }
    }
  }

  /**
   * Commands at the owner of the slot, one behind the other: a whole transaction, or a single one. They
   * go again where the owner has changed or the slot is on the move; replies of the last attempt.
   */
  async callAt(slot: number, ...commands: readonly Args[]): Promise<readonly Reply[]> {
    const { generation } = this
    for (let attempt = 1; ; attempt += 1) {
      if (this.generation !== generation) throw gone()
      const lane = this.laneOf(slot)
      if (lane === undefined) throw gone()
      const asked = this.map.owner[slot]!
      const replies = await sendAll(lane.connection, commands)
      const refusal = refusalIn(replies)
      if (refusal === undefined) return replies
      if (attempt >= MAX_ATTEMPTS) throw refuses(refusal)
      if (refusal.startsWith('MOVED ')) {
        if (!this.map.moved(refusal, asked)) await this.look()
        continue
      }
      if (refusal.startsWith('ASK ') && commands.length === 1) {
        const other = this.#laneAsked(refusal, slot, asked)
        if (other !== undefined) {
          const [, ...rest] = await sendAll(other.connection, [['ASKING'], ...commands])
          if (refusalIn(rest) === undefined) return rest
        }
      }
      await sleep(PAUSE_MS, this.#options.signal)
      if (!/^(ASK|TRYAGAIN)/.test(refusal)) await this.look()
    }
  }

  /** Names of up to `most` keys of each slot. While one is on the move, its owner has not all of them. */
  async keysOf(
    slots: readonly number[],
    most: number,
  ): Promise<ReadonlyMap<number, readonly Buffer[]>> {
    const found = new Map<number, readonly Buffer[]>()
    let left = slots
    for (let attempt = 1; left.length > 0; attempt += 1) {
      if (attempt > MAX_ATTEMPTS) throw refuses(`slot ${left[0]!} is on the move all the time`)
      if (attempt > 1) await sleep(PAUSE_MS, this.#options.signal)
      await this.look()
      const owner = this.map.owner.slice()
      const moving = new Set(this.map.openSlots)
      const asked = left.filter((slot) => !moving.has(slot))
      const told = await Promise.all(
        asked.map(async (slot) => {
          const lane = this.laneOf(slot)
          if (lane === undefined) throw gone()
          const how = ['CLUSTER', 'GETKEYSINSLOT', String(slot), String(most)]
          return (await lane.connection.expect(...how)) as readonly Buffer[]
        }),
      )
      await this.look()
      for (const slot of this.map.openSlots) moving.add(slot)
      for (const [i, slot] of asked.entries()) {
        if (this.map.owner[slot] === owner[slot] && !moving.has(slot)) found.set(slot, told[i]!)
      }
      left = slots.filter((slot) => !found.has(slot))
    }
    return found
  }

  /** Each with its answer, many at once; those of one slot in their order. */
  async callEach(
    slots: readonly number[],
    commands: (slot: number) => readonly Args[],
  ): Promise<readonly (readonly Reply[])[]> {
    return await Promise.all(slots.map(async (slot) => await this.callAt(slot, ...commands(slot))))
  }

  #laneAsked(refusal: string, slot: number, asked: number): NodeLane | undefined {
    const other = this.map.named(refusal, asked)
    return other < 0 || other === this.map.owner[slot] ? undefined : this.#lanes[other]
  }

  /** A master that was none before may lack what its predecessor has confirmed. */
  #look(): void {
    if (!this.#isOpen) return
    if (this.map.owners().every((index) => this.#lanes[index] !== undefined)) return
    this.#options.onLost(gone())
  }

  async #openAll(): Promise<void> {
    const { generation } = this
    const lanes: (NodeLane | undefined)[] = []
    const opened = await Promise.allSettled(
      this.map.owners().map(async (index) => {
        lanes[index] = await NodeLane.open({
          ...this.#options,
          settings: this.map.settings(index),
        })
      }),
    )
    const failed = opened.find((each) => each.status === 'rejected')
    if (failed !== undefined || this.generation !== generation) {
      for (const lane of lanes) lane?.close()
      throw failed === undefined ? gone() : (failed.reason as Error)
    }
    this.#lanes = lanes
    this.#isOpen = true
  }
}

async function sendAll(
  connection: TargetConnection,
  commands: readonly Args[],
): Promise<readonly Reply[]> {
  return await Promise.all(commands.map(async (args) => await connection.call(...args)))
}

/** Why nothing of it was done, where that passes. */
function refusalIn(replies: readonly Reply[]): string | undefined {
  for (const reply of replies) {
    if (!(reply instanceof ReplyError)) continue
    if (/^(MOVED|ASK|TRYAGAIN)\b/.test(reply.text) || isTransient(reply.text)) return reply.text
  }
  return undefined
}

function gone(): LinkError {
  return new LinkError('ERR_LINK_LOST', 'slots of the target have another master', {
    retriable: true,
  })
}

function notWhole(): LinkError {
  return new LinkError(
    'ERR_CLUSTER_DOWN',
    'the target is not whole: slots have no master that is up',
    {
      retriable: true,
      hint: 'a failover takes some seconds',
    },
  )
}
