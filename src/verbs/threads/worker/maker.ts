/** What a thread makes of pieces: one of these for all that it gets. */
import type { Buffer } from 'node:buffer'
import type { WithLane } from '../../../rdb/lane/lane.js'
import type { RdbVisitor } from '../../../rdb/visitor.js'
import type { ExportTally } from '../options.js'

export interface PieceMaker {
  /** To be read into. */
  readonly input: Buffer
  /** @param send takes output: the bytes are valid during the call */
  begin(send: (bytes: Uint8Array) => void): PieceMaking
  /** Of all pieces. */
  sums(): Uint8Array<ArrayBuffer> | undefined
}

export interface PieceMaking {
  readonly visitor: RdbVisitor & WithLane
  readonly walkBlobs: boolean
  /** Between two stretches of input. */
  drain(): void
  finish(): ExportTally | undefined
}
