/** What a thread makes of pieces: one of these for all that it gets. */
import type { Buffer } from 'node:buffer'
import type { WithLane } from '../../../rdb/lane/lane.js'
import type { RdbParserOptions } from '../../../rdb/parser.js'
import type { RdbVisitor } from '../../../rdb/visitor.js'
import type { ExportTally, Piece } from '../options.js'

export interface PieceMaker {
  /** To be read into. */
  readonly input: Buffer
  /** @param send takes output: the bytes are valid during the call */
  begin(send: (bytes: Uint8Array) => void, piece: Piece): PieceMaking
  /** Of all pieces. */
  sums(): Uint8Array<ArrayBuffer> | undefined
}

export interface PieceMaking {
  readonly visitor: RdbVisitor & WithLane
  readonly walkBlobs: boolean
  readonly validation?: Pick<RdbParserOptions, 'validate' | 'checkOnly' | 'keys'>
  /** Between two stretches of input. */
  drain(): void
  finish(): PieceMade
}

export interface PieceMade {
  readonly tally?: ExportTally
  readonly names?: Uint8Array<ArrayBuffer>
}
