/**
 * The checkpoint: one hash in the target that says how far a replay has come. Each transaction of
 * the stream writes it together with what it did, so that it is true whatever breaks: the target
 * has everything up to its offset and nothing behind it. It is what a restarted rrep goes on from.
 *
 *   source   what is replayed: a replid's history, or a file
 *   phase    load: the snapshot is being written · stream · finishing: times are being put right
 *            · stopped: a clean stop, times put right
 *   replid, offset, db     next stream byte wanted, and the source's db there (phase stream)
 *   shift    milliseconds added to all expiries, or 0
 *   empty    1 if the target was empty when the load began: all keys are ours
 *   owner    the rrep process at work: a second one takes over, the first then stops
 *   slots    of a cluster: what its checkpoints by slot are read with (cluster/slot-mark.ts)
 *   epoch    how many have taken over: a lower one than its own tells a process that the target was
 *            thrown back, a higher one that another is at work
 */
import { TargetError } from '../errors.js'
import { ReplyError, replyText, type Reply } from './server/reply-reader.js'
import { refused, type TargetConnection } from './server/target-connection.js'

export const DEFAULT_CHECKPOINT_KEY = 'rrep:checkpoint'
/** Where the key stands, whatever dbs the data goes to. */
export const CHECKPOINT_DB = 0

/** In their order: a target that shows an earlier one than before was thrown back. */
export const CHECKPOINT_PHASES: readonly CheckpointPhase[] = [
  'load',
  'stream',
  'finishing',
  'stopped',
]
export type CheckpointPhase = 'load' | 'stream' | 'finishing' | 'stopped'

export interface Checkpoint {
  source: string
  phase: CheckpointPhase
  replid: string
  nextReplOffset: number
  dbnum: number
  shiftMs: number
  targetWasEmpty: boolean
  owner: string
  epoch: number
  /** Of a source of several streams: how far each is, by its name. `nextReplOffset` then only counts. */
  shards?: ReadonlyMap<string, string> | undefined
  slots?: string | undefined
}

const SHARD_FIELD = 'shard:'

/** The fields of the hash in which the shards stand. */
export function shardFields(shards: ReadonlyMap<string, string> | undefined): readonly string[] {
  return [...(shards ?? [])].flatMap(([id, text]) => [`${SHARD_FIELD}${id}`, text])
}

/** Reads the checkpoint; undefined if there is none. The connection is left in CHECKPOINT_DB. */
export async function readCheckpoint(
  connection: TargetConnection,
  key: Uint8Array,
): Promise<Checkpoint | undefined> {
  await connection.expect('SELECT', String(CHECKPOINT_DB))
  return parseCheckpoint(await connection.expect('HGETALL', key))
}

export function parseCheckpoint(reply: Reply): Checkpoint | undefined {
  if (!Array.isArray(reply) || reply.length === 0) return undefined
  const fields = new Map<string, string>()
  const items = reply as readonly Reply[]
  for (let i = 0; i + 1 < items.length; i += 2) {
    fields.set(replyText(items[i]!), replyText(items[i + 1]!))
  }
  const phase = CHECKPOINT_PHASES.find((each) => each === fields.get('phase'))
  if (phase === undefined) return undefined
  return {
    source: fields.get('source') ?? '',
    phase,
    replid: fields.get('replid') ?? '',
    nextReplOffset: Number(fields.get('offset') ?? -1),
    dbnum: Number(fields.get('db') ?? 0),
    shiftMs: Number(fields.get('shift') ?? 0),
    targetWasEmpty: fields.get('empty') === '1',
    owner: fields.get('owner') ?? '',
    epoch: Number(fields.get('epoch') ?? 0),
    shards: shardsIn(fields),
    ...(fields.has('slots') ? { slots: fields.get('slots')! } : {}),
  }
}

function shardsIn(fields: ReadonlyMap<string, string>): ReadonlyMap<string, string> | undefined {
  const shards = new Map<string, string>()
  for (const [name, text] of fields) {
    if (name.startsWith(SHARD_FIELD)) shards.set(name.slice(SHARD_FIELD.length), text)
  }
  return shards.size === 0 ? undefined : shards
}

/** Writes all of it, outside a transaction: at the change of a phase. */
export async function writeCheckpoint(
  connection: TargetConnection,
  key: Uint8Array,
  checkpoint: Checkpoint,
): Promise<void> {
  await connection.expect('SELECT', String(CHECKPOINT_DB))
  const reply = await connection.call(...checkpointCommand(key, checkpoint))
  if (reply instanceof ReplyError) throw refused('the target', 'HMSET', reply.text)
}

/** All of its fields: a FLUSHALL may have taken the key away. */
export function checkpointCommand(
  key: Uint8Array,
  checkpoint: Checkpoint,
): readonly (string | Uint8Array)[] {
  return [
    ...['HMSET', key, 'source', checkpoint.source, 'phase', checkpoint.phase],
    ...['replid', checkpoint.replid, 'offset', String(checkpoint.nextReplOffset)],
    ...['db', String(checkpoint.dbnum), 'shift', String(checkpoint.shiftMs)],
    ...['empty', checkpoint.targetWasEmpty ? '1' : '0', 'owner', checkpoint.owner],
    ...['epoch', String(checkpoint.epoch), ...shardFields(checkpoint.shards)],
    ...(checkpoint.slots === undefined ? [] : ['slots', checkpoint.slots]),
  ]
}

export async function deleteCheckpoint(
  connection: TargetConnection,
  key: Uint8Array,
): Promise<void> {
  await connection.expect('SELECT', String(CHECKPOINT_DB))
  await connection.expect('DEL', key)
}

/** Throws TargetError where another process has written it since. */
export function refuseTakenOver(found: Checkpoint, expected: Checkpoint): void {
  if (found.owner === expected.owner || found.epoch < expected.epoch) return
  throw new TargetError('ERR_TAKEN_OVER', 'another rrep has taken over this replay', {
    hint: 'two replays into one target need two checkpoints: `checkpointKey`',
  })
}

/** Negative: the first is of an earlier phase. */
export function comparePhases(a: Checkpoint, b: Checkpoint): number {
  return CHECKPOINT_PHASES.indexOf(a.phase) - CHECKPOINT_PHASES.indexOf(b.phase)
}
