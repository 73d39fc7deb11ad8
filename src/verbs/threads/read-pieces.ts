/**
 * Reads a dump piece by piece in several threads. This one cuts the pieces, runs the checksum, and takes what
 * comes of them in order. It reads the last piece itself, with the consumer that would read all of it, and
 * also from the first piece on in which something is wrong: so every error, notice and offset is told by
 * the same reader as ever.
 */
import { Buffer } from 'node:buffer'
import { readSync } from 'node:fs'
import { InputError } from '../../errors.js'
import { NOTED_BYTES } from '../../kernels/abi.js'
import type { KeyWatch } from '../../rdb/duplicates.js'
import { RdbParser, type RdbParserOptions, type RdbPlace } from '../../rdb/parser.js'
import type { WithLane } from '../../rdb/lane/lane.js'
import { NOTICE, type RdbVisitor } from '../../rdb/visitor.js'
import { pumpRdb, RDB_READ_BYTES, type PumpedRdb, type RdbInput } from '../../source/rdb-input.js'
import { allocateInputBuffer } from '../../kernels/kernel.js'
import type { ByteInput } from '../../source/byte-input.js'
import { Borders } from './borders.js'
import type { ExportTally, PieceJob, PieceSizes } from './options.js'
import type * as workerModule from './pieces-worker.generated.js'
import { PiecePool } from './pool.js'

/** Who reads a piece looks into it. */
const JUST_STEPS = { walkBlobs: false, validate: false, checkOnly: false, keys: undefined } as const

interface Reader {
  readonly visitor: RdbVisitor & WithLane
  readonly buffer: Buffer
}

interface Rest extends Reader {
  /** Undefined: no border was met, all of it is the rest. */
  readonly from: RdbPlace | undefined
  readonly headBytes: number
}

export interface PieceReading {
  readonly threads: number
  readonly job: PieceJob
  /** With `keys` they are told of all names, those of pieces too. */
  readonly parser: RdbParserOptions
  readonly sizes?: PieceSizes | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((consumedBytes: number, keysRead: number) => void) | undefined
  /** Output of a piece, in order. */
  bytes(bytes: Uint8Array): Promise<void> | undefined
  tally(tally: ExportTally): void
  /** What each thread has added up, before the rest is read. */
  sums?(sums: readonly Uint8Array[]): void
  /** What this thread goes on with behind the pieces, and what it reads into. Of the output that comes
   * from there on so many bytes are known already. */
  rest(handedBytes: number): Reader
  /** Between two stretches of that. */
  drain(): Promise<void> | undefined
}

/** `sums` undefined: something is wrong, of which those who read pieces cannot tell where it is or what they
 * have made up to there. */
export type ReadPieces =
  (PumpedRdb & { readonly sums: readonly Uint8Array[] }) | { readonly sums: undefined }

/** Whether it can be read so: a plain file of the system, and more than a piece or two. */
export function canReadInPieces({ input }: RdbInput, threads: number | undefined): boolean {
  return (threads ?? 1) > 1 && input.kind === 'rdb' && input.fd !== undefined
}

/** @param begun is told the parser that reads at present, for who must know how far it came */
export async function readInPieces(
  rdb: RdbInput,
  reading: PieceReading,
  begun: (parser: RdbParser) => void,
): Promise<ReadPieces> {
  const { parser: options, sizes, signal, onProgress } = reading
  const notices: Record<string, number> = {}
  const names = new PieceNames(options.keys)
  const start = await poolMaker(rdb, reading, notices, names)
  let pool: PiecePool | undefined
  try {
    const borders = new Borders((piece) => {
      pool ??= start(borders.headBytes)
      pool.hand({ ...piece, halvings: options.keys?.halvings })
    }, sizes?.pieceBytes)
    const walk = new RdbParser(borders, { ...options, ...JUST_STEPS, lane: borders.lane })
    borders.parser = walk
    begun(walk)
    const walked = await untilDamage(
      pumpRdb(rdb, walk, {
        signal,
        buffer: allocateInputBuffer(sizes?.readBytes ?? RDB_READ_BYTES),
        onProgress,
        drain: () => pool?.room(),
      }),
    )
    await pool?.drained()
    const failed = pool?.failed
    const isWrong = failed !== undefined || walked instanceof InputError
    const { kind } = reading.job
    const isSummed = kind === 'digest' || kind === 'analysis'
    if (names.isAnyTwice || (isSummed && isWrong)) return { sums: undefined }
    const sums = isSummed ? ((await pool?.sums()) ?? []) : []
    reading.sums?.(sums)
    const { visitor, buffer } = reading.rest(failed?.handedBytes ?? 0)
    const from = failed?.piece.from ?? borders.open
    const rest = { from, headBytes: borders.headBytes, visitor, buffer }
    addNotices(notices, await readRest(rdb, reading, rest, begun))
    if (walked instanceof InputError) throw walked
    return { ...walked, summary: { ...walked.summary, notices }, sums }
  } finally {
    await pool?.close()
  }
}

/** Makes the threads when the first piece is there: with so many bytes of the dump's head. */
async function poolMaker(
  { input }: RdbInput,
  reading: PieceReading,
  notices: Record<string, number>,
  names: PieceNames,
): Promise<(headBytes: number) => PiecePool> {
  const text = await workerText()
  const { job, threads, sizes, signal, parser } = reading
  const { timeShiftMs = 0 } = parser
  const readBytes = sizes?.readBytes ?? RDB_READ_BYTES
  return (headBytes) => {
    const head = readHead(input, headBytes)
    return new PiecePool(
      text,
      threads,
      { fd: input.fd!, head, timeShiftMs, readBytes, job },
      {
        bytes: (bytes) => reading.bytes(bytes),
        done: (result) => {
          addNotices(notices, result.notices)
          if (result.names !== undefined) addNotices(notices, names.add(result.names))
          if (result.tally !== undefined) reading.tally(result.tally)
        },
      },
      signal,
    )
  }
}

/** Names that those who read pieces have noted, compared in the order of the dump. */
class PieceNames {
  isAnyTwice = false
  readonly #keys: KeyWatch | undefined

  constructor(keys: KeyWatch | undefined) {
    this.#keys = keys
  }

  /** Returns what is odd. */
  add({ buffer, length }: Uint8Array<ArrayBuffer>): Readonly<Record<string, number>> {
    const keys = this.#keys
    if (keys === undefined || this.isAnyTwice) return {}
    const before = keys.halvings
    this.isAnyTwice = keys.addNoted(new DataView(buffer), 0, length / NOTED_BYTES) >= 0
    const halvings = keys.halvings - before
    return halvings === 0 ? {} : { [NOTICE.DUPLICATES_SAMPLED]: halvings }
  }
}

/** Large, and wanted by few. */
async function workerText(): Promise<string> {
  type Loaded = typeof workerModule & { readonly default?: typeof workerModule }
  const loaded: Loaded = await import('./pieces-worker.generated.js')
  // A bundle beside ours comes as CommonJS.
  return (loaded.default ?? loaded).PIECES_WORKER_TEXT
}

/** From a record to the end, as one reader of all would. Returns what was odd. */
async function readRest(
  { input }: RdbInput,
  reading: PieceReading,
  { from, headBytes, visitor, buffer }: Rest,
  begun: (parser: RdbParser) => void,
): Promise<Readonly<Record<string, number>>> {
  const options = { ...reading.parser, lane: visitor.lane, checksum: 'ignore' } as const
  const head = new RdbParser(visitor, options)
  if (from !== undefined) head.push(readHead(input, headBytes))
  const parser = new RdbParser(visitor, { ...options, startAt: from })
  begun(parser)
  await input.pump(
    (chunk) => {
      parser.push(chunk)
      const waiting = reading.drain()
      return waiting === undefined ? true : waiting.then(() => true)
    },
    { signal: reading.signal, buffer, startByteOffset: from?.byteOffset ?? 0 },
  )
  return { ...head.notices, ...parser.end().notices }
}

function readHead({ fd }: ByteInput, bytes: number): Buffer {
  const head = Buffer.alloc(bytes)
  readSync(fd!, head, 0, bytes, 0)
  return head
}

/** Damage is a result: what is in front of it is read to its end first. */
async function untilDamage(pumped: Promise<PumpedRdb>): Promise<PumpedRdb | InputError> {
  try {
    return await pumped
  } catch (error) {
    if (error instanceof InputError) return error
    throw error
  }
}

function addNotices(to: Record<string, number>, from: Readonly<Record<string, number>>): void {
  for (const [code, count] of Object.entries(from)) to[code] = (to[code] ?? 0) + count
}
