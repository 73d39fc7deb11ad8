/** Looks through what one shard sends, as it comes, for slots that arrive: then the others are asked at
 * once where they are. */
import { Buffer } from 'node:buffer'
import { CommandDecoder, RESP } from '../../../resp/decoder.js'
import { SlotSigns } from '../../../topology/slot-signs.js'
import type { StreamSpool } from '../live/stream-spool.js'
import type { Barriers } from './barriers.js'

const READ_BYTES = 256 << 10

export class Arrivals {
  readonly #spool: StreamSpool
  readonly #barriers: Barriers
  readonly #decoder = new CommandDecoder({ oldMasters: true })
  #signs = new SlotSigns()
  #begins = true

  constructor(spool: StreamSpool, barriers: Barriers) {
    this.#spool = spool
    this.#barriers = barriers
  }

  /** The stream begins with the next byte that comes. */
  begin(): void {
    this.#barriers.forget()
    this.#signs = new SlotSigns()
    this.#decoder.reset()
    this.#begins = false
  }

  /** What lies in the spool is looked at first, from a command's begin on. */
  goOn(replOffset: number): void {
    this.#begins = false
    this.#decoder.reset()
    const buffer = Buffer.allocUnsafe(READ_BYTES)
    for (let at = replOffset; ;) {
      const count = this.#spool.read(at, buffer)
      if (count === 0) return
      at += count
      this.#look(buffer, 0, count, at)
    }
  }

  /** Called when they are in the spool. */
  received(bytes: Buffer, start: number, end: number): void {
    if (!this.#begins) this.#look(bytes, start, end, this.#spool.nextReplOffset)
  }

  #look(bytes: Buffer, start: number, end: number, nextReplOffset: number): void {
    const decoder = this.#decoder
    decoder.feed(bytes, start, end)
    let hasArrived = false
    for (;;) {
      const status = decoder.next()
      // What is no command is told by who applies it.
      if (status === RESP.MORE || status === RESP.BAD) break
      if (status !== RESP.COMMAND) continue
      const kind = this.#signs.read(decoder)?.kind
      if (kind === 'key' || kind === 'slots') hasArrived = true
    }
    if (hasArrived) this.#barriers.arrived(nextReplOffset)
  }
}
