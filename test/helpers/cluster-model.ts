/** A cluster in memory: what its shards' streams hold while clients write and slots move, in all three ways.
 * Values are lists; each key has its numbers in order, so that what is lost, doubled or out of order shows. */
import { encodeCommand } from '../../src/resp/encoder.js'
import { keySlot } from '../../src/topology/key-slot.js'

export type Random = () => number
export type Way = 'classic' | 'task' | 'job'

export interface ModelShard {
  readonly id: string
  readonly keys: Map<string, string[]>
  stream: Buffer[]
  length: number
}

interface Move {
  readonly way: Way
  readonly slot: number
  readonly from: ModelShard
  readonly to: ModelShard
  readonly name: string
  readonly willFail: boolean
  /** Of the slot, when it began: still to be copied. */
  copying: string[]
}

export interface ModelOptions {
  shards: number
  ways: readonly Way[]
  /** Keys are deleted, and written anew: in a slot that moves key by key by its next owner. */
  deletes: boolean
}

export class ClusterModel {
  readonly shards: ModelShard[]
  readonly owners = new Map<number, ModelShard>()
  readonly moves = new Map<number, Move>()
  /** Keys that their former owner still has, and deletes when it likes. */
  readonly #leftovers: { shard: ModelShard; key: string }[] = []
  readonly #random: Random
  readonly #slots: readonly number[]
  readonly #keysOf = new Map<number, readonly string[]>()
  #number = 0
  /** How often a slot was looked at since it moved last. */
  readonly #looks = new Map<number, number>()
  readonly #options: ModelOptions

  constructor(random: Random, tags: readonly string[], options: ModelOptions) {
    const { shards } = options
    this.#random = random
    this.#options = options
    this.shards = Array.from({ length: shards }, (_, i) => ({
      ...{ id: String.fromCharCode(97 + i).repeat(40), keys: new Map(), stream: [], length: 0 },
    }))
    this.#slots = tags.map((tag) => keySlot(Buffer.from(tag)))
    for (const [i, slot] of this.#slots.entries()) {
      this.owners.set(slot, this.shards[i % shards]!)
      this.#keysOf.set(
        slot,
        [1, 2, 3].map((n) => `${n}{${tags[i]!}}`),
      )
      const owner = this.owners.get(slot)!
      for (const key of this.#keysOf.get(slot)!) this.#execute(owner, ['RPUSH', key, '0'])
    }
  }

  get offsets(): Record<string, number> {
    return Object.fromEntries(this.shards.map(({ id, length }) => [id, length]))
  }

  /** Whose the slots are that stand still. */
  look(): ReadonlyMap<number, string> {
    const still = [...this.owners].filter(([slot]) => !this.moves.has(slot))
    for (const [slot] of still) this.#looks.set(slot, (this.#looks.get(slot) ?? 0) + 1)
    return new Map(still.map(([slot, { id }]) => [slot, id]))
  }

  /** Who looked before is no more. */
  forgetLooks(): void {
    this.#looks.clear()
  }

  /** Something happens. */
  step(): void {
    const what = this.#random()
    const slot = this.#pick(this.#slots)
    const move = this.moves.get(slot)
    if (what < 0.7) this.#write(slot)
    else if (what < 0.75) this.#clean()
    else if (move !== undefined) this.#goOn(move)
    else if (what < 0.8) this.#begin(slot, this.#pick(this.#options.ways))
  }

  /** All moves come to their end. */
  finish(): void {
    while (this.moves.size > 0) for (const move of [...this.moves.values()]) this.#goOn(move)
    while (this.#leftovers.length > 0) this.#clean()
  }

  get state(): Map<string, string[]> {
    const state = new Map<string, string[]>()
    for (const [slot, owner] of this.owners) {
      for (const key of this.#keysOf.get(slot)!) {
        const value = owner.keys.get(key)
        if (value !== undefined) state.set(key, value)
      }
    }
    return state
  }

  #write(slot: number): void {
    const key = this.#pick(this.#keysOf.get(slot)!)
    const move = this.moves.get(slot)
    const owner = this.owners.get(slot)!
    const isAsked = move?.way === 'classic' && !owner.keys.has(key)
    const at = isAsked ? move.to : owner
    const isDeleted = this.#options.deletes && this.#random() < 0.15
    if (isDeleted && !at.keys.has(key)) return
    const command = isDeleted ? ['DEL', key] : ['RPUSH', key, String((this.#number += 1))]
    this.#execute(at, command)
    if (move === undefined || move.way === 'classic') return
    // What was copied already is told once more.
    if (!move.copying.includes(key)) this.#execute(move.to, command)
  }

  #begin(slot: number, way: Way): void {
    const from = this.owners.get(slot)!
    // One that nobody saw stand still cannot be told from one that goes on moving.
    if (this.#options.deletes && this.#options.ways.includes('classic')) {
      if ((this.#looks.get(slot) ?? 0) < 3) return
    }
    const to = this.#pick(this.shards.filter((shard) => shard !== from))
    const name = `m${(this.#number += 1)}`
    const copying = this.#keysOf.get(slot)!.filter((key) => from.keys.has(key))
    const willFail = way !== 'classic' && this.#random() < 0.3
    // A leftover of an earlier move is gone before the slot comes back.
    for (const each of this.#leftovers.splice(0)) {
      if (keySlot(Buffer.from(each.key)) === slot) this.#execute(each.shard, ['UNLINK', each.key])
      else this.#leftovers.push(each)
    }
    const move: Move = { way, slot, from, to, name, willFail, copying }
    this.moves.set(slot, move)
    if (way === 'task') this.#sync(to, this.#task(move, 'connecting'))
    if (way === 'job') {
      const range = ['SLOTSRANGE', String(slot), String(slot)]
      this.#sync(to, ['ESTABLISH', 'SOURCE', from.id, 'NAME', name, ...range])
    }
  }

  #goOn(move: Move): void {
    const { way, slot, from, to } = move
    if (way === 'classic') {
      const keys = this.#keysOf.get(slot)!.filter((key) => from.keys.has(key))
      const moved = keys.slice(0, 1 + Math.floor(this.#random() * keys.length))
      for (const key of moved) {
        const payload = JSON.stringify(from.keys.get(key)!)
        this.#execute(to, ['RESTORE-ASKING', key, '0', payload, 'REPLACE'])
      }
      if (moved.length > 0) this.#execute(from, ['DEL', ...moved])
      else this.#end(move)
      return
    }
    const key = move.copying.shift()
    if (key === undefined) {
      this.#end(move)
      return
    }
    // It may be gone meanwhile, or not be what it was: a later command says the rest.
    for (const value of from.keys.get(key) ?? []) this.#execute(to, ['RPUSH', key, value])
  }

  #end(move: Move): void {
    const { way, slot, from, to, name, willFail } = move
    this.moves.delete(slot)
    this.#looks.delete(slot)
    if (way === 'classic') {
      this.owners.set(slot, to)
      return
    }
    const loser = willFail ? to : from
    const keys = this.#keysOf.get(slot)!.filter((key) => loser.keys.has(key))
    if (!willFail) this.owners.set(slot, to)
    if (way === 'task') {
      this.#sync(to, this.#task(move, willFail ? 'failed' : 'completed'))
      for (const key of keys) loser.keys.delete(key)
      this.#append(loser, ['TRIMSLOTS', 'RANGES', '1', String(slot), String(slot)])
      return
    }
    if (willFail) for (const key of keys) this.#execute(to, ['UNLINK', key])
    const state = ['FINISH', 'STATE', willFail ? 'FAILED' : 'SUCCESS', 'NAME', name, 'MESSAGE', '']
    this.#sync(to, state)
    if (!willFail) for (const key of keys) this.#leftovers.push({ shard: from, key })
  }

  #clean(): void {
    const gone = this.#leftovers.shift()
    if (gone !== undefined) this.#execute(gone.shard, ['UNLINK', gone.key])
  }

  #task({ from, to, slot }: Move, state: string): string[] {
    return ['CONF', 'ASM-TASK', `t:${from.id}:${to.id}:import:${state}:${slot}-${slot}`]
  }

  #sync(shard: ModelShard, words: readonly string[]): void {
    this.#append(shard, ['CLUSTER', 'SYNCSLOTS', ...words])
  }

  #execute(shard: ModelShard, command: readonly string[]): void {
    execute(shard.keys, command)
    this.#append(shard, command)
  }

  #append(shard: ModelShard, command: readonly string[]): void {
    const bytes = encodeCommand(...command)
    shard.stream.push(bytes)
    shard.length += bytes.length
  }

  #pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.#random() * list.length)]!
  }
}

export function execute(keys: Map<string, string[]>, [name, ...args]: readonly string[]): void {
  const [key, value] = args as [string, string]
  switch (name) {
    case 'RPUSH':
      keys.set(key, [...(keys.get(key) ?? []), value])
      return
    case 'DEL':
    case 'UNLINK':
      for (const each of args) keys.delete(each)
      return
    case 'RESTORE-ASKING':
      keys.set(key, JSON.parse(args[2]!) as string[])
      return
    default:
      throw new Error(`${name} is not for here`)
  }
}

export function randomOf(seed: number): Random {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}
