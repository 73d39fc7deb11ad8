/** An output that takes bytes as they come: what is out is out. */
import { Buffer } from 'node:buffer'
import { fstatSync, writeSync } from 'node:fs'
import type { Writable } from 'node:stream'
import { AbortedError, FileError, InternalError } from '../../errors.js'
import { errnoOf, outputError } from '../file-error.js'
import { withoutBlocking, type OpenNode } from './node-stream.js'
import type { Output } from './output.js'

export interface StreamOutputOptions {
  neverWaits?: boolean | undefined
  signal?: AbortSignal | undefined
}

export class StreamOutput implements Output {
  writtenBytes = 0
  readonly canTakeBack = false
  readonly canReadBack = false
  readonly #stream: Writable
  readonly #isOwn: boolean
  readonly #name: string
  readonly #signal: AbortSignal | undefined
  /** Where writing goes past the stream: bytes need no copy then. */
  #fd: number | undefined
  #isFull = false
  #fault: Error | undefined
  readonly #onError = (error: Error): void => {
    this.#fault ??= error
  }

  /** Over a stream of the caller's, which stays open. */
  static over(stream: Writable, options: StreamOutputOptions): StreamOutput {
    const used = options.neverWaits === true ? withoutBlocking(stream) : stream
    const isOwn = used !== stream
    return new StreamOutput(used, descriptorOf(used), 'the output', isOwn, options.signal)
  }

  /** Over one that goes with this output. */
  static owning(node: OpenNode, name: string, options: StreamOutputOptions): StreamOutput {
    return new StreamOutput(node.stream, node.fd, name, true, options.signal)
  }

  private constructor(
    stream: Writable,
    fd: number | undefined,
    name: string,
    isOwn: boolean,
    signal: AbortSignal | undefined,
  ) {
    this.#stream = stream
    this.#fd = fd
    this.#name = name
    this.#isOwn = isOwn
    this.#signal = signal
    stream.on('error', this.#onError)
  }

  get canRestart(): boolean {
    return this.writtenBytes === 0
  }

  write(bytes: Uint8Array, start = 0, end = bytes.length): void {
    this.#check()
    this.writtenBytes += end - start
    const from = this.#fd === undefined ? start : this.#writeNow(this.#fd, bytes, start, end)
    if (from === end) return
    // A copy: the stream may keep it beyond this call.
    if (!this.#stream.write(Buffer.from(bytes.subarray(from, end)))) this.#isFull = true
  }

  /** Returns how far it came: a pipe that does not block may be full. */
  #writeNow(fd: number, bytes: Uint8Array, start: number, end: number): number {
    let at = start
    try {
      while (at < end) at += writeSync(fd, bytes, at, end - at)
    } catch (error) {
      if (errnoOf(error) !== 'EAGAIN') throw outputError(error, this.#name)
      // From here on the stream waits for its reader.
      this.#fd = undefined
    }
    return at
  }

  drain(): Promise<void> | undefined {
    this.#check()
    return this.#isFull ? this.#drained() : undefined
  }

  restart(): void {
    if (!this.canRestart) throw new FileError('ERR_OUTPUT_GONE', 'a part of the output is out')
  }

  readBack(): never {
    throw new InternalError('what is out cannot be read again')
  }

  async finish(): Promise<void> {
    // What the stream still holds is out when it calls back.
    await new Promise<void>((resolve, reject) => {
      this.#check()
      this.#stream.write('', (error) => {
        if (error === null || error === undefined) resolve()
        else reject(outputError(error, this.#name))
      })
    })
    this.discard()
  }

  discard(): void {
    if (this.#isOwn) this.#stream.destroy()
    // An error event without a listener would end the process: one more turn to let it come.
    else setImmediate(() => this.#stream.off('error', this.#onError))
  }

  async #drained(): Promise<void> {
    if (this.#stream.writableNeedDrain) await this.#untilDrained()
    if (this.#signal?.aborted === true) throw new AbortedError()
    this.#isFull = false
    this.#check()
  }

  /** Or until it has ended in one way or another. Asked at every write: what `once` makes for that costs more
   * than the write itself. */
  async #untilDrained(): Promise<void> {
    const stream = this.#stream
    const signal = this.#signal
    await new Promise<void>((resolve) => {
      const end = (): void => {
        for (const name of ['drain', 'close', 'error']) stream.off(name, end)
        signal?.removeEventListener('abort', end)
        resolve()
      }
      for (const name of ['drain', 'close', 'error']) stream.on(name, end)
      signal?.addEventListener('abort', end)
      if (signal?.aborted === true) end()
    })
  }

  #check(): void {
    // The event of an error comes a turn later than the state.
    const fault = this.#fault ?? this.#stream.errored
    if (fault !== null) throw outputError(fault, this.#name)
    if (this.#stream.destroyed) {
      throw new FileError('ERR_OUTPUT_CLOSED', `the reader of ${this.#name} is gone`)
    }
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
