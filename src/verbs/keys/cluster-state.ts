/**
 * The state of all shards of a cluster's archive at one moment, as dumps in a directory that is read as
 * `sync --cluster` leaves it. Each shard's state is built in a scratch server of its own, and the keys that
 * do not count are deleted there: those of slots that the shard does not own at that moment.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  clusterMoment,
  type ClusterMoment,
  type ShardMoment,
} from '../../archive/cluster-moment.js'
import { NODES_FILE, readClusterRecord } from '../../archive/cluster-record.js'
import { fileError } from '../../disk/file-error.js'
import { FileError } from '../../errors.js'
import { deleteKeys } from '../../source/slot-keys.js'
import { mergeReports, type LedgerReport } from '../../target/ledger.js'
import type { SlotRanges } from '../../topology/cluster-nodes.js'
import { sync } from '../sync/run.js'
import { buildState, type BuildOptions, type BuiltState } from './built-state.js'

export interface ClusterStateOptions extends BuildOptions {
  /** Where the dumps go: does not exist yet. */
  output: string
}

export interface ClusterState {
  readonly server: string
  readonly shiftMs: number
  readonly complete: boolean
  readonly ledger: LedgerReport
  /** Keys of slots that their shard did not own: left out. */
  readonly strayKeys: number
}

/** Rejects as `buildState` does. */
export async function buildClusterState(options: ClusterStateOptions): Promise<ClusterState> {
  const { path, output } = options
  const record = readClusterRecord(path)
  if (record === undefined) {
    throw new FileError('ERR_NO_SUCH_FILE', `${path} is no archive of a cluster`)
  }
  const moment = clusterMoment(record, options.until)
  tellOther(options, moment)
  try {
    mkdirSync(output, { mode: 0o700 })
    writeFileSync(join(output, NODES_FILE), nodesOf(moment), { mode: 0o600 })
  } catch (error) {
    throw fileError(output, 'create', error)
  }
  const state = await new ClusterBuild(options, moment).run()
  if (state.strayKeys > 0) {
    const message = `${state.strayKeys} keys are left out: their slots were of another shard`
    options.onEvent?.({ event: 'warning', message })
  }
  return state
}

function tellOther({ until, onEvent }: ClusterStateOptions, { until: now }: ClusterMoment): void {
  if (now === until || now === undefined || 'offset' in now) return
  const time = new Date(now.unixMs).toISOString()
  const message = `not all shards were there then: this is the state of ${time}, the last one that is whole`
  onEvent?.({ event: 'warning', message })
}

class ClusterBuild {
  readonly #options: ClusterStateOptions
  readonly #moment: ClusterMoment
  /** Still needed: which keys the owners of slots on the move have is not known yet. */
  readonly #open: { readonly index: number; readonly state: BuiltState }[] = []
  readonly #done: Omit<BuiltState, 'server'>[] = []
  /** In slots on the move, by database: the keys that their new owner has. */
  readonly #moved = new Set<string>()
  #server = ''
  #strayKeys = 0

  constructor(options: ClusterStateOptions, moment: ClusterMoment) {
    this.#options = options
    this.#moment = moment
  }

  async run(): Promise<ClusterState> {
    const { shards, second } = this.#moment
    const moving = new Set(second)
    try {
      for (const [index, shard] of shards.entries()) {
        const { path, onEvent } = this.#options
        const state = await buildState({
          ...this.#options,
          path: join(path, shard.directory),
          until: shard.until,
          onEvent: ({ message }) =>
            onEvent?.({ event: 'warning', message: `${shard.directory}: ${message}` }),
        })
        this.#open.push({ index, state })
        this.#server = state.server.description
        await this.#deleteStrays(index, state)
        if (!moving.has(index)) await this.#take()
      }
      while (this.#open.length > 0) {
        const { index, state } = this.#open.at(-1)!
        await deleteKeys(
          state.server.settings,
          (key, slot, dbnum) => second[slot] === index && this.#moved.has(nameOf(key, dbnum)),
          this.#options.signal,
        )
        await this.#take()
      }
    } finally {
      await Promise.all(this.#open.map(async ({ state }) => await state.server.stop()))
    }
    const shifts = new Set(this.#done.map(({ shiftMs }) => shiftMs))
    return {
      server: this.#server,
      shiftMs: [...shifts][0] ?? 0,
      complete: this.#done.every(({ complete }) => complete),
      ledger: mergeReports(this.#done.map(({ ledger }) => ledger)),
      strayKeys: this.#strayKeys,
    }
  }

  async #deleteStrays(index: number, { server }: BuiltState): Promise<void> {
    const { owners, second } = this.#moment
    this.#strayKeys += await deleteKeys(
      server.settings,
      (key, slot, dbnum) => {
        if (owners[slot] === index) {
          if (second[slot] !== -1) this.#moved.add(nameOf(key, dbnum))
          return false
        }
        return second[slot] !== index
      },
      this.#options.signal,
    )
  }

  /** The last one that is open, into its dump. */
  async #take(): Promise<void> {
    const { index, state } = this.#open.at(-1)!
    const { output, signal } = this.#options
    await sync(state.server.settings, {
      output: join(output, fileOf(this.#moment.shards[index]!)),
      retries: 0,
      signal,
    })
    await state.server.stop()
    this.#open.pop()
    this.#done.push(state)
  }
}

function nameOf(key: Buffer, dbnum: number): string {
  return `${dbnum} ${key.toString('latin1')}`
}

function fileOf({ shard }: ShardMoment): string {
  return `${shard}.rdb`
}

/** As `redis-cli --cluster backup` has it, as far as a reader of the dumps needs it. */
function nodesOf({ shards, owners }: ClusterMoment): string {
  const rows = shards.map(({ shard }, index) => {
    const slots: [number, number][] = []
    for (let slot = 0; slot < owners.length; slot += 1) {
      if (owners[slot] !== index) continue
      const last = slots.at(-1)
      if (last?.[1] === slot - 1) last[1] = slot
      else slots.push([slot, slot])
    }
    return { name: shard, slots: slots satisfies SlotRanges }
  })
  return `${JSON.stringify(rows)}\n`
}
