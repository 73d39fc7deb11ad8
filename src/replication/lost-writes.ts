/**
 * Which writes a failover lost: those that we got and the promoted replica did not. What else stands in
 * a stream (PING, PUBLISH, GETACK, SELECT) is lost to nobody.
 */
import { Buffer } from 'node:buffer'
import { isArg } from '../resp/command-table.js'
import { CommandDecoder, nameTable, RESP } from '../resp/decoder.js'
import type { LostStream } from './consumer.js'

/** What was shown, kept, applied or passed on, and never happened for anybody else. */
export interface WritesLostEvent extends LostStream {
  event: 'writes-lost'
  /** Commands; undefined where too many came to know. */
  writes: number | undefined
}

const CHATTER = ['PING', 'MULTI', 'EXEC', 'SELECT', 'PUBLISH', 'SPUBLISH', 'REPLCONF']
const CHATTER_NAMES = nameTable(CHATTER)
const PIECE_BYTES = 1 << 20
const READ_BYTES = 256 << 10

/** It changes no data. */
export function isChatter(command: CommandDecoder): boolean {
  const { args } = command
  const length = args[1]! - args[0]!
  const first = command.bytes[args[0]!]!
  if (length > 8 || CHATTER_NAMES[(length << 5) | (first & 31)] === 0) return false
  return CHATTER.some((name) => isArg(command, 0, name))
}

const KEPT_WRITES = 1 << 16

/** Where the last writes of a stream ended: for who keeps nothing else of it. */
export class RecentWrites {
  readonly #ends = new Float64Array(KEPT_WRITES)
  #count = 0

  add(endReplOffset: number): void {
    this.#ends[this.#count++ % KEPT_WRITES] = endReplOffset
  }

  clear(): void {
    this.#count = 0
  }

  /** Those that end at `fromReplOffset` or behind it are forgotten; how many there were. Undefined
   * where more came than are remembered. */
  cutBack(fromReplOffset: number): number | undefined {
    const held = Math.min(this.#count, KEPT_WRITES)
    let lost = 0
    while (lost < held && this.#ends[(this.#count - lost - 1) % KEPT_WRITES]! >= fromReplOffset) {
      lost += 1
    }
    const isKnown = lost < KEPT_WRITES
    this.#count -= lost
    return isKnown ? lost : undefined
  }
}

/** How many writes stand in a part of a stream that begins with a command. */
export class WriteCounter {
  writes = 0
  readonly #decoder: CommandDecoder

  /** `annotated`: of an append-only file. */
  constructor(form: 'stream' | 'annotated' = 'stream') {
    const lines = form === 'stream' ? 'none' : 'annotations'
    this.#decoder = new CommandDecoder({
      pieceBytes: PIECE_BYTES,
      lines,
      oldMasters: form === 'stream',
    })
  }

  /** `onWrite`: each that is not too large to be held. */
  push(
    bytes: Buffer,
    start = 0,
    end = bytes.length,
    onWrite?: (write: CommandDecoder) => void,
  ): void {
    const decoder = this.#decoder
    decoder.feed(bytes, start, end)
    for (;;) {
      const status = decoder.next()
      if (status === RESP.MORE || status === RESP.BAD) return
      if (status === RESP.PIECE && decoder.pieceFirst) this.writes += 1
      if (status !== RESP.COMMAND || isChatter(decoder)) continue
      this.writes += 1
      onWrite?.(decoder)
    }
  }
}

/** Of the part of a stream that `read` gives from an offset on, which is the first of a command. */
export async function countWrites(
  { fromReplOffset, toReplOffset }: LostStream,
  read: (replOffset: number, into: Buffer) => Promise<number>,
): Promise<number> {
  const counter = new WriteCounter()
  const buffer = Buffer.allocUnsafe(READ_BYTES)
  for (let at = fromReplOffset; at <= toReplOffset;) {
    const count = await read(at, buffer)
    if (count === 0) break
    counter.push(buffer, 0, count)
    at += count
  }
  return counter.writes
}
