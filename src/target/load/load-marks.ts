/**
 * How a load finds out what a target still has that was restarted, or thrown back to an older
 * state: behind each batch of keys a connection writes how many it has sent. A server executes one
 * connection's commands in their order, and what it has on disk is a beginning of what it has
 * executed: where the mark of a batch is there, so is the batch.
 *
 * The marks are strings of their own in db 0, one a connection. The end of the load removes them;
 * what a killed run leaves goes by itself after a day. Where they cannot be written (a narrow ACL),
 * a restart during the load counts as a loss.
 */
import { Buffer } from 'node:buffer'
import { TargetError } from '../../errors.js'
import { CommandEncoder } from '../../resp/encoder.js'
import { CHECKPOINT_DB } from '../checkpoint.js'
import { ReplyError, replyText, type Reply } from '../server/reply-reader.js'
import type { SnapshotBatch } from './snapshot-batch.js'
import type { PipelinedBatch, TargetConnection } from '../server/target-connection.js'

const LIFE_SECONDS = 86_400
/** Connections that a load may have. */
export const MAX_LANES = 1000

/** What the marks of loads under this checkpoint key are called, with more behind. */
export function marksPrefix(checkpointKey: Uint8Array): Buffer {
  return Buffer.concat([checkpointKey, Buffer.from(':load:')])
}

/** Marks that are in the target, whoever left them. The connection must be in the checkpoint's db. */
export async function findMarks(
  connection: TargetConnection,
  checkpointKey: Uint8Array,
): Promise<Buffer[]> {
  const prefix = marksPrefix(checkpointKey)
    .toString('latin1')
    .replace(/[*?[\]\\^]/g, '\\$&')
  const pattern = Buffer.from(`${prefix}*`, 'latin1')
  const found: Buffer[] = []
  let cursor = '0'
  do {
    const reply = await connection.call('SCAN', cursor, 'MATCH', pattern, 'COUNT', '1000')
    // A server without SCAN, or that does not allow it: they go by themselves.
    if (!Array.isArray(reply)) return found
    const [next, keys] = reply as readonly Reply[]
    cursor = replyText(next!)
    found.push(...((Array.isArray(keys) ? keys : []) as readonly Buffer[]))
  } while (cursor !== '0')
  return found
}

/** Takes away what all loads under this checkpoint key may have left there. */
export async function removeAllMarks(
  connection: TargetConnection,
  checkpointKey: Uint8Array,
): Promise<void> {
  for (const name of await findMarks(connection, checkpointKey)) await connection.call('DEL', name)
}

/** Takes away what the process before this one may have left, of however many connections. */
export async function removeMarksOf(
  connection: TargetConnection,
  checkpointKey: Uint8Array,
  owner: string,
): Promise<void> {
  const prefix = marksPrefix(checkpointKey)
  const names = Array.from({ length: MAX_LANES }, (_, lane) =>
    Buffer.concat([prefix, Buffer.from(`${owner}:${lane}`)]),
  )
  await connection.call('SELECT', String(CHECKPOINT_DB))
  await connection.call('DEL', ...names)
}

export class LoadMarks {
  readonly #keys: readonly Buffer[]
  /** By connection: number of the last batch sent. */
  readonly #sent: number[]
  /** The last mark that the target has confirmed, and whether a later one was refused. */
  readonly #confirmed: number[]
  readonly #refused: boolean[]

  /** @param owner tells this load from others of the same target */
  constructor(checkpointKey: Uint8Array, owner: string, lanes: number) {
    const prefix = marksPrefix(checkpointKey)
    this.#keys = Array.from({ length: lanes }, (_, lane) =>
      Buffer.concat([prefix, Buffer.from(`${owner}:${lane}`)]),
    )
    this.#sent = Array.from({ length: lanes }, () => 0)
    this.#confirmed = Array.from({ length: lanes }, () => 0)
    this.#refused = Array.from({ length: lanes }, () => false)
  }

  /** The mark to be sent behind a batch. */
  next(lane: number, source: SnapshotBatch): MarkBatch {
    const number = (this.#sent[lane]! += 1)
    return new MarkBatch(this.#keys[lane]!, number, source)
  }

  answered(lane: number, mark: MarkBatch): void {
    this.#refused[lane] = mark.isRefused
    if (!mark.isRefused) this.#confirmed[lane] = mark.number
  }

  /** Rejects with TargetError where something confirmed is not there any more. By default all
   * connections are looked at. The connection must have nothing in flight. */
  async verify(connection: TargetConnection, lane?: number): Promise<void> {
    const lanes = lane === undefined ? this.#keys.keys() : [lane]
    await connection.expect('SELECT', String(CHECKPOINT_DB))
    for (const each of lanes) {
      const confirmed = this.#confirmed[each]!
      if (confirmed === 0 && !this.#refused[each]!) continue
      const reply = this.#refused[each]!
        ? undefined
        : await connection.call('GET', this.#keys[each]!)
      const found =
        reply === undefined || reply === null || reply instanceof ReplyError
          ? 0
          : Number(replyText(reply))
      if (found < confirmed || this.#refused[each]!) throw lostWrites()
    }
  }

  async remove(connection: TargetConnection): Promise<void> {
    await connection.call('SELECT', String(CHECKPOINT_DB))
    await connection.call('DEL', ...this.#keys)
  }
}

/** SELECT and the mark itself, behind a batch that counts as answered with it. */
export class MarkBatch implements PipelinedBatch {
  readonly expectedReplies = 2
  readonly isClosed = true
  readonly number: number
  readonly source: SnapshotBatch
  readonly bytes: Buffer
  isRefused = false

  constructor(key: Buffer, number: number, source: SnapshotBatch) {
    this.number = number
    this.source = source
    const encoder = new CommandEncoder(128)
    encoder.begin(2).ascii('SELECT').integer(CHECKPOINT_DB)
    encoder.begin(4).ascii('SETEX').bulk(key).integer(LIFE_SECONDS).integer(number)
    this.bytes = Buffer.from(encoder.view())
  }

  onError(): void {
    this.isRefused = true
  }
}

function lostWrites(): TargetError {
  return new TargetError(
    'ERR_TARGET_RESTARTED',
    'the target was restarted, or thrown back, and has lost some of what it had confirmed',
    { hint: "run again, with `onConflict: 'replace'` or `emptyTarget`" },
  )
}
