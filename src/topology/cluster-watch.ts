/**
 * A cluster while it is followed: who leads each shard now, by asking all masters each second. What
 * most of them say is taken: one that was cut off, or deposed and not told yet, tells an old story.
 *
 * A shard can be followed as a server is, by `settingsOf`: each connection goes to whom it is led by
 * then, and is left when that changes.
 */
import { LinkError, type RrepError } from '../errors.js'
import { ControlClient } from '../net/control.js'
import type { InfoFields } from '../net/info.js'
import type { ServerPlace, ServerSettings } from '../net/server-settings.js'
import { sleep } from '../net/waiting.js'
import { mastersOf, parseClusterNodes, type ClusterNodes } from './cluster-nodes.js'
import { followShards, type ClusterShard } from './cluster-shards.js'
import { nameOfCluster, readCluster, settingsAt, type ClusterSeeds } from './cluster.js'

const LOOK_MS = 1000
/** What was heard so lately is not asked again. */
const FRESH_MS = 200
/** One that is gone must not hold the others up. */
const ASK_MS = 3000
/** A master without slots for so many looks is a new shard, and no replica that has not said so. */
const LOOKS_TO_SETTLE = 3

export interface ClusterWatchOptions {
  /** The shards of an earlier watch, whose names are kept. */
  known?: readonly ClusterShard[] | undefined
  /** Shards, masters, slots or moves are not what they were. Also told of the first look. */
  onChange?: ((watch: ClusterWatch) => void) | undefined
}

export class ClusterWatch {
  shards: readonly ClusterShard[]
  nodes: ClusterNodes = { nodes: [], openSlots: [], moves: [] }
  /** When it was seen so, unix ms. */
  seenMs = 0
  /** When it was looked at before that. */
  lookedMs = Date.now()

  readonly #seeds: ClusterSeeds
  readonly #options: ClusterWatchOptions
  readonly #halt = new AbortController()
  readonly #signal: AbortSignal = this.#halt.signal
  readonly #clients = new Map<string, ControlClient>()
  /** Masters without slots, and for how many looks. */
  readonly #empty = new Map<string, number>()
  #via: ServerSettings
  #told = ''
  #look: Promise<void> | undefined
  #watching: Promise<void> | undefined

  constructor(seeds: ClusterSeeds, options: ClusterWatchOptions = {}) {
    this.#seeds = seeds
    this.#options = options
    this.#via = seeds[0]!
    this.shards = options.known ?? []
  }

  /** Resolves when the cluster has been seen; rejects as `readCluster` does. Looks from then on. */
  async start(retries: number, signal?: AbortSignal): Promise<void> {
    for (let attempt = 0; ; attempt += 1) {
      try {
        const { via, ...nodes } = await readCluster(this.#seeds, signal)
        this.#via = via
        this.#take(nodes)
        break
      } catch (error) {
        if (!(error as Partial<RrepError>).retriable || attempt >= retries) throw error
        await sleep(LOOK_MS, signal)
      }
    }
    this.#watching = this.#watch()
  }

  async stop(): Promise<void> {
    this.#halt.abort()
    await this.#watching
    for (const client of this.#clients.values()) client.close()
    this.#clients.clear()
  }

  /** Connections to whoever leads the shard then. */
  settingsOf(shard: ClusterShard): ServerSettings {
    const place = shard.master?.place
    const label = place === undefined ? `the shard ${shard.id}` : `${place.host}:${place.port}`
    return {
      ...this.#via,
      address: { ...this.#via.address, host: '', port: 0, db: 0, label, name: label },
      locate: async () => await this.locate(shard.id),
    }
  }

  /** Rejects with LinkError ERR_NO_MASTER, which passes, where nobody leads it now. */
  async locate(shardId: string): Promise<ServerPlace> {
    if (Date.now() - this.seenMs > FRESH_MS) await this.look()
    const master = this.shards.find(({ id }) => id === shardId)?.master
    if (master !== undefined) return master.place
    throw new LinkError('ERR_NO_MASTER', `nobody leads the shard ${shardId} now`, {
      retriable: true,
      hint: 'a failover takes some seconds',
    })
  }

  /** The last byte of each master's stream, by the id of the shard; of those that answer. */
  async replOffsets(shardIds: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const found = new Map<string, number>()
    await Promise.all(
      shardIds.map(async (id) => {
        const place = this.shards.find((each) => each.id === id)?.master?.place
        const info = place === undefined ? undefined : await this.replicationAt(place)
        if (info !== undefined) found.set(id, Number(info.get('master_repl_offset')))
      }),
    )
    return found
  }

  /** What a node says of its replication; undefined: it does not answer. */
  async replicationAt(place: ServerPlace): Promise<InfoFields | undefined> {
    try {
      return await (await this.#client(place)).info('replication')
    } catch {
      this.#drop(place)
      return undefined
    }
  }

  /** Asks now. What nobody answers stays as it was. */
  async look(): Promise<void> {
    this.#look ??= this.#ask().finally(() => (this.#look = undefined))
    await this.#look
  }

  async #watch(): Promise<void> {
    while (!this.#signal.aborted) {
      try {
        await sleep(LOOK_MS, this.#signal)
        await this.look()
      } catch {
        // The signal.
      }
    }
  }

  async #ask(): Promise<void> {
    const masters = this.nodes.nodes.filter(({ isMaster }) => isMaster)
    const seeds = this.#seeds.map(({ address }) => address)
    const answers = (
      await Promise.all(masters.map(async ({ place }) => await this.#nodesBy(place)))
    ).filter((each) => each !== undefined)
    // The others may know where all of them went.
    for (const place of answers.length > 0 ? [] : [...this.#replicas(), ...seeds]) {
      const told = await this.#nodesBy(place)
      if (told !== undefined) answers.push(told)
    }
    const best = mostTold(answers)
    if (best === undefined || this.#signal.aborted) return
    this.#take({ ...best, ...movesOf(answers) })
  }

  #replicas(): readonly ServerPlace[] {
    return this.nodes.nodes.filter(({ isMaster }) => !isMaster).map(({ place }) => place)
  }

  #take(nodes: ClusterNodes): void {
    this.nodes = nodes
    if (this.seenMs > 0) this.lookedMs = this.seenMs
    this.seenMs = Date.now()
    const settled = this.#settled(nodes)
    this.shards = followShards(this.shards, nodes, settled)
    const told = JSON.stringify([this.shards, nodes.moves])
    if (told === this.#told) return
    this.#told = told
    this.#options.onChange?.(this)
  }

  #settled({ nodes }: ClusterNodes): ReadonlySet<string> {
    const empty = nodes.filter(({ isMaster, isUp, slots }) => isMaster && isUp && !slots.length)
    const ids = new Set(empty.map(({ id }) => id))
    for (const id of this.#empty.keys()) if (!ids.has(id)) this.#empty.delete(id)
    for (const id of ids) this.#empty.set(id, (this.#empty.get(id) ?? 0) + 1)
    return new Set([...ids].filter((id) => this.#empty.get(id)! >= LOOKS_TO_SETTLE))
  }

  async #nodesBy(place: ServerPlace): Promise<ClusterNodes | undefined> {
    try {
      const client = await this.#client(place)
      return parseClusterNodes(String(await client.call('CLUSTER', 'NODES')), place)
    } catch {
      this.#drop(place)
      return undefined
    }
  }

  async #client(place: ServerPlace): Promise<ControlClient> {
    const key = keyOf(place)
    const open = this.#clients.get(key)
    if (open !== undefined) return open
    const settings = settingsAt(this.#via, place)
    const timeoutMs = Math.min(settings.timeoutMs, ASK_MS)
    const client = await ControlClient.open({ ...settings, timeoutMs }, this.#signal, 'ask')
    // Two may have asked at once.
    this.#clients.get(key)?.close()
    this.#clients.set(key, client)
    return client
  }

  #drop(place: ServerPlace): void {
    this.#clients.get(keyOf(place))?.close()
    this.#clients.delete(keyOf(place))
  }

  /** For messages. */
  get name(): string {
    return nameOfCluster(this.#seeds)
  }
}

/** By most; of as many, by those that know of the newest failover. */
function mostTold(answers: readonly ClusterNodes[]): ClusterNodes | undefined {
  const votes = new Map<string, { nodes: ClusterNodes; count: number; epoch: number }>()
  for (const nodes of answers) {
    const masters = mastersOf(nodes)
    const text = JSON.stringify(masters.map(({ id, slots }) => [id, slots]))
    const epoch = Math.max(0, ...masters.map(({ configEpoch }) => configEpoch))
    const vote = votes.get(text) ?? { nodes, count: 0, epoch }
    vote.count += 1
    votes.set(text, vote)
  }
  return [...votes.values()].sort((a, b) => b.count - a.count || b.epoch - a.epoch)[0]?.nodes
}

function movesOf(answers: readonly ClusterNodes[]): Pick<ClusterNodes, 'moves' | 'openSlots'> {
  const moves = new Map(
    answers.flatMap((each) => each.moves).map((move) => [JSON.stringify(move), move]),
  )
  const sorted = [...moves.values()].sort((a, b) => a.slot - b.slot)
  return { moves: sorted, openSlots: [...new Set(sorted.map(({ slot }) => slot))] }
}

function keyOf({ host, port }: ServerPlace): string {
  return `${host} ${port}`
}
