/**
 * `readRdb`: an RDB from a file, a stream or memory, for a program.
 *
 *   for await (const key of readRdb('dump.rdb')) {
 *     console.log(key.db, key.key.toString(), key.type, key.expireAtMs)
 *     if (key.type === 'hash') for (const { field, value } of key.value) …
 *   }
 *
 *   // Sizes only: values are stepped over.
 *   for await (const key of readRdb(stream, { values: false })) total += key.serializedBytes
 *
 *   // Large files: a visitor sees each element as it is read, and nothing is allocated.
 *   const { summary } = await walkRdb('dump.rdb', {
 *     key: (header) => (header.kind === KIND.LIST ? DEPTH.ELEMENTS : DEPTH.SKIP),
 *     listElement: ({ bytes, start, end }) => { … },
 *   })
 *
 * Both read gzip (and zstd where Node has it), RDB-preamble AOF files, multi-part directories (their
 * base), and all versions of Redis and Valkey. Damaged input throws RdbError with the byte offset.
 */
import type { Readable } from 'node:stream'
import { AbortedError } from '../errors.js'
import { RdbParser, type RdbParserOptions } from '../rdb/parser.js'
import type { RdbSummary, RdbVisitor } from '../rdb/visitor.js'
import { KeyBuilder, type RdbKey } from './rdb-key.js'
import { openRdbInput, pumpRdb, type RdbInput } from './rdb-input.js'
import type { Progress } from './progress.js'
import { openStream } from './source.js'

const PIECE_BYTES = 1 << 20

/** A path, bytes, or a stream of bytes. */
export type RdbSource = string | Uint8Array | Readable

export interface WalkRdbOptions extends Omit<RdbParserOptions, 'baseByteOffset'> {
  signal?: AbortSignal | undefined
  /** Called between chunks. */
  onProgress?: ((progress: Progress<'read'>) => void) | undefined
  /** Asked between chunks; a promise is waited for before more is read: backpressure. */
  drain?: (() => Promise<void> | undefined) | undefined
}

export interface WalkedRdb {
  readonly summary: RdbSummary
  /** Bytes behind the RDB: the commands of an AOF, or something appended. They are not looked at. */
  readonly trailingBytes: number
}

/**
 * Reads a whole RDB for a visitor (see RdbVisitor). Resolves at the end of the RDB.
 *
 * Throws RdbError (truncated, corrupt, unsupported), FileError, AbortedError, and what the visitor
 * throws.
 */
export async function walkRdb(
  source: RdbSource,
  visitor: RdbVisitor,
  options: WalkRdbOptions = {},
): Promise<WalkedRdb> {
  const { signal, onProgress, drain, ...parserOptions } = options
  if (signal?.aborted === true) throw new AbortedError()
  if (source instanceof Uint8Array) {
    return await walkBytes(source, new RdbParser(visitor, parserOptions), options)
  }
  const rdb = await open(source, signal)
  try {
    const parser = new RdbParser(visitor, { file: rdb.name, ...parserOptions })
    const total = rdb.input.sizeBytes
    return await pumpRdb(rdb, parser, {
      signal,
      onProgress: (done, keys) => onProgress?.({ phase: 'read', done, total, unit: 'bytes', keys }),
      drain,
    })
  } finally {
    rdb.close()
  }
}

/** In pieces, so that whoever collects what is read can keep pace. */
async function walkBytes(
  bytes: Uint8Array,
  parser: RdbParser,
  { signal, onProgress, drain }: WalkRdbOptions,
): Promise<WalkedRdb> {
  let taken = 0
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    if (signal?.aborted === true) throw new AbortedError()
    taken += parser.push(bytes.subarray(at, at + PIECE_BYTES))
    const done = Math.min(bytes.length, at + PIECE_BYTES)
    const keys = parser.keysRead
    onProgress?.({ phase: 'read', done, total: bytes.length, unit: 'bytes', keys })
    const waiting = drain?.()
    if (waiting !== undefined) await waiting
  }
  return { summary: parser.end(), trailingBytes: bytes.length - taken }
}

export interface ReadRdbOptions extends WalkRdbOptions {
  /** False: values are stepped over, `value` is undefined. Default true. */
  values?: boolean | undefined
  /** Which keys to give; others are stepped over. `header.key` is valid during the call only. */
  filter?: ((header: Parameters<RdbVisitor['key']>[0]) => boolean) | undefined
}

/**
 * The keys of an RDB, one by one, each with its whole value: `RdbKey`, told apart by `type`. Reads
 * on only as keys are taken; of the file no more than a chunk of a megabyte is ahead. Leaving the
 * loop closes the source.
 *
 * Throws as walkRdb does, after the keys before the damage.
 */
export async function* readRdb(
  source: RdbSource,
  options: ReadRdbOptions = {},
): AsyncGenerator<RdbKey, RdbSummary, undefined> {
  const { values, filter, ...walkOptions } = options
  const builder = new KeyBuilder(values ?? true, filter)
  const stop = new AbortController()
  const signal =
    options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal])
  // The walk waits at each chunk until its keys are taken; the loop waits until there are some.
  let taken = (): void => undefined
  let filled = (): void => undefined
  let outcome: { summary: RdbSummary } | { error: unknown } | undefined
  const walk = walkRdb(source, builder.visitor, {
    ...walkOptions,
    signal,
    drain: () => {
      if (builder.keys.length === 0) return options.drain?.()
      filled()
      return new Promise<void>((resolve) => {
        taken = resolve
      })
    },
  }).then(
    ({ summary }) => (outcome = { summary }),
    (error: unknown) => (outcome = { error }),
  )
  try {
    for (;;) {
      if (builder.keys.length === 0 && outcome === undefined) {
        const some = new Promise<void>((resolve) => {
          filled = resolve
        })
        taken()
        await Promise.race([some, walk])
      }
      const keys = builder.keys
      builder.keys = []
      yield* keys
      if (outcome !== undefined && builder.keys.length === 0) {
        if ('error' in outcome) throw outcome.error
        return outcome.summary
      }
    }
  } finally {
    stop.abort()
    taken()
    await walk
  }
}

async function open(source: string | Readable, signal: AbortSignal | undefined): Promise<RdbInput> {
  if (typeof source === 'string') return await openRdbInput(source, { signal })
  const input = await openStream(source, 'stream', undefined, { signal })
  return { input, name: input.name, increments: [], close: () => input.close() }
}
