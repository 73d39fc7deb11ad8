/**
 * Opens what a user names: a file, a directory in multi-part AOF form, or standard input. Finds
 * the kind from the first bytes, never from the name, and unpacks gzip (and zstd where this Node
 * has it) on the way. What a name means is told by
 * classify.ts.
 *
 * Plain files are read synchronously into one reused buffer, which is twice as fast as a stream;
 * everything else arrives as a stream. Both look the same to the caller: `pump`.
 */
import { Buffer } from 'node:buffer'
import { closeSync, constants, createReadStream, fstatSync, openSync, readSync } from 'node:fs'
import { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import { pipeline, Transform } from 'node:stream'
import {
  AbortedError,
  CompressedInputError,
  FileError,
  InternalError,
  ProtocolError,
  UsageError,
} from '../errors.js'
import { hasServerScheme, maskSecrets } from '../net/address.js'
import type { ByteInput, InputKind, PumpOptions, Push } from './byte-input.js'
import { isSealed, openSealed } from '../storage/age/streams.js'
import { isBucketPlace } from '../storage/open-store.js'
import type { StoredObject } from '../storage/store.js'
import { openBucketInput } from './bucket-input.js'
import { isShardDirectory, openShards } from './shards.js'
import { hasAllAuxFields } from '../rdb/head.js'

export type * from './byte-input.js'

/** Enough for the aux fields at the front of a snapshot. */
const PEEK_BYTES = 1024
/** And so many for its kind. */
const KIND_BYTES = 64
const BUFFER_BYTES = 1 << 20
/** Plain files are read synchronously; other work gets its turn after so many bytes. */
const YIELD_BYTES = 8 << 20

export interface OpenInputOptions {
  stdin?: Readable | undefined
  /** The file with the identity that opens what is encrypted with age. */
  identity?: string | undefined
  signal?: AbortSignal | undefined
}

/** Opens a file (or `-` for stdin) and looks at its first bytes. */
export async function openInput(path: string, options: OpenInputOptions = {}): Promise<ByteInput> {
  if (path === '-') {
    if (options.stdin === undefined) throw new UsageError('there is no standard input to read')
    return await openStream(options.stdin, 'stdin', undefined, options)
  }
  if (isBucketPlace(path)) {
    const open = async ({ stream, name, sizeBytes }: StoredObject): Promise<ByteInput> =>
      await openStream(stream, name, sizeBytes, options)
    return await openBucketInput(path, open, options.signal)
  }
  if (isShardDirectory(path)) {
    return await openShards(path, async (file) => await openInput(file, options))
  }
  const fd = openFile(path)
  let isFifo: boolean
  let sizeBytes: number | undefined
  try {
    const stat = fstatSync(fd)
    if (stat.isDirectory()) throw new UsageError(`${path} is a directory`)
    isFifo = stat.isFIFO()
    if (stat.isFile()) {
      const head = Buffer.alloc(PEEK_BYTES)
      const peeked = head.subarray(0, readSync(fd, head, 0, PEEK_BYTES, 0))
      const isPlain = compressionOf(peeked) === 'none' && !isSealed(peeked)
      if (isPlain) return new PlainFile(path, fd, stat.size, peeked)
      sizeBytes = stat.size
    }
  } catch (error) {
    closeSync(fd)
    throw error
  }
  if (isFifo) {
    // The socket closes it.
    const pipe = new Socket({ fd, readable: true, writable: false })
    return await openStream(pipe, path, undefined, options)
  }
  closeSync(fd)
  // A pipe or a device cannot be read twice: no peek, no seek.
  return await openStream(createReadStream(path), path, sizeBytes, options)
}

/** The same over a stream that the caller has: detection, unpacking, `pump`. */
export async function openStream(
  stream: Readable,
  name: string,
  sizeBytes?: number,
  options: OpenInputOptions = {},
): Promise<ByteInput> {
  const { signal } = options
  const counter = new ByteCounter()
  const raw = new PeekedStream(stream, signal)
  let peeked: Buffer
  try {
    peeked = await raw.peek(PEEK_BYTES)
  } catch (error) {
    raw.destroy()
    throw error
  }
  if (isSealed(peeked)) {
    const close = (): void => raw.destroy()
    try {
      const opened = await openSealed(name, raw.chunks(), options.identity, close)
      return await openStream(opened, name, sizeBytes, options)
    } catch (error) {
      close()
      throw error
    }
  }
  const compression = compressionOf(peeked)
  if (compression === 'none') {
    return new StreamInput(name, sizeBytes, 'none', peeked, raw, undefined, undefined)
  }
  const zlib = await import('node:zlib')
  const unpacker = compression === 'gzip' ? zlib.createGunzip() : createZstdDecompress(zlib)
  // The pipeline's error reaches the reader through the unpacker itself.
  pipeline(raw.chunks(), counter, unpacker, () => undefined)
  const unpacked = new PeekedStream(unpacker, signal)
  let head: Buffer
  try {
    head = await unpacked.peek(PEEK_BYTES)
  } catch (error) {
    unpacked.destroy()
    raw.destroy()
    throw unpackError(name, compression, error)
  }
  return new StreamInput(name, sizeBytes, compression, head, unpacked, counter, raw)
}

export function kindOf(head: Uint8Array): InputKind {
  if (head.length === 0) return 'empty'
  const text = Buffer.from(head.buffer, head.byteOffset, head.length).toString('latin1')
  if (text.startsWith('REDIS') || text.startsWith('VALKEY')) return 'rdb'
  if (text.startsWith('VCS') || text.startsWith('VKCS')) return 'vcs'
  if (text.startsWith('file ')) return 'manifest'
  if (/^\*[0-9]/.test(text) || text.startsWith('#')) return 'aof'
  return 'unknown'
}

function compressionOf(head: Uint8Array): 'none' | 'gzip' | 'zstd' {
  if (head[0] === 0x1f && head[1] === 0x8b) return 'gzip'
  if (head[0] === 0x28 && head[1] === 0xb5 && head[2] === 0x2f && head[3] === 0xfd) return 'zstd'
  return 'none'
}

class PlainFile implements ByteInput {
  readonly name: string
  readonly kind: InputKind
  readonly compression = 'none'
  readonly sizeBytes: number
  readonly head: Buffer
  consumedBytes = 0
  #fd: number | undefined

  constructor(name: string, fd: number, sizeBytes: number, head: Buffer) {
    this.name = name
    this.#fd = fd
    this.sizeBytes = sizeBytes
    this.head = Buffer.from(head)
    this.kind = kindOf(head)
  }

  get fd(): number | undefined {
    return this.#fd
  }

  async pump(push: Push, options: PumpOptions = {}): Promise<void> {
    const fd = this.#fd
    if (fd === undefined) throw new InternalError(`${this.name} was closed`)
    const buffer = options.buffer ?? Buffer.allocUnsafeSlow(BUFFER_BYTES)
    let at = options.startByteOffset ?? 0
    let sinceYield = 0
    for (;;) {
      checkAbort(options.signal)
      const count = readAt(fd, this.name, buffer, at)
      if (count === 0) return
      at += count
      this.consumedBytes = at
      const answer = push(count === buffer.length ? buffer : buffer.subarray(0, count))
      if ((typeof answer === 'object' ? await answer : answer) === false) return
      options.onProgress?.(at)
      sinceYield += count
      if (sinceYield >= YIELD_BYTES) {
        sinceYield = 0
        await new Promise<void>((resolve) => setImmediate(resolve))
      }
    }
  }

  readTail(byteCount: number): Buffer | undefined {
    if (this.#fd === undefined) throw new InternalError(`${this.name} was closed`)
    const tail = Buffer.alloc(Math.min(byteCount, this.sizeBytes))
    readAt(this.#fd, this.name, tail, this.sizeBytes - tail.length)
    return tail
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
  }
}

class StreamInput implements ByteInput {
  readonly name: string
  readonly kind: InputKind
  readonly compression: 'none' | 'gzip' | 'zstd'
  readonly sizeBytes: number | undefined
  readonly head: Buffer
  readonly #bytes: PeekedStream
  readonly #counter: ByteCounter | undefined
  /** What is unpacked: it ends by itself only where it is read to its end. */
  readonly #packed: PeekedStream | undefined
  #pumpedBytes = 0

  constructor(
    name: string,
    sizeBytes: number | undefined,
    compression: 'none' | 'gzip' | 'zstd',
    head: Buffer,
    bytes: PeekedStream,
    counter: ByteCounter | undefined,
    packed: PeekedStream | undefined,
  ) {
    this.name = name
    this.sizeBytes = sizeBytes
    this.compression = compression
    this.head = head
    this.kind = kindOf(head)
    this.#bytes = bytes
    this.#counter = counter
    this.#packed = packed
  }

  get consumedBytes(): number {
    return this.#counter?.byteCount ?? this.#pumpedBytes
  }

  async pump(push: Push, options: PumpOptions = {}): Promise<void> {
    let skip = options.startByteOffset ?? 0
    try {
      for await (const chunk of this.#bytes.chunks()) {
        checkAbort(options.signal)
        this.#pumpedBytes += chunk.length
        if (skip >= chunk.length) {
          skip -= chunk.length
          continue
        }
        const answer = push(skip === 0 ? chunk : chunk.subarray(skip))
        skip = 0
        if ((typeof answer === 'object' ? await answer : answer) === false) return
        options.onProgress?.(this.consumedBytes)
      }
    } catch (error) {
      throw isUnpackError(error) ? unpackError(this.name, this.compression, error) : error
    } finally {
      this.close()
    }
  }

  readTail(): undefined {
    return undefined
  }

  close(): void {
    this.#bytes.destroy()
    this.#packed?.destroy()
  }
}

/** The kind can be told, and of an RDB the aux fields are there: a writer may pause behind them. */
function isEnough(head: Buffer): boolean {
  if (head.length < KIND_BYTES) return false
  return kindOf(head) !== 'rdb' || hasAllAuxFields(head)
}

/** A readable whose first bytes can be looked at and come again. */
class PeekedStream {
  readonly #source: Readable
  readonly #iterator: AsyncIterator<Buffer>
  readonly #stored: Buffer[] = []
  readonly #signal: AbortSignal | undefined

  constructor(source: Readable, signal: AbortSignal | undefined) {
    this.#source = source
    this.#signal = signal
    this.#iterator = source[Symbol.asyncIterator]() as AsyncIterator<Buffer>
    // Without this, a reader that waits for a byte would not hear of an abort.
    const abort = (): void => {
      source.destroy(new AbortedError())
    }
    signal?.addEventListener('abort', abort, { once: true })
    source.once('close', () => signal?.removeEventListener('abort', abort))
  }

  async peek(byteCount: number): Promise<Buffer> {
    checkAbort(this.#signal)
    let head: Buffer = Buffer.alloc(0)
    while (head.length < byteCount && !isEnough(head)) {
      const next = await this.#iterator.next()
      if (next.done === true) break
      this.#stored.push(next.value)
      head = Buffer.concat([head, next.value])
    }
    return head.subarray(0, byteCount)
  }

  async *chunks(): AsyncGenerator<Buffer> {
    for (;;) {
      const stored = this.#stored.shift()
      if (stored !== undefined) {
        yield stored
        continue
      }
      const next = await this.#iterator.next()
      if (next.done === true) return
      yield next.value
    }
  }

  destroy(): void {
    this.#source.destroy()
  }
}

class ByteCounter extends Transform {
  byteCount = 0

  override _transform(
    chunk: Buffer,
    _encoding: BufferEncoding,
    done: (error: null, chunk: Buffer) => void,
  ): void {
    this.byteCount += chunk.length
    done(null, chunk)
  }
}

/** zstd came to Node with 22.15 and 23.8; older ones lack the function. */
function createZstdDecompress(zlib: object): Transform {
  const { createZstdDecompress: create } = zlib as { createZstdDecompress?: () => Transform }
  if (create === undefined) {
    throw new ProtocolError(
      'ERR_NO_ZSTD',
      'this input is compressed with zstd, which needs Node 22.15 or newer',
      {
        hint: 'unpack it first: zstd -dc FILE | rrep … -',
      },
    )
  }
  return create()
}

function unpackError(name: string, compression: string, cause: unknown): Error {
  if (!isUnpackError(cause)) return cause as Error
  const message = cause instanceof Error ? cause.message : String(cause)
  return new CompressedInputError(name, compression, message, cause)
}

function isUnpackError(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  return typeof code === 'string' && /^(Z_|ZSTD_)/.test(code)
}

function openFile(path: string): number {
  try {
    // A FIFO that nobody writes to yet would keep the whole process from going on.
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    const why = code === 'ENOENT' ? 'no such file' : code === 'EACCES' ? 'not allowed' : code
    const fault = code === 'ENOENT' ? 'ERR_NO_SUCH_FILE' : 'ERR_CANNOT_READ'
    // What was meant as a server may hold a password, and so does the message of the cause.
    const isServer = hasServerScheme(path)
    throw new FileError(fault, `cannot open ${maskSecrets(path)}: ${why ?? 'failed'}`, {
      ...(isServer
        ? { hint: 'this names a server: take its snapshot with `sync()`, and name that' }
        : { cause: error }),
    })
  }
}

function readAt(fd: number, name: string, buffer: Buffer, byteOffset: number): number {
  try {
    return readSync(fd, buffer, 0, buffer.length, byteOffset)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'failed'
    throw new FileError('ERR_CANNOT_READ', `cannot read ${name} at byte ${byteOffset}: ${code}`, {
      cause: error,
      details: { file: name, byteOffset },
    })
  }
}

function checkAbort(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw new AbortedError()
}
