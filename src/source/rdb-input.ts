/**
 * Where commands that work on keys find an RDB: in a file or a pipe (also gzip and zstd), at the
 * head of an AOF, or as the base of a multi-part directory. What stands beside it and is no part
 * of the snapshot (commands behind a preamble, increments) is named, so that nobody takes the
 * snapshot for the whole.
 */
import { openArchive } from '../archive/reader.js'
import { ProtocolError, RdbError } from '../errors.js'
import { allocateInputBuffer } from '../kernels/kernel.js'
import type { PieceSize } from '../bytes/piece-size.js'
import type { RdbParser } from '../rdb/parser.js'
import type { RdbSummary } from '../rdb/visitor.js'
import { isShardDirectory } from './shards.js'
import { openInput, type ByteInput, type OpenInputOptions } from './source.js'
import { statOf } from '../disk/stat.js'

/** Small enough that what one chunk unpacks to stays small where the output is a slow stream. */
export const RDB_READ_BYTES = 1 << 20

export interface RdbInput {
  readonly input: ByteInput
  /** What was opened: the path, the base file of a directory, or `stdin`. */
  readonly name: string
  /** Increments of a multi-part directory that hold commands: they are not read. */
  readonly increments: readonly string[]
  close(): void
}

export type RdbInputOptions = OpenInputOptions

/** Throws FileError, AofError (manifest), RdbError (no RDB) or ProtocolError (unsupported). */
export async function openRdbInput(path: string, options: RdbInputOptions = {}): Promise<RdbInput> {
  const stat = path === '-' ? undefined : statOf(path)
  if (stat?.isDirectory() === true && !isShardDirectory(path)) return await openSet(path, options)
  const input = await openInput(path, options)
  if (input.kind === 'manifest') {
    input.close()
    return await openSet(path, options)
  }
  return checked(input, [])
}

/**
 * Feeds the parser until the end of the RDB. Bytes behind it are counted by the caller through
 * the result: an AOF's commands, or a file with something appended.
 */
export async function pumpRdb(
  rdb: RdbInput,
  parser: RdbParser,
  options: PumpRdbOptions = {},
): Promise<PumpedRdb> {
  const { input } = rdb
  const {
    drain,
    pieces,
    onProgress,
    signal,
    buffer = allocateInputBuffer(RDB_READ_BYTES),
  } = options
  let trailingBytes = 0
  let trailingZeros = true
  const push = (bytes: Buffer): true | Promise<true> => pushFrom(inKernel(bytes, buffer), 0)
  const pushFrom = (chunk: Buffer, from: number): true | Promise<true> => {
    for (let at = from; at < chunk.length;) {
      const piece = pieces === undefined ? chunk : chunk.subarray(at, at + pieces.bytes)
      const taken = parser.push(piece)
      pieces?.loaded(piece.length)
      if (taken < piece.length) {
        trailingBytes += piece.length - taken
        trailingZeros &&= piece.subarray(taken).every((byte) => byte === 0)
      }
      at += piece.length
      const waiting = drain?.()
      if (waiting !== undefined) return waiting.then(() => pushFrom(chunk, at))
    }
    return true
  }
  await input.pump(push, {
    signal,
    // In memory of a kernel, which then runs the checksum over it in place.
    buffer,
    onProgress: onProgress && (() => onProgress(input.consumedBytes, parser.keysRead)),
  })
  return { summary: parser.end(), trailingBytes, trailingZeros }
}

/** So little is not worth it. And where an input hands out a few bytes that it kept, what follows them may
 * lie in the buffer already. */
const LEAST_COPIED = 64

/** What a stream hands out is copied: kernels then work on it in place. */
export function inKernel(chunk: Buffer, buffer: Buffer): Buffer {
  const { length } = chunk
  if (chunk.buffer === buffer.buffer || length > buffer.length || length <= LEAST_COPIED)
    return chunk
  return buffer.subarray(0, chunk.copy(buffer))
}

export interface PumpRdbOptions {
  signal?: AbortSignal | undefined
  /** What to read into, else RDB_READ_BYTES: memory of the kernel that a visitor works with. */
  buffer?: Buffer | undefined
  /** How much is read between two drains; else a chunk. */
  pieces?: PieceSize | undefined
  /** Asked between pieces; a promise is waited for. */
  drain?: (() => Promise<void> | undefined) | undefined
  onProgress?: ((consumedBytes: number, keysRead: number) => void) | undefined
}

export interface PumpedRdb {
  summary: RdbSummary
  trailingBytes: number
  /** They are zeros, such as a disk leaves where space was set aside for a file. */
  trailingZeros: boolean
}

async function openSet(path: string, options: RdbInputOptions): Promise<RdbInput> {
  const archive = openArchive(path)
  const { base, increments } = archive.at('end')
  if (base === undefined) {
    throw new ProtocolError('ERR_NO_BASE', `${path} names no base file: there are only commands`, {
      hint: 'load it with `replay()`',
    })
  }
  const input = await openInput(base.path, options)
  const full = increments
    .map((increment) => increment.path)
    .filter((file) => (statOf(file)?.size ?? 0) > 0)
  return checked(input, full)
}

function checked(input: ByteInput, increments: readonly string[]): RdbInput {
  const { name, kind } = input
  const fail = (error: Error): never => {
    input.close()
    throw error
  }
  switch (kind) {
    // The parser unpacks the envelope itself.
    case 'rdb':
    case 'vcs':
      break
    case 'aof':
      fail(
        new ProtocolError('ERR_NO_RDB', `${name} holds commands only, no snapshot`, {
          hint: 'load it into a server with `replay()`, then look at that',
          details: { file: name },
        }),
      )
      break
    case 'empty':
      fail(
        new RdbError(
          'ERR_RDB_TRUNCATED',
          { file: name, byteOffset: 0, reading: 'header' },
          'the file is empty',
        ),
      )
      break
    // The parser says at which byte it stops to be an RDB.
    case 'manifest':
    case 'unknown':
      break
  }
  return { input, name, increments, close: () => input.close() }
}
