/**
 * The stream as replicas of a relay behind Sentinels get it: a PING or a Sentinel's hello at its end
 * waits until something else comes behind it, or for some seconds.
 *
 * A master that is deposed goes on for a while with nothing but these, and the one that was promoted has
 * none of them. Who has got them is ahead of it, and only a full resync leads back; who has not goes on.
 */
import { isArg } from '../../resp/command-table.js'
import { CommandDecoder, nameTable, RESP } from '../../resp/decoder.js'
import { isHello } from '../../resp/propagated.js'
import type { GrowingLog, StreamLog } from './stream-log.js'

/** Longer than it takes until we leave a deposed master; a replica wants a sign of life by and by. */
const HELD_MS = 5000
const HELD_NAMES = nameTable(['PING', 'PUBLISH', 'REPLCONF'])
const PIECE_BYTES = 64 << 10

export class HeldLog implements StreamLog {
  readonly #log: () => GrowingLog
  #decoder = newDecoder()
  /** Offset of the first byte fed. */
  #nextReplOffset = 1
  /** Last byte that may go. */
  #freeReplOffset = 0
  /** Where the log ended, and when: oldest first. */
  #ends: { replOffset: number; atMs: number }[] = []

  constructor(log: () => GrowingLog) {
    this.#log = log
  }

  get firstReplOffset(): number {
    return this.#log().firstReplOffset
  }

  get endReplOffset(): number {
    return Math.min(this.#freeReplOffset, this.#log().endReplOffset)
  }

  get memoryBytes(): number {
    return this.#log().memoryBytes
  }

  view(replOffset: number, maxBytes: number): Buffer | undefined {
    return this.#log().view(replOffset, Math.min(maxBytes, this.endReplOffset - replOffset + 1))
  }

  async read(replOffset: number, into: Buffer): Promise<number> {
    const bytes = Math.min(into.length, this.endReplOffset - replOffset + 1)
    return await this.#log().read(replOffset, into.subarray(0, bytes))
  }

  /** All that there is may go. What is fed next lies behind it. */
  reset(endReplOffset: number): void {
    this.#decoder = newDecoder()
    this.#nextReplOffset = endReplOffset + 1
    this.#freeReplOffset = endReplOffset
    this.#ends = []
  }

  feed(bytes: Uint8Array, start: number, end: number): void {
    const decoder = this.#decoder
    decoder.feed(bytes, start, end)
    for (;;) {
      if (decoder.skip(HELD_NAMES) > 0) this.#free(decoder.consumedBytes)
      const found = decoder.next()
      if (found === RESP.MORE) return
      if (found === RESP.BAD) {
        // Nothing is known of it any more: it goes as it comes.
        this.#freeReplOffset = Infinity
        return
      }
      if (found !== RESP.COMMAND || !isHeld(decoder)) this.#free(decoder.consumedBytes)
    }
  }

  /** Each second, while the link is up. True: more may go. */
  tick(nowMs: number): boolean {
    this.#ends.push({ replOffset: this.#log().endReplOffset, atMs: nowMs })
    const before = this.#freeReplOffset
    while (this.#ends.length > 0 && this.#ends[0]!.atMs <= nowMs - HELD_MS) {
      this.#freeReplOffset = Math.max(this.#freeReplOffset, this.#ends.shift()!.replOffset)
    }
    return this.#freeReplOffset > before
  }

  #free(consumedBytes: number): void {
    const replOffset = this.#nextReplOffset - 1 + consumedBytes
    if (replOffset > this.#freeReplOffset) this.#freeReplOffset = replOffset
  }
}

function isHeld(command: CommandDecoder): boolean {
  return isArg(command, 0, 'PING') || isArg(command, 0, 'REPLCONF') || isHello(command)
}

function newDecoder(): CommandDecoder {
  return new CommandDecoder({ pieceBytes: PIECE_BYTES, holdWhole: HELD_NAMES, oldMasters: true })
}
