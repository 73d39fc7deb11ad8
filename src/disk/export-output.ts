/**
 * Where an export goes: a file that appears whole or not at all, or a stream with backpressure.
 *
 * `write` takes bytes at once and never waits; between chunks of input the caller awaits `drain`,
 * so that no more than one chunk's output is ever queued.
 */
import { Buffer } from 'node:buffer'
import { closeSync, fstatSync, openSync, statSync, writeSync } from 'node:fs'
import { once } from 'node:events'
import type { Writable } from 'node:stream'
import { AbortedError, FileError } from '../errors.js'
import { fileFault } from './file-fault.js'
import { FileSink } from './file-sink.js'

export interface ExportOutput {
  readonly writtenBytes: number
  /** Takes the bytes, which are valid during the call only. Throws FileError. */
  write(bytes: Buffer): void
  /** Undefined: go on. Else a promise to wait for before more is written. */
  drain(): Promise<void> | undefined
  /** All is written: durable and under its name. */
  finish(): Promise<void>
  /** Leaves no trace, as far as that is possible. */
  discard(): void
}

export function openExportOutput(target: string | Writable, signal?: AbortSignal): ExportOutput {
  if (typeof target !== 'string') return new StreamTarget(target, signal)
  // A device or a named pipe is written to; putting a file in its place would be a bad surprise.
  const stat = statSync(target, { throwIfNoEntry: false })
  if (stat !== undefined && !stat.isFile() && !stat.isDirectory()) return new DeviceTarget(target)
  return new FileTarget(target)
}

class FileTarget implements ExportOutput {
  readonly #file: FileSink

  constructor(path: string) {
    this.#file = new FileSink(path)
  }

  get writtenBytes(): number {
    return this.#file.bytes
  }

  write(bytes: Buffer): void {
    this.#file.write(bytes)
  }

  drain(): undefined {
    return undefined
  }

  async finish(): Promise<void> {
    await this.#file.commit()
  }

  discard(): void {
    this.#file.discard()
  }
}

class DeviceTarget implements ExportOutput {
  writtenBytes = 0
  readonly #path: string
  #fd: number | undefined

  constructor(path: string) {
    this.#path = path
    try {
      this.#fd = openSync(path, 'w')
    } catch (error) {
      throw fileFault(path, 'open', error)
    }
  }

  write(bytes: Buffer): void {
    let at = 0
    try {
      while (at < bytes.length) at += writeSync(this.#fd!, bytes, at)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EPIPE') throw outputClosed(error)
      throw fileFault(this.#path, 'write', error, this.writtenBytes + at)
    }
    this.writtenBytes += bytes.length
  }

  drain(): undefined {
    return undefined
  }

  finish(): Promise<void> {
    this.discard()
    return Promise.resolve()
  }

  discard(): void {
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
  }
}

class StreamTarget implements ExportOutput {
  writtenBytes = 0
  readonly #stream: Writable
  readonly #signal: AbortSignal | undefined
  /** Where writing goes past the stream: bytes need no copy then. */
  #fd: number | undefined
  #full = false
  #fault: Error | undefined
  readonly #onError = (error: Error): void => {
    this.#fault ??= error
  }

  constructor(stream: Writable, signal: AbortSignal | undefined) {
    this.#stream = stream
    this.#fd = descriptorOf(stream)
    this.#signal = signal
    stream.on('error', this.#onError)
  }

  write(bytes: Buffer): void {
    this.#check()
    this.writtenBytes += bytes.length
    const from = this.#fd === undefined ? 0 : this.#writeNow(this.#fd, bytes)
    if (from === bytes.length) return
    // A copy: the stream may keep it beyond this call.
    if (!this.#stream.write(Buffer.from(bytes.subarray(from)))) this.#full = true
  }

  /** Returns how far it came: a pipe that does not block may be full. */
  #writeNow(fd: number, bytes: Buffer): number {
    let at = 0
    try {
      while (at < bytes.length) at += writeSync(fd, bytes, at)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw streamFault(error)
      // From here on the stream waits for its reader.
      this.#fd = undefined
    }
    return at
  }

  drain(): Promise<void> | undefined {
    this.#check()
    return this.#full ? this.#drained() : undefined
  }

  async finish(): Promise<void> {
    // What the stream still holds is out when it calls back.
    await new Promise<void>((resolve, reject) => {
      this.#check()
      this.#stream.write('', (error) => (error ? reject(streamFault(error)) : resolve()))
    })
    this.discard()
  }

  discard(): void {
    // An error event without a listener would end the process: one more turn to let it come.
    setImmediate(() => this.#stream.off('error', this.#onError))
  }

  async #drained(): Promise<void> {
    if (!this.#stream.writableNeedDrain) {
      this.#full = false
      return
    }
    const ended = new AbortController()
    const signal = this.#signal ? AbortSignal.any([this.#signal, ended.signal]) : ended.signal
    try {
      await Promise.race([
        once(this.#stream, 'drain', { signal }),
        once(this.#stream, 'close', { signal }),
      ])
    } catch (error) {
      if (this.#signal?.aborted === true) throw new AbortedError()
      throw streamFault(error)
    } finally {
      ended.abort()
    }
    this.#full = false
    this.#check()
  }

  #check(): void {
    if (this.#fault !== undefined) throw streamFault(this.#fault)
    if (this.#stream.destroyed) throw outputClosed(undefined)
  }
}

/** Of a standard stream that leads to a file, a device or a pipe and has nothing queued. */
function descriptorOf(stream: Writable): number | undefined {
  const { fd } = stream as { fd?: unknown }
  if (typeof fd !== 'number' || stream.writableLength > 0) return undefined
  try {
    const stat = fstatSync(fd)
    return stat.isFile() || stat.isFIFO() || stat.isCharacterDevice() ? fd : undefined
  } catch {
    return undefined
  }
}

function streamFault(error: unknown): Error {
  const code = (error as NodeJS.ErrnoException | undefined)?.code
  if (code === 'EPIPE' || code === 'ERR_STREAM_DESTROYED' || code === 'ECONNRESET') {
    return outputClosed(error)
  }
  return fileFault('the output', 'write', error)
}

/** The reader of a pipe went away: it had what it wanted. */
function outputClosed(cause: unknown): FileError {
  return new FileError('ERR_OUTPUT_CLOSED', 'the reader of the output is gone', { cause })
}
