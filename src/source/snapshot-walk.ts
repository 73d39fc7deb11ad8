/**
 * Is a snapshot whole by its own structure? Asked where the master wrote no checksum, so that
 * nothing else tells. A file is walked afterwards, what goes into a pipe or a compressor while it
 * passes. `undefined`: it holds something that rrep cannot read.
 */
import { readSync } from 'node:fs'
import { RdbError } from '../errors.js'
import { allocateInputBuffer } from '../kernels/kernel.js'
import type { WithLane } from '../rdb/lane/lane.js'
import { RdbParser, type RdbParserOptions } from '../rdb/parser.js'
import { DEPTH, type RdbSummary, type RdbVisitor } from '../rdb/visitor.js'

const BUFFER_BYTES = 1 << 20

export class SnapshotWalk {
  readonly #parser: RdbParser
  #trailingBytes = 0
  /** Why it is not whole, once that is certain. */
  fault: RdbError | undefined
  /** Of a visitor with a lane: pieces are gathered where its kernel works on them in place. */
  readonly #gathered: Buffer | undefined
  #gatheredBytes = 0

  constructor(
    visitor: RdbVisitor & WithLane = { key: () => DEPTH.SKIP },
    options: Pick<RdbParserOptions, 'validate'> = {},
  ) {
    const { lane } = visitor
    this.#parser = new RdbParser(visitor, { ...options, lane, checksum: 'ignore' })
    if (lane !== undefined) this.#gathered = allocateInputBuffer(BUFFER_BYTES)
  }

  push(bytes: Buffer): void {
    const to = this.#gathered
    if (to === undefined) {
      this.#parse(bytes)
      return
    }
    for (let at = 0; at < bytes.length;) {
      const count = bytes.copy(to, this.#gatheredBytes, at)
      at += count
      this.#gatheredBytes += count
      if (this.#gatheredBytes === to.length) this.#flush()
    }
  }

  /** What it was, at its end. Throws RdbError where it is not whole. */
  end(): RdbSummary {
    this.#flush()
    if (this.fault !== undefined) throw this.fault
    return this.#parser.end()
  }

  get isWhole(): boolean | undefined {
    this.#flush()
    if (this.fault?.code === 'ERR_RDB_UNSUPPORTED') return undefined
    return this.fault === undefined && this.#parser.done && this.#trailingBytes === 0
  }

  #flush(): void {
    const bytes = this.#gatheredBytes
    if (this.#gathered === undefined || bytes === 0) return
    this.#gatheredBytes = 0
    this.#parse(this.#gathered.subarray(0, bytes))
  }

  #parse(bytes: Buffer): void {
    if (this.fault !== undefined) return
    try {
      this.#trailingBytes += bytes.length - this.#parser.push(bytes)
    } catch (error) {
      if (!(error instanceof RdbError)) throw error
      this.fault = error
    }
  }
}

/** Walks the first `sizeBytes` of a file, synchronously: about a second for a gigabyte. */
export function walkFile(fd: number, sizeBytes: number): SnapshotWalk {
  const walk = new SnapshotWalk()
  const buffer = Buffer.allocUnsafeSlow(BUFFER_BYTES)
  for (let at = 0; at < sizeBytes && walk.fault === undefined;) {
    const count = readSync(fd, buffer, 0, Math.min(BUFFER_BYTES, sizeBytes - at), at)
    if (count === 0) break
    walk.push(buffer.subarray(0, count))
    at += count
  }
  return walk
}
