/**
 * `nodes.json` of a cluster's archive: which shard is kept in which directory, who owned which slots at
 * which time, and how far each shard must be read where slots changed hands.
 *
 *   DIR/nodes.json
 *   DIR/shard-<id>/appendonlydir/…     an archive as any; redis-server starts on a copy of it
 *
 * The streams of shards are received side by side, and a slot that moves stands in two of them. A hand-over
 * says where slots arrived in B, and what A had written by then.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { AtomicFile } from '../disk/atomic-file.js'
import { errnoOf, fileError } from '../disk/file-error.js'
import { FileError } from '../errors.js'
import type { SlotMove, SlotRanges } from '../topology/cluster-nodes.js'

export const NODES_FILE = 'nodes.json'
export const HANDOVER_STEP_MS = 250
const FORMAT = 'rrep-cluster-archive-1'

export interface ShardRecord {
  /** Of its first master that was seen. */
  id: string
  /** Beside `nodes.json`. */
  directory: string
  /** Its nodes, when they were seen last. */
  members: readonly string[]
  host: string
  port: number
}

/** Who owned what from then on. */
export interface TopologyRecord {
  /** When it was seen, unix ms. */
  unixMs: number
  /** Until then the one before was seen: between the two it changed. */
  sinceMs: number
  owners: readonly { shard: string; slots: SlotRanges }[]
  /** Slots open between two shards. */
  moves: readonly SlotMove[]
  /** Behind a pause, by shard: what arrived up to there lies before what was seen. */
  replOffsets?: Readonly<Record<string, number>> | undefined
}

/** A run went on where another had ended: what was missed came then, from each shard at another time. */
export interface CatchUpRecord {
  fromMs: number
  /** All had come. Missing: the next run goes on with it. */
  toMs?: number
}

export interface HandoverRecord {
  /** When it arrived, unix ms, in steps of HANDOVER_STEP_MS: one a shard, kind and step is kept. */
  unixMs: number
  /** `keys`: some keys of the slots; `slots`: all of them, and the shard owns them now. */
  kind: 'keys' | 'slots'
  shard: string
  /** In its stream. */
  replOffset: number
  slots: SlotRanges
  /** Who applies all shards to one key space applies others up to here first, by shard. None: they
   * were not asked before the run ended. */
  needs: Readonly<Record<string, number>>
}

export interface ClusterRecord {
  format: typeof FORMAT
  /** For people. */
  source: string
  shards: ShardRecord[]
  topology: TopologyRecord[]
  handovers: HandoverRecord[]
  catchUps?: CatchUpRecord[]
}

export function directoryOf(shardId: string): string {
  return `shard-${shardId}`
}

/** What `tail --cluster -o` keeps, as opposed to the dumps of a cluster's shards. */
export function isClusterArchive(path: string): boolean {
  return readClusterRecord(path) !== undefined
}

/** Undefined where there is none, or one of another kind. Throws FileError. */
export function readClusterRecord(dir: string): ClusterRecord | undefined {
  const path = join(dir, NODES_FILE)
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) return undefined
    throw fileError(path, 'read', error)
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (!isObject(value) || value['format'] !== FORMAT) return undefined
  const { shards, topology, handovers, catchUps = [] } = value
  if (
    !isList(shards, isShard) ||
    !isList(catchUps, ({ fromMs }) => typeof fromMs === 'number') ||
    !isList(topology, isTopology) ||
    !isList(handovers, isHandover) ||
    typeof value['source'] !== 'string'
  ) {
    throw new FileError('ERR_ARCHIVE_DAMAGED', `${path} is damaged`, {
      hint: 'the archives of the shards beside it can be read one by one',
      details: { file: path },
    })
  }
  return value as unknown as ClusterRecord
}

/** Writes it whenever something was noted; the directory is this process's own. */
export class ClusterRecorder {
  readonly record: ClusterRecord
  readonly #file: AtomicFile
  #written: Promise<void> = Promise.resolve()
  /** Not begun yet. */
  #next: Promise<void> | undefined

  constructor(dir: string, source: string) {
    const fresh: ClusterRecord = { format: FORMAT, source, shards: [], topology: [], handovers: [] }
    this.record = readClusterRecord(dir) ?? fresh
    this.#file = new AtomicFile(join(dir, NODES_FILE))
  }

  /** On disk when it returns. */
  noteTopology(shards: readonly ShardRecord[], entry: TopologyRecord): void {
    const { topology } = this.record
    const last = topology.at(-1)
    // Which of the hand-overs it includes is said by each of them.
    const isNew = last === undefined || factsOf(last) !== factsOf(entry) || entry.replOffsets
    if (isNew) topology.push(entry)
    this.noteShards(shards)
  }

  /** On disk when it returns. */
  noteShards(shards: readonly ShardRecord[]): void {
    const { record } = this
    for (const shard of shards) {
      const at = record.shards.findIndex(({ id }) => id === shard.id)
      if (at < 0) record.shards.push(shard)
      else record.shards[at] = shard
    }
    this.#file.write(textOf(record))
  }

  /** On disk with what is noted next. Where the one before has no end, it goes on. Returns its begin. */
  beginCatchUp(fromMs: number): number {
    const all = (this.record.catchUps ??= [])
    const last = all.at(-1)
    if (last !== undefined && last.toMs === undefined) return last.fromMs
    all.push({ fromMs })
    return fromMs
  }

  /** It began earlier or later than was known. On disk when it returns. */
  moveCatchUp(fromMs: number): void {
    const last = this.record.catchUps?.at(-1)
    if (last === undefined || last.toMs !== undefined || last.fromMs === fromMs) return
    last.fromMs = fromMs
    this.#file.write(textOf(this.record))
  }

  /** Slots arrived in a shard whose stream was missed for a while. On disk with what is noted next. */
  noteLate(fromMs: number, toMs: number): void {
    const all = (this.record.catchUps ??= [])
    const last = all.at(-1)
    if (last !== undefined && last.toMs === undefined) return
    if (last?.fromMs === fromMs) last.toMs = Math.max(last.toMs!, toMs)
    else all.push({ fromMs, toMs })
  }

  /** On disk when it returns. */
  endCatchUp(shards: readonly ShardRecord[], entry: TopologyRecord): void {
    const last = this.record.catchUps?.at(-1)
    if (last !== undefined) {
      last.toMs = entry.unixMs
      // What changed before that is not known for a moment in front of it.
      last.fromMs = Math.min(last.fromMs, entry.sinceMs)
    }
    this.noteTopology(shards, entry)
  }

  /** Together with what came in the same step. On disk with what is noted or saved next. */
  noteHandover(handover: HandoverRecord): void {
    const { handovers } = this.record
    const same = handovers.findLast(
      (each) =>
        each.unixMs === handover.unixMs &&
        each.shard === handover.shard &&
        each.kind === handover.kind,
    )
    if (same === undefined) {
      handovers.push(handover)
      return
    }
    same.replOffset = Math.max(same.replOffset, handover.replOffset)
    same.slots = joined([...same.slots, ...handover.slots])
    same.needs = largest(same.needs, handover.needs)
  }

  /** On disk when it returns. */
  saveNow(): void {
    this.#file.write(textOf(this.record))
  }

  /** What comes while it is written goes with the next. */
  async save(): Promise<void> {
    this.#next ??= this.#written.then(async () => {
      this.#next = undefined
      const writing = this.#file.writeSoon(textOf(this.record))
      this.#written = writing.catch(() => undefined)
      await writing
    })
    await this.#next
  }
}

/** Sorted, and those that touch as one. */
export function joined(slots: SlotRanges): SlotRanges {
  const all: [number, number][] = []
  for (const [first, last] of [...slots].sort((a, b) => a[0] - b[0])) {
    const before = all.at(-1)
    if (before !== undefined && first <= before[1] + 1) before[1] = Math.max(before[1], last)
    else all.push([first, last])
  }
  return all
}

function largest(
  a: Readonly<Record<string, number>>,
  b: Readonly<Record<string, number>>,
): Record<string, number> {
  const all = { ...a }
  for (const [shard, offset] of Object.entries(b)) all[shard] = Math.max(all[shard] ?? 0, offset)
  return all
}

function factsOf({ owners, moves }: TopologyRecord): string {
  return JSON.stringify([owners, moves])
}

/** A line an entry: short, and looked at with ease. */
function textOf(record: ClusterRecord): string {
  const { format, source, shards, topology, handovers, catchUps } = record
  const list = (name: string, entries: readonly unknown[]): string => {
    const lines = entries.map((each) => `\n    ${JSON.stringify(each)}`).join(',')
    return `  "${name}": [${lines}\n  ]`
  }
  const parts = [
    `  "format": ${JSON.stringify(format)}`,
    `  "source": ${JSON.stringify(source)}`,
    list('shards', shards),
    list('topology', topology),
    list('handovers', handovers),
    ...(catchUps === undefined ? [] : [list('catchUps', catchUps)]),
  ]
  return `{\n${parts.join(',\n')}\n}\n`
}

function isShard(value: Readonly<Record<string, unknown>>): boolean {
  const { id, directory, members } = value
  return (
    typeof id === 'string' &&
    // A name is no path.
    typeof directory === 'string' &&
    /^[\w-]+$/.test(directory) &&
    Array.isArray(members)
  )
}

function isTopology(value: Readonly<Record<string, unknown>>): boolean {
  const { unixMs, sinceMs, owners, moves } = value
  return (
    typeof unixMs === 'number' &&
    typeof sinceMs === 'number' &&
    isList(owners, ({ shard, slots }) => typeof shard === 'string' && isRanges(slots)) &&
    isList(moves, ({ slot }) => typeof slot === 'number')
  )
}

function isHandover(value: Readonly<Record<string, unknown>>): boolean {
  const { unixMs, shard, replOffset, slots, needs } = value
  return (
    typeof unixMs === 'number' &&
    typeof shard === 'string' &&
    typeof replOffset === 'number' &&
    isRanges(slots) &&
    isObject(needs)
  )
}

function isRanges(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    value.every(
      (range: unknown) =>
        Array.isArray(range) && range.length === 2 && range.every(Number.isInteger),
    )
  )
}

function isList(
  value: unknown,
  fits: (entry: Readonly<Record<string, unknown>>) => boolean,
): boolean {
  return Array.isArray(value) && value.every((each) => isObject(each) && fits(each))
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
