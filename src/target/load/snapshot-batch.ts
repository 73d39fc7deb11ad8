/**
 * Commands of some whole keys, about 256 KB of them, on their way to the target: the unit that is
 * sent, answered, and sent again after a loss.
 *
 * For each key the batch knows where its commands end (in bytes and in replies) and which counters
 * it belongs to, in arrays that are reused: an error reply is traced back to its key without
 * anything being made for the keys that go well. Of rows of keys, one command each, it keeps only
 * where they begin; which key is where in one is found from its bytes, once somebody asks. A key larger than the batch stays in one batch,
 * which is then sent in pieces while it still grows.
 */
import { Buffer } from 'node:buffer'
import { TYPE } from '../../rdb/numbers.js'
import { typeTable } from '../../rdb/type-table.js'
import { KIND_NAMES } from '../../rdb/visitor.js'
import { isTransient, type PipelinedBatch } from '../server/target-connection.js'
import { argumentText, frameArgument, frameEnd } from '../server/resp-frames.js'
import type { KeyCounts } from '../ledger.js'

/** What became of one key in a batch. */
export interface KeyTrouble {
  /** Number of the key in the batch. */
  keyIndex: number
  command: string
  /** The error line. */
  text: string
  /** It was not executed and may go through later. */
  transient: boolean
}

/** Pieces of a growing batch are kept for sending again up to this size. */
export const KEPT_BYTES = 32 << 20

/** RESTORE key ttl payload */
const PAYLOAD_ARGUMENT = 3
/** Types that come in rows are the same in both families. */
const TYPES = typeTable('redis')

/** Keys of one command each. */
interface KeyRow {
  firstKey: number
  keys: number
  startByte: number
  endByte: number
  startReply: number
  db: number
  /** By type byte. */
  counts: readonly (KeyCounts | undefined)[]
}

export class SnapshotBatch implements PipelinedBatch {
  expectedReplies = 0
  isClosed = false
  keyCount = 0
  totalBytes = 0
  /** Bytes in the pieces that are no longer kept; then the batch cannot be sent again. */
  droppedBytes = 0
  /** Chunks handed to the connection so far. */
  sentChunks = 0
  /** Sent before, on a connection that broke: some of it may have been executed. */
  isRepeat = false
  /** Attempts for transient errors. */
  attempt = 0
  /** Keys of it must not be there yet: asked before it is sent. */
  mustCheck = false
  readonly troubles: KeyTrouble[] = []
  readonly chunks: Buffer[] = []
  /** Printable name of the key that is too large to keep. */
  bigKeyName = ''
  /** Db of the key that is still being written. */
  openKeyDb = 0
  /** By key; what belongs to rows is filled in by `#unroll`. */
  #keyEndByte = new Float64Array(1024)
  #keyEndReply = new Int32Array(1024)
  #keyDb = new Int32Array(1024)
  readonly #keyCounts: KeyCounts[] = []
  readonly #keyTypes: string[] = []
  /** Rows whose keys are not filled in yet. */
  readonly #rows: KeyRow[] = []
  /** Behind the last key. */
  #endByte = 0
  /** Which counters how many keys belong to. */
  readonly #tallyCounts: KeyCounts[] = []
  readonly #tallyKeys: number[] = []
  #lastTally = 0

  /** Empty again, with its arrays as large as they have grown. */
  reset(): void {
    this.expectedReplies = 0
    this.isClosed = false
    this.keyCount = 0
    this.totalBytes = 0
    this.droppedBytes = 0
    this.sentChunks = 0
    this.isRepeat = false
    this.attempt = 0
    this.mustCheck = false
    this.troubles.length = 0
    this.chunks.length = 0
    this.bigKeyName = ''
    this.openKeyDb = 0
    this.#rows.length = 0
    this.#endByte = 0
    this.#tallyCounts.length = 0
    this.#tallyKeys.length = 0
  }

  /** Takes the bytes over (no copy): they must not change until the batch is answered. */
  addChunk(chunk: Buffer): void {
    this.chunks.push(chunk)
    this.totalBytes += chunk.length
  }

  addKey(endByte: number, endReply: number, db: number, type: string, counts: KeyCounts): void {
    const key = this.keyCount
    this.#room(key + 1)
    this.#keyEndByte[key] = endByte
    this.#keyEndReply[key] = endReply
    this.#keyDb[key] = db
    this.#keyCounts[key] = counts
    this.#keyTypes[key] = type
    this.keyCount = key + 1
    this.expectedReplies = endReply
    this.#endByte = endByte
    this.#tally(counts, 1)
  }

  /** Keys of one command each, up to `endByte`; a SELECT may stand in front. */
  addRow(
    endByte: number,
    endReply: number,
    db: number,
    keys: number,
    counts: readonly (KeyCounts | undefined)[],
    keysByType: Uint32Array,
  ): void {
    this.#rows.push({
      firstKey: this.keyCount,
      keys,
      startByte: this.#endByte,
      endByte,
      startReply: this.expectedReplies,
      db,
      counts,
    })
    this.keyCount += keys
    this.#room(this.keyCount)
    this.expectedReplies = endReply
    this.#endByte = endByte
    for (let type = 0; type < keysByType.length; type += 1) {
      if (keysByType[type]! > 0) this.#tally(counts[type]!, keysByType[type]!)
    }
  }

  /** All of the keys are in the target. */
  countWritten(): void {
    for (let index = 0; index < this.#tallyCounts.length; index += 1) {
      this.#tallyCounts[index]!.written += this.#tallyKeys[index]!
    }
  }

  dbOf(keyIndex: number): number {
    if (keyIndex >= this.keyCount) return this.openKeyDb
    this.#unroll()
    return this.#keyDb[keyIndex]!
  }

  /** Undefined for a key that is still being written. */
  countsOf(keyIndex: number): KeyCounts | undefined {
    if (keyIndex >= this.keyCount) return undefined
    this.#unroll()
    return this.#keyCounts[keyIndex]
  }

  typeOf(keyIndex: number): string {
    if (keyIndex >= this.keyCount) return ''
    this.#unroll()
    return this.#keyTypes[keyIndex]!
  }

  close(): void {
    this.isClosed = true
  }

  get canRepeat(): boolean {
    return this.droppedBytes === 0
  }

  onError(reply: number, _element: number, text: Uint8Array): void {
    const keyIndex = this.keyOfReply(reply)
    const line = Buffer.from(text).toString('utf8')
    // Further errors of one key are consequences of the first.
    const last = this.troubles.at(-1)
    if (last?.keyIndex === keyIndex && !(last.transient && !isTransient(line))) return
    this.troubles.push({
      keyIndex,
      command: this.commandOfReply(keyIndex, reply),
      text: line,
      transient: isTransient(line),
    })
  }

  /** The key whose commands the reply belongs to; `keyCount` for a key still being written. */
  keyOfReply(reply: number): number {
    this.#unroll()
    let low = 0
    let high = this.keyCount
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#keyEndReply[middle]! > reply) high = middle
      else low = middle + 1
    }
    return low
  }

  keyStartByte(keyIndex: number): number {
    if (keyIndex === this.keyCount) return this.#endByte
    this.#unroll()
    return keyIndex === 0 ? 0 : this.#keyEndByte[keyIndex - 1]!
  }

  /** The bytes of a key's commands, joined if they lie in several chunks. */
  bytesOfKey(keyIndex: number): Buffer {
    const startByte = this.keyStartByte(keyIndex)
    return this.#slice(startByte, this.#keyEndByte[keyIndex]!)
  }

  /** What has come of the key that is still being written. */
  openKeyBytes(): Buffer {
    return this.#slice(this.keyStartByte(this.keyCount), this.totalBytes)
  }

  /** Printable. */
  nameOfKey(keyIndex: number): string {
    if (!this.canRepeat || keyIndex >= this.keyCount) return this.bigKeyName
    const bytes = this.bytesOfKey(keyIndex)
    return argumentText(bytes, firstOwnFrame(bytes), keyArgument(bytes, firstOwnFrame(bytes)))
  }

  commandOfReply(keyIndex: number, reply: number): string {
    if (!this.canRepeat || keyIndex >= this.keyCount) return ''
    const bytes = this.bytesOfKey(keyIndex)
    let at = 0
    let from = keyIndex === 0 ? 0 : this.#keyEndReply[keyIndex - 1]!
    for (; from < reply && at < bytes.length; from += 1) at = frameEnd(bytes, at)
    return argumentText(bytes, at, 0)
  }

  #slice(start: number, end: number): Buffer {
    const parts: Buffer[] = []
    let at = 0
    for (const chunk of this.chunks) {
      const from = Math.max(start, at)
      const until = Math.min(end, at + chunk.length)
      if (from < until) parts.push(chunk.subarray(from - at, until - at))
      at += chunk.length
    }
    return parts.length === 1 ? parts[0]! : Buffer.concat(parts)
  }

  /** Most keys are like their neighbour. */
  #tally(counts: KeyCounts, keys: number): void {
    let index = this.#lastTally
    if (this.#tallyCounts[index] !== counts) {
      index = this.#tallyCounts.indexOf(counts)
      if (index < 0) {
        index = this.#tallyCounts.length
        this.#tallyCounts.push(counts)
        this.#tallyKeys.push(0)
      }
      this.#lastTally = index
    }
    this.#tallyKeys[index]! += keys
  }

  /** Fills in the keys of rows, from the frames that they are. */
  #unroll(): void {
    if (this.#rows.length === 0) return
    for (const { firstKey, keys, startByte, endByte, startReply, db, counts } of this.#rows) {
      const bytes = this.#slice(startByte, endByte)
      let at = firstOwnFrame(bytes)
      let reply = at > 0 ? startReply + 1 : startReply
      for (let key = firstKey; key < firstKey + keys; key += 1) {
        const type = typeOfFrame(bytes, at)
        at = frameEnd(bytes, at)
        reply += 1
        this.#keyEndByte[key] = startByte + at
        this.#keyEndReply[key] = reply
        this.#keyDb[key] = db
        this.#keyCounts[key] = counts[type]!
        this.#keyTypes[key] = KIND_NAMES[TYPES[type]!.kind]!
      }
    }
    this.#rows.length = 0
  }

  #room(keys: number): void {
    if (keys <= this.#keyDb.length) return
    const size = Math.max(keys, 2 * this.#keyDb.length)
    const keyEndByte = new Float64Array(size)
    keyEndByte.set(this.#keyEndByte)
    this.#keyEndByte = keyEndByte
    const keyEndReply = new Int32Array(size)
    keyEndReply.set(this.#keyEndReply)
    this.#keyEndReply = keyEndReply
    const keyDb = new Int32Array(size)
    keyDb.set(this.#keyDb)
    this.#keyDb = keyDb
  }
}

/** Behind a SELECT in front of the key's commands. */
export function firstOwnFrame(bytes: Uint8Array): number {
  return argumentText(bytes, 0, 0) === 'SELECT' ? frameEnd(bytes, 0) : 0
}

/** The key is argument 1 of all commands that rebuild a key, save XGROUP and the like. */
function keyArgument(bytes: Uint8Array, at: number): number {
  return /^(XGROUP|OBJECT)$/.test(argumentText(bytes, at, 0)) ? 2 : 1
}

/** Type byte of the value that a SET or a RESTORE of a row brings. */
function typeOfFrame(bytes: Uint8Array, at: number): number {
  if (argumentText(bytes, at, 0) !== 'RESTORE') return TYPE.STRING
  return bytes[frameArgument(bytes, at, PAYLOAD_ARGUMENT)!.start]!
}

/** The raw bytes of the key that a key's commands are about. */
export function keyNameBytes(bytes: Buffer): Buffer {
  const at = firstOwnFrame(bytes)
  const found = frameArgument(bytes, at, keyArgument(bytes, at))
  return found === undefined ? Buffer.alloc(0) : bytes.subarray(found.start, found.end)
}
