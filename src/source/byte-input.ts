/** Bytes of a source, from wherever they come: source.ts and shards.ts open them. */
import type { Buffer } from 'node:buffer'

/** What a file is by its first bytes. `vcs`: Valkey's compressed envelope around an RDB. */
export type InputKind = 'rdb' | 'aof' | 'manifest' | 'vcs' | 'empty' | 'unknown'

export interface ByteInput {
  /** For messages: the path, or `stdin`. */
  readonly name: string
  readonly kind: InputKind
  readonly compression: 'none' | 'gzip' | 'zstd'
  /** Bytes on disk (compressed, if so); undefined for a pipe. */
  readonly sizeBytes: number | undefined
  /** The first bytes, unpacked; they come again with `pump`. At most `PEEK_BYTES`. */
  readonly head: Buffer
  /** Bytes read so far, counted on disk: for progress against `sizeBytes`. */
  readonly consumedBytes: number
  /** Of a plain file: open as long as this is. */
  readonly fd?: number | undefined
  /**
   * Hands every byte to `push`, in order, in chunks that are valid only during the call (where
   * `push` returns a promise: until it resolves). Ends at the end of the input, when `push`
   * returns `false`, or with an AbortedError.
   */
  pump(push: Push, options?: PumpOptions): Promise<void>
  /** The last bytes; undefined where they cannot be had before all others (a pipe, compressed). */
  readTail(byteCount: number): Buffer | undefined
  close(): void
}

export type Push = (chunk: Buffer) => boolean | undefined | Promise<boolean | undefined>

export interface PumpOptions {
  signal?: AbortSignal | undefined
  /** Where chunks of plain files are read into, e.g. memory of a wasm kernel. */
  buffer?: Buffer | undefined
  /** Starts so many (unpacked) bytes behind the beginning. */
  startByteOffset?: number | undefined
  /** Called between chunks, for progress. */
  onProgress?: ((consumedBytes: number) => void) | undefined
}
