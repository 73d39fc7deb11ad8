/**
 * Where a snapshot goes while it arrives: into a file as it is, into a compressed file, or into a
 * stream. All take bytes at once and without waiting; what a compressor or a slow reader cannot
 * take yet is spooled (spool.ts).
 */
import { dirname } from 'node:path'
import { tmpdir } from 'node:os'
import type { Transform, Writable } from 'node:stream'
import zlib from 'node:zlib'
import { FileError, UsageError } from '../errors.js'
import { FileSink } from './file-sink.js'
import { withoutBlocking } from './pipe-stream.js'
import { Spool } from './spool.js'

export interface Compression {
  algorithm: 'gzip' | 'zstd'
  /** gzip 1 to 9 (default 6), zstd 1 to 22 (default 3). */
  level?: number | undefined
}

export interface SnapshotOutput {
  /** What stands in the output now, or is on its way there. */
  readonly writtenBytes: number
  /** False where something is out that cannot be taken back. */
  readonly canRestart: boolean
  /** Throws FileError. */
  write(bytes: Uint8Array, start: number, end: number): void
  /** Forgets what was written. */
  restart(): void
  /** Resolves when all is written, durable and under its name. */
  finish(): Promise<void>
  /** Leaves no trace, as far as that is possible. */
  discard(): void
}

/** Bytes that wait in memory for a compressor or a reader before the disk is used. */
export const OUTPUT_MEMORY_BYTES = 16 << 20
const PIECE_BYTES = 64 << 10

export class PlainFileOutput implements SnapshotOutput {
  readonly canRestart = true
  readonly file: FileSink

  constructor(path: string) {
    this.file = new FileSink(path, { direct: true })
  }

  get writtenBytes(): number {
    return this.file.bytes
  }

  write(bytes: Uint8Array, start: number, end: number): void {
    this.file.write(bytes, start, end)
  }

  restart(): void {
    this.file.restart()
  }

  async finish(): Promise<void> {
    await this.file.commit()
  }

  discard(): void {
    this.file.discard()
  }
}

/** A compressed file: its compressor works beside the link. */
export class CompressedFileOutput implements SnapshotOutput {
  readonly canRestart = true
  readonly #file: FileSink
  readonly #compression: Compression
  #pump: Pump

  constructor(path: string, compression: Compression) {
    // Before the file is made: a missing zstd leaves no trace.
    createCompressor(compression).destroy()
    this.#compression = compression
    this.#file = new FileSink(path)
    this.#pump = this.#startPump()
  }

  get writtenBytes(): number {
    return this.#file.bytes
  }

  write(bytes: Uint8Array, start: number, end: number): void {
    this.#pump.write(bytes, start, end)
  }

  restart(): void {
    this.#pump.stop()
    this.#file.restart()
    this.#pump = this.#startPump()
  }

  async finish(): Promise<void> {
    await this.#pump.finish()
    await this.#file.commit()
  }

  discard(): void {
    this.#pump.stop()
    this.#file.discard()
  }

  #startPump(): Pump {
    const file = this.#file
    const pump = new Pump(dirname(file.targetPath), this.#compression, (chunk) => {
      if (!pump.stopped) file.write(chunk)
      return undefined
    })
    return pump
  }
}

/** A stream, mostly stdout: what is out is out. */
export class StreamOutput implements SnapshotOutput {
  readonly #original: Writable
  readonly #stream: Writable
  readonly #pump: Pump
  #written = 0
  #fault: Error | undefined

  constructor(stream: Writable, compression: Compression | undefined) {
    this.#original = stream
    this.#stream = withoutBlocking(stream)
    this.#stream.on('error', this.#onError)
    this.#pump = new Pump(tmpdir(), compression, async (chunk) => {
      this.#written += chunk.length
      await this.#writeChunk(chunk)
    })
  }

  get writtenBytes(): number {
    return this.#written
  }

  get canRestart(): boolean {
    return this.#written === 0 && !this.#pump.started
  }

  write(bytes: Uint8Array, start: number, end: number): void {
    this.#pump.write(bytes, start, end)
  }

  restart(): void {
    if (!this.canRestart) throw new FileError('ERR_OUTPUT_GONE', 'a part of the output is out')
  }

  async finish(): Promise<void> {
    await this.#pump.finish()
    this.#close()
  }

  discard(): void {
    this.#pump.stop()
    this.#close()
  }

  async #writeChunk(chunk: Buffer): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      if (this.#fault !== undefined) {
        reject(this.#fault)
        return
      }
      // An error comes to the callback; a stream destroyed while it waits, too.
      this.#stream.write(chunk, (error) => {
        if (error === null || error === undefined) resolve()
        else reject(streamFault(error))
      })
    })
  }

  readonly #onError = (error: Error): void => {
    this.#fault = streamFault(error)
  }

  #close(): void {
    if (this.#stream === this.#original) this.#stream.off('error', this.#onError)
    else this.#stream.destroy()
  }
}

/** Spool → compressor → `take`, until `finish` or `stop`. */
class Pump {
  stopped = false
  started = false
  readonly #spool: Spool
  readonly #compressor: Transform | undefined
  readonly #take: (chunk: Buffer) => Promise<void> | undefined
  readonly #done: Promise<void>
  #fault: unknown

  constructor(
    spoolDirectory: string,
    compression: Compression | undefined,
    take: (chunk: Buffer) => Promise<void> | undefined,
  ) {
    this.#take = take
    this.#spool = new Spool({ memoryBytes: OUTPUT_MEMORY_BYTES, directory: spoolDirectory })
    this.#compressor = compression === undefined ? undefined : createCompressor(compression)
    this.#done = this.#run().catch((error: unknown) => {
      this.#fault = error
      this.#spool.close()
    })
  }

  write(bytes: Uint8Array, start: number, end: number): void {
    if (this.#fault !== undefined) throw this.#fault as Error
    this.started = true
    this.#spool.write(bytes, start, end)
  }

  async finish(): Promise<void> {
    this.#spool.end()
    await this.#done
    if (this.#fault !== undefined) throw this.#fault as Error
  }

  stop(): void {
    this.stopped = true
    this.#spool.close()
    this.#spool.end()
    this.#compressor?.destroy()
  }

  async #run(): Promise<void> {
    const compressor = this.#compressor
    if (compressor === undefined) {
      for await (const chunk of this.#spool.chunks()) await this.#give(chunk)
      return
    }
    const feed = this.#feed(compressor).catch((error: unknown) => {
      compressor.destroy(error as Error)
    })
    try {
      for await (const chunk of compressor) {
        const wait = this.#take(chunk as Buffer)
        if (wait !== undefined) await wait
      }
    } catch (error) {
      // A compressor destroyed by `stop` is no fault.
      if (!this.stopped) throw error
    }
    await feed
  }

  async #give(chunk: Buffer): Promise<void> {
    for (let at = 0; at < chunk.length && !this.stopped; at += PIECE_BYTES) {
      const wait = this.#take(chunk.subarray(at, at + PIECE_BYTES))
      if (wait !== undefined) await wait
    }
  }

  async #feed(compressor: Transform): Promise<void> {
    for await (const chunk of this.#spool.chunks()) {
      if (this.stopped) return
      if (!compressor.write(chunk)) {
        await new Promise<void>((resolve) => {
          const go = (): void => {
            compressor.off('drain', go)
            compressor.off('close', go)
            resolve()
          }
          compressor.on('drain', go)
          compressor.on('close', go)
        })
      }
    }
    compressor.end()
  }
}

/** Throws UsageError where this Node has no zstd. */
export function createCompressor({ algorithm, level }: Compression): Transform {
  if (algorithm === 'gzip') {
    return zlib.createGzip({ chunkSize: 256 << 10, ...(level === undefined ? {} : { level }) })
  }
  const { createZstdCompress, constants } = zlib as {
    createZstdCompress?: (options: object) => Transform
    constants: { ZSTD_c_compressionLevel?: number }
  }
  const parameter = constants.ZSTD_c_compressionLevel
  if (createZstdCompress === undefined || parameter === undefined) {
    throw new UsageError('zstd needs Node 22.15 or newer', {
      hint: 'use --compress gzip, or pipe: rrep sync -o - | zstd > dump.rdb.zst',
    })
  }
  return createZstdCompress({
    chunkSize: 256 << 10,
    ...(level === undefined ? {} : { params: { [parameter]: level } }),
  })
}

function streamFault(error: Error): FileError {
  const code = (error as NodeJS.ErrnoException).code
  const gone = code === 'EPIPE' || code === 'ERR_STREAM_DESTROYED'
  return new FileError(
    gone ? 'ERR_OUTPUT_CLOSED' : 'ERR_CANNOT_WRITE',
    gone ? 'the reader of the output went away' : `cannot write the output: ${error.message}`,
    { cause: error },
  )
}
