/**
 * Where the stream of a cluster's shard deletes whole slots (TRIMSLOTS, CLUSTER FLUSHSLOT): without naming a
 * key, in words that only a node of a cluster obeys. A replica without cluster mode keeps what they delete.
 */
import { nameTable, CommandDecoder, RESP } from '../../resp/decoder.js'
import { SlotSigns } from '../../topology/slot-signs.js'

const PIECE_BYTES = 64 << 10
const NAMES = nameTable(['TRIMSLOTS', 'CLUSTER'])

export class SlotDeletions {
  /** Last byte of the last of them; -1: none yet. */
  replOffset = -1
  #decoder = newDecoder()
  readonly #signs = new SlotSigns()
  /** Offset of the first byte fed. */
  #nextReplOffset = 1

  /** What is fed next lies behind it. */
  reset(endReplOffset: number): void {
    this.#decoder = newDecoder()
    this.#nextReplOffset = endReplOffset + 1
  }

  /** True: there is one among these bytes. */
  feed(bytes: Uint8Array, start: number, end: number): boolean {
    const decoder = this.#decoder
    const before = this.replOffset
    decoder.feed(bytes, start, end)
    for (;;) {
      decoder.skip(NAMES)
      const found = decoder.next()
      if (found === RESP.MORE || found === RESP.BAD) return this.replOffset > before
      if (found === RESP.COMMAND && this.#signs.read(decoder)?.kind === 'deleted') {
        this.replOffset = this.#nextReplOffset - 1 + decoder.consumedBytes
      }
    }
  }
}

function newDecoder(): CommandDecoder {
  return new CommandDecoder({ pieceBytes: PIECE_BYTES, holdWhole: NAMES })
}
