/**
 * Follows a replication stream without understanding it: where a command and a transaction ends,
 * and which db is selected there. A relay may stop at any byte; who begins at its offset, or on an
 * empty snapshot of it, must begin at a command and in a db that is known.
 */
import { isArg } from '../../resp/command-table.js'
import { CommandDecoder, nameTable, RESP } from '../../resp/decoder.js'

/** Commands above this are followed by their pieces and never held. */
const PIECE_BYTES = 64 << 10
const FOLLOWED = nameTable(['SELECT', 'MULTI', 'EXEC'])

export interface StreamPosition {
  /** Last byte of a command outside a transaction. */
  boundaryReplOffset: number
  /** Selected there; -1 where that is not known (no SELECT seen yet). */
  dbnum: number
}

export class StreamTracker {
  #decoder = newDecoder()
  /** Offset of the first byte fed. */
  #nextReplOffset = 1
  #boundaryReplOffset = 0
  #boundaryDb = -1
  #db = -1
  #isInTransaction = false
  #isLost = false

  /** `dbnum` -1: not known. */
  reset(position: StreamPosition): void {
    this.#decoder = newDecoder()
    this.#nextReplOffset = position.boundaryReplOffset + 1
    this.#boundaryReplOffset = position.boundaryReplOffset
    this.#boundaryDb = position.dbnum
    this.#db = position.dbnum
    this.#isInTransaction = false
    this.#isLost = false
  }

  get position(): StreamPosition {
    return { boundaryReplOffset: this.#boundaryReplOffset, dbnum: this.#boundaryDb }
  }

  /** False once the stream was no RESP: then the last boundary stays. */
  get isFollowing(): boolean {
    return !this.#isLost
  }

  feed(bytes: Uint8Array, start: number, end: number): void {
    if (this.#isLost) return
    const decoder = this.#decoder
    decoder.feed(bytes, start, end)
    for (;;) {
      if (decoder.skip(FOLLOWED) > 0 && !this.#isInTransaction) this.#mark(decoder.consumedBytes)
      const found = decoder.next()
      if (found === RESP.MORE) break
      if (found === RESP.COMMAND) this.#command(decoder)
      else if (found === RESP.BAD) {
        this.#isLost = true
        return
      } else if (found !== RESP.PIECE && !this.#isInTransaction) this.#mark(decoder.consumedBytes)
    }
    if (decoder.atBoundary && !this.#isInTransaction) this.#mark(decoder.consumedBytes)
  }

  #command(decoder: CommandDecoder): void {
    // By length first: hardly any command has one of these.
    const length = decoder.args[1]! - decoder.args[0]!
    if (length === 6 && isArg(decoder, 0, 'SELECT')) {
      const db = Number(Buffer.from(decoder.bytes.subarray(decoder.args[2], decoder.args[3])))
      this.#db = Number.isSafeInteger(db) ? db : -1
    } else if (length === 5 && isArg(decoder, 0, 'MULTI')) {
      this.#mark(decoder.consumedBytes - (decoder.end - decoder.start))
      this.#isInTransaction = true
    } else if (length === 4 && isArg(decoder, 0, 'EXEC')) this.#isInTransaction = false
    if (!this.#isInTransaction) this.#mark(decoder.consumedBytes)
  }

  #mark(consumedBytes: number): void {
    this.#boundaryReplOffset = this.#nextReplOffset - 1 + consumedBytes
    this.#boundaryDb = this.#db
  }
}

function newDecoder(): CommandDecoder {
  return new CommandDecoder({ pieceBytes: PIECE_BYTES, holdWhole: FOLLOWED, oldMasters: true })
}
