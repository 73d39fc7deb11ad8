/**
 * A snapshot that a stream follows, into a cluster: it is read once, and each key goes to whose slot it is,
 * while slots and masters may move. What was refused, or went to a node that has not the slot any
 * more, is written again where it is then, until every slot has had all of its keys from one that kept it.
 */
import { LinkError, ProtocolError, TargetError } from '../../../errors.js'
import { sleep } from '../../../net/waiting.js'
import type { ServerSettings } from '../../../net/server-settings.js'
import { openInput } from '../../../source/source.js'
import { awayMs } from './away.js'
import type { Ledger } from '../../../target/ledger.js'
import { removeAllMarks } from '../../../target/load/load-marks.js'
import { targetEnd } from '../../../target/server/target-probe.js'
import {
  mastersOf,
  SLOT_COUNT,
  type ClusterNodes,
  type SlotRanges,
} from '../../../topology/cluster-nodes.js'
import { readWholeCluster, settingsAt, type ClusterSeeds } from '../../../topology/cluster.js'
import { slotSet } from '../../../topology/key-slot.js'
import type { ShardTarget } from '../options.js'
import { interruptedLoad } from '../interrupted-load.js'
import { ReplaySession } from '../session.js'
import { SnapshotFlow } from '../snapshot-flow.js'
import { hasChecksum } from '../source-check.js'

export interface ClusterLoad {
  path: string
  /** For messages. */
  name: string
  /** Keys that are there are of an earlier attempt. */
  replaceOwn: boolean
  /** Told with the progress. */
  lag?: (() => { lagBytes: number; lagMs: number }) | undefined
  isPreamble?: boolean
  /** Keys of other slots are left out. */
  slots?: SlotRanges
}

export interface Loaded {
  replDb: number
}

/** Slots that are still to be loaded. `isAgain`: their keys were counted. */
interface Work {
  readonly slots: Uint8Array
  readonly isAgain: boolean
}

type Seen = ClusterNodes & { readonly via: ServerSettings }

const CONNECTIONS = 6
const LOOK_MS = 200
const MAX_ROUNDS = 100
/** What a node says of keys that are not its own, or not any more. */
const ELSEWHERE = /^(MOVED|ASK|TRYAGAIN|CLUSTERDOWN|READONLY|MASTERDOWN|LOADING)\b/

export async function loadIntoCluster(
  session: ReplaySession,
  seeds: ClusterSeeds,
  load: ClusterLoad,
): Promise<Loaded> {
  const all = slotSet(load.slots ?? [[0, SLOT_COUNT - 1]])
  let work: Work[] = [{ slots: all, isAgain: false }]
  const run = new LoadRun(session, load)
  for (let round = 1; work.length > 0; round += 1) {
    if (round > MAX_ROUNDS) throw moves()
    const before = await readWholeCluster(seeds, awayMs(session.retries), session.options.signal)
    const outcomes = await Promise.all(
      work.map(async (each) => await run.part(each, partsOf(each, before))),
    )
    const after = await readWholeCluster(seeds, awayMs(session.retries), session.options.signal)
    const kept = keptSlots(before, after)
    work = outcomes.flatMap((outcome) => run.judge(outcome, kept))
    if (work.length === 0) break
    if (!run.mayRepeat) throw interruptedLoad()
    session.event({
      event: 'warning',
      message:
        'slots or masters of the target moved while it was loaded: their keys are written again',
    })
    await sleep(LOOK_MS, session.options.signal)
  }
  if (load.replaceOwn || run.hasBroken) {
    const { checkpointKey, streamWriter } = session
    await streamWriter?.onEach(
      async (connection) => await removeAllMarks(connection, checkpointKey),
    )
  }
  session.event({ event: 'loaded', keys: session.ledger.totals.written })
  return { replDb: run.replDb }
}

type Part = ShardTarget['nodes'][number]

interface Outcome {
  readonly work: Work
  /** Undefined: it was not finished. */
  readonly ledger: Ledger | undefined
  /** Of keys that were refused. */
  readonly refused: readonly number[]
  /** Nodes that failed. */
  readonly lost: readonly Part[]
}

class LoadRun {
  replDb = 0
  /** A part was not finished: what it had to prove itself with is still there. */
  hasBroken = false
  readonly #session: ReplaySession
  readonly #load: ClusterLoad
  #parts = 0

  constructor(session: ReplaySession, load: ClusterLoad) {
    this.#session = session
    this.#load = load
  }

  /** All keys that are met in the target are ours, or may go. */
  get mayRepeat(): boolean {
    return this.#session.targetWasEmpty || this.#session.options.onConflict === 'replace'
  }

  async part(work: Work, nodes: readonly Part[]): Promise<Outcome> {
    const { options } = this.#session
    const isFirst = this.#parts === 0
    this.#parts += 1
    const isAgain = work.isAgain || this.#load.replaceOwn
    const lost = new Set<Part>()
    const load = new ReplaySession({
      ...options,
      target: nodes[0]!.server,
      intoCluster: undefined,
      emptyTarget: false,
      onConflict: isAgain ? 'replace' : options.onConflict,
      checkpointKey: `${this.#session.checkpointKey.toString()}:load`,
      connections: Math.max(1, Math.floor((options.connections ?? CONNECTIONS) / nodes.length)),
      shard: {
        slots: work.slots,
        nodes,
        mayLose: (error, node) => {
          if (passes(error)) lost.add(nodes[node]!)
          return passes(error)
        },
      },
      onProgress: isFirst ? options.onProgress : undefined,
      onEvent: (event) => {
        if (event.event === 'link-lost') this.#session.event(event)
      },
    })
    try {
      const runIds = await this.#run(load, isAgain, isFirst)
      for (const [index, node] of nodes.entries()) {
        const end = await targetEnd(node.server)
        if (runIds[index] === undefined || end?.runId !== runIds[index]) lost.add(node)
      }
      const { ledger } = load
      return { work, ledger, refused: refusedSlots(ledger), lost: [...lost] }
    } catch (error) {
      await load.settle(error)
      if (!passes(error)) throw error
      return { work, ledger: undefined, refused: [], lost: nodes }
    } finally {
      load.close()
    }
  }

  /** Resolves with the run_ids of the nodes. */
  async #run(
    node: ReplaySession,
    isAgain: boolean,
    isFirst: boolean,
  ): Promise<ReplaySession['runIds']> {
    const session = this.#session
    const { path, name, lag, isPreamble } = this.#load
    await node.meetTarget()
    node.targetWasEmpty = session.targetWasEmpty
    node.expiry.shiftMs = session.expiry.shiftMs
    node.expiry.isImportMode = session.expiry.isImportMode
    const { identity, signal } = session.options
    const input = await openInput(path, { identity, signal })
    try {
      const flow = await SnapshotFlow.open(node, input, {
        name,
        replaceOwn: isAgain,
        streamFollows: true,
        validate: isPreamble === true || !hasChecksum(input),
      })
      await flow.run({
        lag: isFirst ? lag : undefined,
        behind: async () => await Promise.resolve(false),
      })
      this.replDb = flow.replDb
      session.noteSource(flow.sourceVersion)
      if (node.expiry.fieldsMoved) session.expiry.fieldsMoved = true
      return node.runIds
    } finally {
      input.close()
    }
  }

  /** What of it is to be done again. */
  judge({ work, ledger, refused, lost }: Outcome, kept: Uint8Array): readonly Work[] {
    if (lost.length > 0) this.hasBroken = true
    // Not known which.
    if (ledger === undefined || (ledger.failuresOmitted > 0 && refused.length > 0)) return [work]
    const again = new Uint8Array(SLOT_COUNT)
    for (const [slot, wanted] of work.slots.entries()) {
      if (wanted === 1 && kept[slot] === 0) again[slot] = 1
    }
    for (const slot of refused) again[slot] = 1
    for (const { slots } of lost) {
      for (const [slot, wanted] of slots.entries()) if (wanted === 1) again[slot] = 1
    }
    // They count when they are read, and are written later.
    if (lost.length > 0) ledger.confirmKeys()
    const isElsewhere = ({ reason }: { reason: string }): boolean => ELSEWHERE.test(reason)
    this.#session.ledger.absorb(ledger, { isAgain: work.isAgain, isComing: isElsewhere })
    return again.includes(1) ? [{ slots: again, isAgain: true }] : []
  }
}

/** By owner. */
function partsOf({ slots }: Work, { via, ...nodes }: Seen): readonly Part[] {
  return mastersOf(nodes).flatMap(({ place, slots: owned }) => {
    const own = new Uint8Array(SLOT_COUNT)
    for (const [first, last] of owned) own.set(slots.subarray(first, last + 1), first)
    return own.includes(1) ? [{ server: settingsAt(via, place), slots: own }] : []
  })
}

/** By slot: 1 where it stayed with its owner, and was not on the move. */
function keptSlots(before: Seen, after: Seen): Uint8Array {
  const kept = new Uint8Array(SLOT_COUNT)
  const owners = ownersOf(before)
  for (const [slot, owner] of ownersOf(after).entries()) {
    if (owner !== undefined && owners[slot] === owner) kept[slot] = 1
  }
  for (const slot of [...before.openSlots, ...after.openSlots]) kept[slot] = 0
  return kept
}

function ownersOf(nodes: ClusterNodes): readonly (string | undefined)[] {
  const owners = new Array<string | undefined>(SLOT_COUNT).fill(undefined)
  for (const { id, slots } of mastersOf(nodes)) {
    for (const [first, last] of slots) owners.fill(id, first, last + 1)
  }
  return owners
}

/** `MOVED 3999 …` says of which slot. */
function refusedSlots(ledger: Ledger): readonly number[] {
  return ledger.failures.flatMap(({ reason }) => {
    const found = /^(?:MOVED|ASK) (\d+)/.exec(reason)
    return found === null ? [] : [Number(found[1])]
  })
}

function passes(error: unknown): boolean {
  if (error instanceof LinkError) return error.retriable
  if (error instanceof TargetError) {
    return [
      'ERR_TARGET_RESTARTED',
      'ERR_TARGET_REPLICA',
      'ERR_TARGET_LOST_IN_KEY',
      'ERR_TARGET_REFUSES',
    ].includes(error.code)
  }
  return error instanceof ProtocolError && error.code === 'ERR_CLUSTER_CHANGES'
}

function moves(): ProtocolError {
  return new ProtocolError(
    'ERR_CLUSTER_CHANGES',
    'slots or masters of the target move all the time',
    {
      retriable: true,
      hint: 'wait until the migration of slots is over',
    },
  )
}
