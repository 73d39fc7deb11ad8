/**
 * What the stream of a shard tells of slots that come and go (reference: the three ways in which servers
 * move them). Who reads all shards learns from it when to ask how far the others are.
 *
 *   RESTORE-ASKING k …                                         a key came, by MIGRATE
 *   CLUSTER SYNCSLOTS CONF ASM-TASK T:<from>:<to>:import:completed:0-9 20-29      Redis 8.4
 *                                                        connecting, failed
 *   CLUSTER SYNCSLOTS ESTABLISH SOURCE <from> NAME J SLOTSRANGE 0 9               Valkey 9.0
 *   CLUSTER SYNCSLOTS FINISH STATE SUCCESS NAME J …
 *   TRIMSLOTS RANGES 1 0 9, CLUSTER FLUSHSLOT 7                keys are deleted, and not named
 */
import { isArg } from '../resp/command-table.js'
import type { CommandDecoder } from '../resp/decoder.js'
import { SLOT_COUNT, type SlotRanges } from './cluster-nodes.js'
import { keySlot } from './key-slot.js'

export type SlotSign =
  /** Their keys begin to come; until all of them are here, the other node has them. */
  | { readonly kind: 'coming'; readonly slots: SlotRanges; readonly from: string }
  /** They do not come: what has come of them is deleted again. */
  | { readonly kind: 'failed'; readonly slots: SlotRanges }
  /** One key of the slot is here now. */
  | { readonly kind: 'key'; readonly slots: SlotRanges }
  /** All of them are, and no other node has them; `from` had them by its id. */
  | { readonly kind: 'slots'; readonly slots: SlotRanges; readonly from: string }
  /** Their keys are deleted. */
  | { readonly kind: 'deleted'; readonly slots: SlotRanges }

export class SlotSigns {
  /** Of imports under way, by the names of the jobs. */
  readonly #jobs = new Map<string, { slots: SlotRanges; from: string }>()

  /** Undefined: nothing of the kind. */
  read(command: CommandDecoder): SlotSign | undefined {
    if (isArg(command, 0, 'RESTORE-ASKING') && command.argc > 1) {
      const slot = keySlot(command.arg(1))
      return { kind: 'key', slots: [[slot, slot]] }
    }
    if (isArg(command, 0, 'TRIMSLOTS')) return deleted(rangesFrom(command, 3))
    if (!isArg(command, 0, 'CLUSTER') || command.argc < 3) return undefined
    if (isArg(command, 1, 'FLUSHSLOT')) {
      const slot = Number(text(command, 2))
      return deleted(isSlot(slot) ? [[slot, slot]] : [])
    }
    return isArg(command, 1, 'SYNCSLOTS') ? this.#sync(command) : undefined
  }

  #sync(command: CommandDecoder): SlotSign | undefined {
    if (isArg(command, 2, 'CONF') && command.argc > 4 && isArg(command, 3, 'ASM-TASK')) {
      const found = /^[^:]*:([^:]*):[^:]*:import:([a-z]+):([\d -]+)$/.exec(text(command, 4))
      return found === null ? undefined : importSign(found[2]!, rangesOf(found[3]!), found[1]!)
    }
    if (isArg(command, 2, 'ESTABLISH')) {
      const name = valueOf(command, 'NAME')
      const at = placeOf(command, 'SLOTSRANGE')
      const from = valueOf(command, 'SOURCE') ?? ''
      if (name === undefined || at < 0) return undefined
      const slots = rangesFrom(command, at + 1)
      this.#jobs.set(name, { slots, from })
      return slots.length === 0 ? undefined : { kind: 'coming', slots, from }
    }
    if (!isArg(command, 2, 'FINISH')) return undefined
    const name = valueOf(command, 'NAME') ?? ''
    const job = this.#jobs.get(name)
    this.#jobs.delete(name)
    if (job === undefined) return undefined
    const isDone = valueOf(command, 'STATE') === 'SUCCESS'
    return isDone ? arrived(job.slots, job.from) : { kind: 'failed', slots: job.slots }
  }
}

/** `0-9 20`; what is no range is left out. */
export function rangesOf(words: string): SlotRanges {
  return words.split(/[ ,]+/).flatMap((each) => {
    const found = /^(\d+)(?:-(\d+))?$/.exec(each)
    const [first, last] = [Number(found?.[1]), Number(found?.[2] ?? found?.[1])]
    return isSlot(first) && isSlot(last) ? [[first, last] as const] : []
  })
}

/** From argument `at` on, pairs of a first and a last slot, as far as they are such. */
function rangesFrom(command: CommandDecoder, at: number): SlotRanges {
  const ranges: (readonly [number, number])[] = []
  for (let i = at; i + 1 < command.argc; i += 2) {
    const [first, last] = [Number(text(command, i)), Number(text(command, i + 1))]
    if (!isSlot(first) || !isSlot(last)) break
    ranges.push([first, last])
  }
  return ranges
}

function deleted(slots: SlotRanges): SlotSign | undefined {
  return slots.length === 0 ? undefined : { kind: 'deleted', slots }
}

/** Of an atomic migration of Redis, by the state that is told. */
function importSign(state: string, slots: SlotRanges, from: string): SlotSign | undefined {
  if (slots.length === 0) return undefined
  if (state === 'connecting') return { kind: 'coming', slots, from }
  if (state === 'completed') return arrived(slots, from)
  return state === 'failed' || state === 'canceled' ? { kind: 'failed', slots } : undefined
}

function arrived(slots: SlotRanges, from: string): SlotSign | undefined {
  return slots.length === 0 ? undefined : { kind: 'slots', slots, from }
}

function valueOf(command: CommandDecoder, word: string): string | undefined {
  const at = placeOf(command, word)
  return at > 0 && at + 1 < command.argc ? text(command, at + 1) : undefined
}

function placeOf(command: CommandDecoder, word: string): number {
  for (let i = 3; i < command.argc; i += 1) if (isArg(command, i, word)) return i
  return -1
}

function text(command: CommandDecoder, i: number): string {
  return command.arg(i).toString('latin1')
}

function isSlot(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < SLOT_COUNT
}
