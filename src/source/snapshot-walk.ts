/**
 * Is a snapshot whole by its own structure? Asked where the master wrote no checksum, so that
 * nothing else tells. A file is walked afterwards, what goes into a pipe or a compressor while it
 * passes. `undefined`: it holds something that rrep cannot read.
 */
import { readSync } from 'node:fs'
import { RdbError } from '../errors.js'
import { RdbParser, type RdbParserOptions } from '../rdb/parser.js'
import { DEPTH, type RdbSummary, type RdbVisitor } from '../rdb/visitor.js'

const BUFFER_BYTES = 1 << 20

export class SnapshotWalk {
  readonly #parser: RdbParser
  #trailingBytes = 0
  /** Why it is not whole, once that is certain. */
  fault: RdbError | undefined

  constructor(
    visitor: RdbVisitor = { key: () => DEPTH.SKIP },
    options: Pick<RdbParserOptions, 'validate'> = {},
  ) {
    this.#parser = new RdbParser(visitor, { ...options, checksum: 'ignore' })
  }

  push(bytes: Buffer): void {
    if (this.fault !== undefined) return
    try {
      this.#trailingBytes += bytes.length - this.#parser.push(bytes)
    } catch (error) {
      if (!(error instanceof RdbError)) throw error
      this.fault = error
    }
  }

  /** What it was, at its end. Throws RdbError where it is not whole. */
  end(): RdbSummary {
    if (this.fault !== undefined) throw this.fault
    return this.#parser.end()
  }

  get isWhole(): boolean | undefined {
    if (this.fault?.code === 'ERR_RDB_UNSUPPORTED') return undefined
    return this.fault === undefined && this.#parser.done && this.#trailingBytes === 0
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
