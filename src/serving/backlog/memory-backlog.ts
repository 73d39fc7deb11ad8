/**
 * The backlog in memory: a list of blocks, written once and read by every replica.
 *
 * Not a ring over one buffer: the kernel may still be taking bytes from a block when it is
 * forgotten, so a block is never written over; it lives as long as somebody sends from it.
 * It holds at least the last `sizeBytes` (as far as there were so many) and beyond that what a
 * replica within its limit still needs, as servers from 7.0 on do.
 */
import { LinkError } from '../../errors.js'
import type { GrowingLog, Retainer } from '../origin/stream-log.js'

const MAX_BLOCK_BYTES = 1 << 20
const MIN_BLOCK_BYTES = 16 << 10

interface Block {
  readonly bytes: Buffer
  /** Of its first byte. */
  readonly replOffset: number
  used: number
}

export class MemoryBacklog implements GrowingLog {
  readonly #sizeBytes: number
  readonly #blockBytes: number
  readonly #retain: Retainer
  /** Oldest first. `#head` is the index of the oldest that is kept: a shift would copy the list. */
  #blocks: Block[] = []
  #head = 0
  #nextReplOffset: number

  constructor(sizeBytes: number, nextReplOffset: number, retain: Retainer = () => Infinity) {
    this.#sizeBytes = sizeBytes
    this.#blockBytes = Math.max(MIN_BLOCK_BYTES, Math.min(MAX_BLOCK_BYTES, sizeBytes >> 4))
    this.#nextReplOffset = nextReplOffset
    this.#retain = retain
  }

  get firstReplOffset(): number {
    return this.#blocks[this.#head]?.replOffset ?? this.#nextReplOffset
  }

  get endReplOffset(): number {
    return this.#nextReplOffset - 1
  }

  get memoryBytes(): number {
    let bytes = 0
    for (let index = this.#head; index < this.#blocks.length; index += 1) {
      bytes += this.#blocks[index]!.bytes.length
    }
    return bytes
  }

  append(bytes: Uint8Array, start: number, end: number): void {
    let at = start
    while (at < end) {
      const block = this.#writableBlock()
      const count = Math.min(end - at, block.bytes.length - block.used)
      block.bytes.set(count === bytes.length ? bytes : bytes.subarray(at, at + count), block.used)
      block.used += count
      at += count
      this.#nextReplOffset += count
    }
  }

  reset(nextReplOffset: number): void {
    this.#blocks = []
    this.#head = 0
    this.#nextReplOffset = nextReplOffset
  }

  cutBack(nextReplOffset: number): Promise<void> {
    while (this.#blocks.length > this.#head) {
      const last = this.#blocks.pop()!
      if (last.replOffset >= nextReplOffset) continue
      // In another buffer: the kernel may still be taking bytes from this one.
      const bytes = Buffer.allocUnsafeSlow(this.#blockBytes)
      const used = Math.min(last.used, nextReplOffset - last.replOffset)
      last.bytes.copy(bytes, 0, 0, used)
      this.#blocks.push({ bytes, replOffset: last.replOffset, used })
      break
    }
    this.#nextReplOffset = nextReplOffset
    return Promise.resolve()
  }

  view(replOffset: number, maxBytes: number): Buffer | undefined {
    const block = this.#blockAt(replOffset)
    if (block === undefined) return undefined
    const start = replOffset - block.replOffset
    return block.bytes.subarray(start, Math.min(block.used, start + maxBytes))
  }

  read(replOffset: number, into: Buffer): Promise<number> {
    const view = this.view(replOffset, into.length)
    if (view === undefined) {
      return Promise.reject(
        new LinkError('ERR_BACKLOG_PASSED', `the backlog no longer holds offset ${replOffset}`),
      )
    }
    return Promise.resolve(view.copy(into))
  }

  /** Forgets whole blocks below `replOffset`, whatever the size. */
  dropBelow(replOffset: number): void {
    while (this.#head < this.#blocks.length) {
      const block = this.#blocks[this.#head]!
      if (block.replOffset + block.used > replOffset || block.used < block.bytes.length) break
      this.#head += 1
    }
    if (this.#head > 64 && this.#head * 2 > this.#blocks.length) {
      this.#blocks = this.#blocks.slice(this.#head)
      this.#head = 0
    }
  }

  drain(): undefined {
    return undefined
  }

  flush(): Promise<void> {
    return Promise.resolve()
  }

  close(): Promise<void> {
    this.reset(this.#nextReplOffset)
    return Promise.resolve()
  }

  #writableBlock(): Block {
    const last = this.#blocks.at(-1)
    if (last !== undefined && last.used < last.bytes.length) return last
    const block: Block = {
      bytes: Buffer.allocUnsafeSlow(this.#blockBytes),
      replOffset: this.#nextReplOffset,
      used: 0,
    }
    this.#blocks.push(block)
    // Only here, once a block: the oldest bytes that nobody needs go.
    if (this.#nextReplOffset - this.firstReplOffset > this.#sizeBytes) {
      this.dropBelow(Math.min(this.#nextReplOffset - this.#sizeBytes, this.#retain()))
    }
    return block
  }

  /** Blocks are all full but the last, so the index follows from the offset, except that the
   * first may begin anywhere. */
  #blockAt(replOffset: number): Block | undefined {
    const first = this.#blocks[this.#head]
    if (first === undefined || replOffset < first.replOffset) return undefined
    if (replOffset >= this.#nextReplOffset) return undefined
    const index = Math.floor((replOffset - first.replOffset) / this.#blockBytes)
    return this.#blocks[this.#head + index]
  }
}
