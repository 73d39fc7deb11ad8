/**
 * How far a replay has come in a cluster. A transaction must stay in one slot there, so each slot has a
 * checkpoint of its own, a hash beside its data:
 *
 *   <checkpoint key>:{<tag of the slot>}    <run>[:<stream>] → the next byte of the stream that is not applied
 *
 * It moves with its slot and fails over with its data. The checkpoint under the plain key says where to
 * read on from: it lags behind all of them, by some seconds, so that a failover that has lost the last
 * writes finds it in the past. `slots` in it is what this file reads and writes.
 */
import { Buffer } from 'node:buffer'
import { SLOT_COUNT } from '../../topology/cluster-nodes.js'
import { slotTags } from '../../topology/key-slot.js'

export interface SlotMark {
  /** By it the fields of this replay are told from those of others. */
  run: string
  /** A slot without a checkpoint has all up to here. */
  floor: number
  /** Each slot had a checkpoint written at the floor: one that has none was lost. */
  isWhole: boolean
  /** Commands without keys are done up to here. */
  keyless: number
  /** A FLUSHALL that ends here was begun when all slots were there; -1: none. */
  pending: number
}

export function formatMark(mark: SlotMark): string {
  return JSON.stringify(mark)
}

/** Undefined: not what we wrote. */
export function parseMark(text: string | undefined): SlotMark | undefined {
  try {
    const { run, floor, isWhole, keyless, pending } = JSON.parse(text ?? '') as Partial<SlotMark>
    if (run === undefined || floor === undefined) return undefined
    return {
      run,
      floor,
      isWhole: isWhole === true,
      keyless: keyless ?? -1,
      pending: pending ?? -1,
    }
  } catch {
    return undefined
  }
}

/** The names of the slots' checkpoints. */
export class SlotKeys {
  readonly #prefix: Buffer
  readonly #frames = new Array<Buffer | undefined>(SLOT_COUNT)

  constructor(checkpointKey: Uint8Array) {
    this.#prefix = Buffer.from(checkpointKey)
  }

  key(slot: number): Buffer {
    return Buffer.concat([this.#prefix, Buffer.from(`:{${slotTags()[slot]!}}`)])
  }

  /** A key of ours in the slot, for a while. */
  scratch(slot: number, index: number): Buffer {
    return Buffer.concat([this.#prefix, Buffer.from(`:operand:{${slotTags()[slot]!}}:${index}`)])
  }

  /** The same as an argument of a command. */
  bulk(slot: number): Buffer {
    const found = this.#frames[slot]
    if (found !== undefined) return found
    const key = this.key(slot)
    const made = Buffer.concat([Buffer.from(`$${key.length}\r\n`), key, Buffer.from('\r\n')])
    this.#frames[slot] = made
    return made
  }
}
