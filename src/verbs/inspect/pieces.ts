/** A check in several threads: each looks through pieces of the dump. */
import { KeySet } from '../../rdb/duplicates.js'
import type { RdbParser, RdbParserOptions } from '../../rdb/parser.js'
import type { WithLane } from '../../rdb/lane/lane.js'
import type { RdbVisitor } from '../../rdb/visitor.js'
import type { PumpedRdb, RdbInput } from '../../source/rdb-input.js'
import { readInPieces } from '../threads/read-pieces.js'
import type { InspectOptions } from './options.js'

export interface PieceChecking {
  readonly threads: number
  readonly visitor: RdbVisitor & WithLane
  readonly parser: RdbParserOptions
  readonly buffer: Buffer
  readonly options: Pick<InspectOptions, 'signal' | 'pieceSizes'>
  readonly onProgress: (consumedBytes: number, keysRead: number) => void
  readonly begun: (parser: RdbParser) => void
}

/** Undefined: something is wrong of which one thread has to say where it is. */
export async function checkInPieces(
  rdb: RdbInput,
  { threads, visitor, parser, buffer, options, onProgress, begun }: PieceChecking,
): Promise<PumpedRdb | undefined> {
  const read = await readInPieces(
    rdb,
    {
      threads,
      sizes: options.pieceSizes,
      job: { kind: 'check' },
      parser: { ...parser, keys: new KeySet() },
      signal: options.signal,
      onProgress,
      bytes: () => undefined,
      tally: () => undefined,
      rest: () => ({ visitor, buffer }),
      drain: () => undefined,
    },
    begun,
  )
  return read.sums === undefined ? undefined : read
}
