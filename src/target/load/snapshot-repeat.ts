/**
 * Batches made of keys of another batch: to try again what the target could not take for the
 * moment, to leave out what is there already, and to clear away what may be half written.
 */
import { Buffer } from 'node:buffer'
import { CommandEncoder } from '../../resp/encoder.js'
import { argumentText, frameEnd } from '../server/resp-frames.js'
import { firstOwnFrame, keyNameBytes, SnapshotBatch } from './snapshot-batch.js'
import type { PipelinedBatch } from '../server/target-connection.js'

/** The given keys again, each from its first command; with `clear` a DEL stands in front. */
export function batchOfKeys(
  source: SnapshotBatch,
  keys: Iterable<number>,
  { clear }: { clear: boolean },
): SnapshotBatch {
  const encoder = new CommandEncoder(1 << 16)
  const batch = new SnapshotBatch()
  let selected = -1
  let replies = 0
  for (const key of keys) {
    const bytes = source.bytesOfKey(key)
    const db = source.dbOf(key)
    if (db !== selected) {
      encoder.begin(2).ascii('SELECT').integer(db)
      selected = db
      replies += 1
    }
    if (clear) {
      encoder.begin(2).ascii('DEL').bulk(keyNameBytes(bytes))
      replies += 1
    }
    const own = firstOwnFrame(bytes)
    encoder.raw(bytes, own)
    replies += frameCount(bytes, own)
    batch.addKey(encoder.length, replies, db, source.typeOf(key), source.countsOf(key)!)
  }
  batch.addChunk(Buffer.from(encoder.view()))
  batch.isRepeat = source.isRepeat
  batch.attempt = source.attempt
  batch.close()
  return batch
}

/** Which of the keys are there: the integer answers are kept in order. */
export class CheckBatch implements PipelinedBatch {
  expectedReplies = 0
  readonly isClosed = true
  readonly bytes: Buffer
  readonly #source: SnapshotBatch
  readonly #keyOfReply: number[] = []
  readonly #existing = new Set<number>()
  error: string | undefined

  constructor(source: SnapshotBatch) {
    this.#source = source
    const encoder = new CommandEncoder(1 << 16)
    let selected = -1
    for (let key = 0; key < keysIn(source); key += 1) {
      const db = source.dbOf(key)
      if (db !== selected) {
        encoder.begin(2).ascii('SELECT').integer(db)
        selected = db
        this.#keyOfReply.push(-1)
      }
      encoder.begin(2).ascii('EXISTS').bulk(nameBytes(source, key))
      this.#keyOfReply.push(key)
    }
    this.expectedReplies = this.#keyOfReply.length
    this.bytes = Buffer.from(encoder.view())
  }

  onInteger(reply: number, value: number): void {
    const key = this.#keyOfReply[reply]
    if (key !== undefined && key >= 0 && value !== 0) this.#existing.add(key)
  }

  onError(_reply: number, _element: number, text: Uint8Array): void {
    this.error ??= Buffer.from(text).toString('utf8')
  }

  get existing(): ReadonlySet<number> {
    return this.#existing
  }

  get source(): SnapshotBatch {
    return this.#source
  }
}

/** DEL of the keys of a batch that may be half written, in front of sending it again. */
export class ClearBatch implements PipelinedBatch {
  expectedReplies = 0
  readonly isClosed = true
  readonly bytes: Buffer

  /** `restored`: also keys that come by RESTORE; without, only those built by commands. */
  constructor(source: SnapshotBatch, { restored }: { restored: boolean }) {
    const encoder = new CommandEncoder(1 << 16)
    let selected = -1
    for (let key = 0; key < keysIn(source); key += 1) {
      if (!restored && isRestored(source, key)) continue
      const db = source.dbOf(key)
      if (db !== selected) {
        encoder.begin(2).ascii('SELECT').integer(db)
        selected = db
        this.expectedReplies += 1
      }
      encoder.begin(2).ascii('DEL').bulk(nameBytes(source, key))
      this.expectedReplies += 1
    }
    this.bytes = Buffer.from(encoder.view())
  }

  onError(): void {
    // What cannot be deleted shows when the key itself is written.
  }
}

/** Keys of the batch, the one that still grows included. */
function keysIn(batch: SnapshotBatch): number {
  return batch.isClosed ? batch.keyCount : batch.keyCount + 1
}

function nameBytes(batch: SnapshotBatch, key: number): Buffer {
  return keyNameBytes(key < batch.keyCount ? batch.bytesOfKey(key) : batch.openKeyBytes())
}

function isRestored(batch: SnapshotBatch, key: number): boolean {
  const bytes = key < batch.keyCount ? batch.bytesOfKey(key) : batch.openKeyBytes()
  return argumentText(bytes, firstOwnFrame(bytes), 0) === 'RESTORE'
}

function frameCount(bytes: Uint8Array, from: number): number {
  let count = 0
  for (let at = from; at < bytes.length; at = frameEnd(bytes, at)) count += 1
  return count
}
