/** Which master of the target owns which slot, as far as is known: by asking, and by what nodes answer. */
import type { InfoFields } from '../../net/info.js'
import type { ServerPlace, ServerSettings } from '../../net/server-settings.js'
import { mastersOf, SLOT_COUNT, type ClusterNode } from '../../topology/cluster-nodes.js'
import { ClusterWatch } from '../../topology/cluster-watch.js'
import { settingsAt, type ClusterSeeds } from '../../topology/cluster.js'
import type { NodeReplication, Replication } from './place-keeper.js'

export class ClusterMap {
  /** By slot: number of a place; -1: nobody. */
  readonly owner = new Int16Array(SLOT_COUNT).fill(-1)
  /** Never taken away, so that a number stays what it was. */
  readonly places: ServerPlace[] = []
  readonly #seeds: ClusterSeeds
  readonly #watch: ClusterWatch
  #onChange: () => void = () => undefined

  constructor(seeds: ClusterSeeds) {
    this.#seeds = seeds
    this.#watch = new ClusterWatch(seeds, { onChange: () => this.#take() })
  }

  async open(retries: number, signal?: AbortSignal): Promise<void> {
    await this.#watch.start(retries, signal)
  }

  set onChange(tell: () => void) {
    this.#onChange = tell
  }

  async close(): Promise<void> {
    await this.#watch.stop()
  }

  /** Asks all masters now. */
  async look(): Promise<void> {
    await this.#watch.look()
    this.#take()
  }

  get masters(): readonly ClusterNode[] {
    return mastersOf(this.#watch.nodes)
  }

  /** Slots on the move, as their nodes tell. */
  get openSlots(): readonly number[] {
    return this.#watch.nodes.openSlots
  }

  /** Each slot has an owner, and all of these are up. */
  get isWhole(): boolean {
    return this.masters.every(({ isUp }) => isUp) && !this.owner.includes(-1)
  }

  settings(index: number): ServerSettings {
    return settingsAt(this.#seeds[0]!, this.places[index]!)
  }

  /** Places that own slots now. */
  owners(): readonly number[] {
    const found = new Set<number>()
    for (const index of this.owner) if (index >= 0) found.add(index)
    return [...found]
  }

  slotsOf(index: number): readonly number[] {
    const slots: number[] = []
    for (let slot = 0; slot < SLOT_COUNT; slot += 1)
      if (this.owner[slot] === index) slots.push(slot)
    return slots
  }

  replicasAt(index: number): number {
    const { host, port } = this.places[index]!
    const { nodes } = this.#watch.nodes
    const node = nodes.find(({ place }) => place.host === host && place.port === port)
    return nodes.filter(({ masterId, isUp }) => isUp && masterId === node?.id).length
  }

  /** Of those that answer, and are masters. */
  async replication(): Promise<Replication> {
    const found = new Map<number, NodeReplication>()
    await Promise.all(
      this.owners().map(async (index) => {
        const wanted = this.replicasAt(index)
        const info = await this.#watch.replicationAt(this.places[index]!)
        if (info?.get('role') !== 'master') return
        found.set(index, { ...replicasIn(info), wanted })
      }),
    )
    return found
  }

  /** `MOVED 3999 127.0.0.1:6381`, as the place with number `asked` says it. False: it names nobody. */
  moved(text: string, asked: number): boolean {
    const index = this.named(text, asked)
    if (index < 0 || index === asked) return false
    this.owner[Number(text.split(' ')[1])] = index
    return true
  }

  /** Whom `MOVED` or `ASK` names; -1: nobody whom we can find. */
  named(text: string, asked: number): number {
    const found = /^(?:MOVED|ASK) \d+ (.*):(\d+)/.exec(text)
    if (found === null || found[1] === '?') return -1
    const [, host, port] = found
    const named = host === '' ? this.places[asked]!.host : host!
    return this.#indexOf({ host: named, port: Number(port) })
  }

  #take(): void {
    for (const { place, slots } of this.masters) {
      const index = this.#indexOf(place)
      for (const [first, last] of slots) this.owner.fill(index, first, last + 1)
    }
    this.#onChange()
  }

  #indexOf({ host, port }: ServerPlace): number {
    const found = this.places.findIndex((each) => each.host === host && each.port === port)
    if (found >= 0) return found
    this.places.push({ host, port })
    return this.places.length - 1
  }
}

/** Those that have announced no port are no replicas of the cluster. */
function replicasIn(info: InfoFields): Omit<NodeReplication, 'wanted'> {
  const replicas: number[] = []
  for (const [name, text] of info) {
    if (!/^slave\d+$/.test(name) || /\bport=0,/.test(text)) continue
    const at = /state=online,offset=(\d+)/.exec(text)?.[1]
    if (at !== undefined) replicas.push(Number(at))
  }
  return { written: Number(info.get('master_repl_offset')), replicas }
}
