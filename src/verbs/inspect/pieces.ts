/** Inspections in several threads: each reads pieces of the dump, to check them or to count what is in them. */
import { deserialize } from 'node:v8'
import type { AnalysisState, KeyAnalysis } from '../../analyze/key-analysis.js'
import { KeySet } from '../../rdb/duplicates.js'
import type { RdbParser, RdbParserOptions } from '../../rdb/parser.js'
import type { WithLane } from '../../rdb/lane/lane.js'
import type { RdbVisitor } from '../../rdb/visitor.js'
import type { PumpedRdb, RdbInput } from '../../source/rdb-input.js'
import type { AnalysisJob, PieceJob } from '../threads/options.js'
import { readInPieces } from '../threads/read-pieces.js'
import type { InspectOptions } from './options.js'

export interface PieceCall {
  readonly threads: number
  readonly visitor: RdbVisitor & WithLane
  readonly parser: RdbParserOptions
  readonly buffer: Buffer
  readonly options: Pick<InspectOptions, 'signal' | 'pieceSizes'>
  readonly onProgress: (consumedBytes: number, keysRead: number) => void
  readonly begun: (parser: RdbParser) => void
}

/** Undefined: something is wrong or odd, of which one thread has to say where it is. */
export type InPieces = (rdb: RdbInput, call: PieceCall) => Promise<PumpedRdb | undefined>

export const checkInPieces: InPieces = async (rdb, call) => {
  const parser = { ...call.parser, keys: new KeySet() }
  return await read(rdb, { ...call, parser }, { kind: 'check' })
}

/** The call's visitor is the analysis, and counts the rest. */
export function analysisInPieces(analysis: KeyAnalysis, job: Omit<AnalysisJob, 'kind'>): InPieces {
  return async (rdb, call) =>
    await read(rdb, call, { ...job, kind: 'analysis' }, (sums) => {
      for (const each of sums) analysis.addState(deserialize(each) as AnalysisState)
    })
}

async function read(
  rdb: RdbInput,
  { threads, visitor, parser, buffer, options, onProgress, begun }: PieceCall,
  job: PieceJob,
  sums?: (sums: readonly Uint8Array[]) => void,
): Promise<PumpedRdb | undefined> {
  const done = await readInPieces(
    rdb,
    {
      threads,
      sizes: options.pieceSizes,
      job,
      parser,
      signal: options.signal,
      onProgress,
      bytes: () => undefined,
      tally: () => undefined,
      sums: (each) => sums?.(each),
      rest: () => ({ visitor, buffer }),
      drain: () => undefined,
    },
    begun,
  )
  return done.sums === undefined ? undefined : done
}
