/**
 * One open line to a server: TCP, TLS or a unix socket, over IPv4 or IPv6.
 *
 * Bytes are read into one reusable buffer and offered as a region of it; what the reader leaves
 * unread stays there and is offered again together with what comes next. So lines, marks and
 * blocks for a checksum never have to be put together elsewhere, and nothing is allocated per
 * read. The line knows no protocol. Who opens it sets the pace with `pause` and `resume`.
 */
import { connect as connectPlain, type Socket, type TcpNetConnectOpts } from 'node:net'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'
import { allocateIoBuffer } from '../kernels/kernel.js'
import { AbortedError, InternalError } from '../errors.js'
import { formatServerAddress, type ServerAddress } from './address.js'
import { connectError, lineError, noTlsError, plainPortError, timeoutError } from './line-errors.js'
import { ReadPacer } from './read-pacer.js'
import { certifiedName, dialledPlace, located, type ServerSettings } from './server-settings.js'

export interface LineReader {
  /**
   * `bytes[start..end)` are unread. Returns where the unread bytes begin now. Must take something
   * when the buffer (LINE_BUFFER_BYTES) is full. A throw closes the line and comes to `onClose`.
   */
  onBytes(bytes: Buffer, start: number, end: number): number
  /** The line is closed: by the peer (undefined), by a fault, or by what `onBytes` threw. Bytes
   * left unread are offered once more to `onBytes` before. Not called after `close`. */
  onClose(error: Error | undefined): void
}

export interface Line {
  /** For messages; no secrets in it. */
  readonly name: string
  /** Where it goes, in place of a name that was asked for. */
  readonly address: ServerAddress
  /** Queues bytes; they must not be changed afterwards. */
  write(bytes: Uint8Array | string): void
  /** Bytes that are written but not yet taken by the system. */
  readonly queuedBytes: number
  pause(): void
  resume(): void
  /** For bulk data: rests between small reads, see read-pacer.ts. No effect on TLS. */
  coalesce(on: boolean): void
  /** The same by another rule: how many ms to rest after a read of so many bytes. */
  pace(restMs: (byteCount: number) => number): void
  /** Closes at once, without `onClose`. May be called twice. */
  close(): void
}

/** Read buffer. 64 KiB cost twice the time of 1 MiB; blocks for the checksum want the rest. */
export const LINE_BUFFER_BYTES = 1 << 20
/** With less room than this, what is unread is moved to the buffer's front. */
const MIN_ROOM_BYTES = 1 << 16
const MAX_PROBE_MS = 2000
/** A TLS port that has not begun its part by then, or in a third of the timeout, is asked whether
 * it speaks plainly. */
const TLS_SILENCE_MS = 1000
const PLUS = 0x2b
const MINUS = 0x2d

/** Opens a line. Rejects with LinkError (see line-errors.ts) or AbortedError. */
export async function openLine(
  wished: ServerSettings,
  reader: LineReader,
  signal?: AbortSignal,
): Promise<Line> {
  if (isAborted(signal)) throw new AbortedError()
  const settings = await located(wished, signal)
  if (isAborted(signal)) throw new AbortedError()
  const buffer = new ReadBuffer(reader)
  const socket = startConnect(settings, buffer)
  await connected(socket, settings, signal)
  // What came of it just before the signal fired would not hear of that any more.
  if (isAborted(signal)) {
    socket.destroy()
    throw new AbortedError()
  }
  return new SocketLine(settings.address, socket, buffer, reader)
}

function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true
}

function startConnect(settings: ServerSettings, buffer: ReadBuffer): Socket {
  const { address } = settings
  if (address.transport !== 'tls') {
    const place =
      address.transport === 'unix'
        ? { path: address.socketPath ?? '' }
        : ({ ...placeOf(settings) } satisfies TcpNetConnectOpts)
    // @types/node does not know that `buffer` may be asked for before each read.
    return connectPlain({
      ...place,
      onread: {
        buffer: () => buffer.room(),
        callback: (byteCount: number) => buffer.read(byteCount),
      },
    } as unknown as TcpNetConnectOpts)
  }
  const tls = settings.tls ?? {}
  const name = certifiedName(settings)
  const options: ConnectionOptions = {
    ...placeOf(settings),
    rejectUnauthorized: tls.insecure !== true,
    ...(name === undefined ? {} : { servername: name }),
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls.key === undefined ? {} : { key: tls.key }),
  }
  return connectTls(options)
}

function placeOf(settings: ServerSettings): { host: string; port: number } {
  const { host, port } = dialledPlace(settings)
  return { host, port }
}

/** What stands at an address that took a TLS connection and says nothing: nobody, a server that
 * answers plain commands, or one that answers nothing (it may be busy). Never rejects. */
export async function probePlain(
  settings: ServerSettings,
  signal?: AbortSignal,
): Promise<'nobody' | 'plain' | 'mute'> {
  if (settings.address.transport !== 'tls') return 'nobody'
  const socket = connectPlain(placeOf(settings))
  try {
    const timeoutMs = Math.min(settings.timeoutMs, MAX_PROBE_MS)
    const address = { ...settings.address, transport: 'tcp' as const }
    await connected(socket, { ...settings, address, timeoutMs }, signal)
    socket.write('PING\r\n')
    return (await firstByte(socket, timeoutMs, signal)) ? 'plain' : 'mute'
  } catch {
    return 'nobody'
  } finally {
    socket.destroy()
  }
}

/** Calls `onPlain` where TLS has not come about after a second because the port speaks none: that
 * would else be found only after the whole timeout, and be taken for a busy server. Returns what
 * ends the watch; nothing is called after it. */
export function watchTlsSilence(
  settings: ServerSettings,
  signal: AbortSignal | undefined,
  onPlain: () => void,
): () => void {
  if (settings.address.transport !== 'tls') return ignore
  let isWatching = true
  const timer = setTimeout(
    () => {
      void probePlain(settings, signal).then((what) => {
        if (what === 'plain' && isWatching) onPlain()
      })
    },
    Math.min(TLS_SILENCE_MS, settings.timeoutMs / 3),
  )
  return () => {
    isWatching = false
    clearTimeout(timer)
  }
}

/** True for the begin of a reply: `+PONG`, or a refusal. */
async function firstByte(
  socket: Socket,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  return new Promise((resolve) => {
    const settle = (isReply: boolean): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onEnd)
      resolve(isReply)
    }
    const onEnd = (): void => settle(false)
    const timer = setTimeout(onEnd, timeoutMs)
    signal?.addEventListener('abort', onEnd, { once: true })
    socket.on('error', onEnd)
    socket.on('close', onEnd)
    socket.once('data', (chunk: Buffer) => settle(chunk[0] === PLUS || chunk[0] === MINUS))
  })
}

async function connected(
  socket: Socket,
  settings: ServerSettings,
  signal: AbortSignal | undefined,
): Promise<void> {
  const readyEvent = settings.address.transport === 'tls' ? 'secureConnect' : 'connect'
  await new Promise<void>((resolve, reject) => {
    const fail = (error: Error): void => {
      settle()
      // A TLS socket may report a second fault while it is torn down.
      socket.on('error', ignore)
      socket.destroy()
      reject(error)
    }
    const onReady = (): void => {
      settle()
      resolve()
    }
    const onError = (error: Error): void => fail(connectError(settings, error))
    const onClose = (): void =>
      fail(connectError(settings, new Error('the connection was closed while it was set up')))
    const onAbort = (): void => fail(new AbortedError())
    let isConnected = false
    const onConnect = (): void => void (isConnected = true)
    const stopWatch = watchTlsSilence(settings, signal, () => fail(plainPortError(settings)))
    const timer = setTimeout(
      () => fail(isConnected ? noTlsError(settings) : timeoutError(settings, 'no connection')),
      settings.timeoutMs,
    )
    const settle = (): void => {
      clearTimeout(timer)
      stopWatch()
      socket.off('connect', onConnect)
      socket.off(readyEvent, onReady)
      socket.off('error', onError)
      socket.off('close', onClose)
      signal?.removeEventListener('abort', onAbort)
    }
    socket.once('connect', onConnect)
    socket.once(readyEvent, onReady)
    socket.once('error', onError)
    socket.once('close', onClose)
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}

class SocketLine implements Line {
  readonly name: string
  readonly address: ServerAddress
  readonly #socket: Socket
  readonly #buffer: ReadBuffer
  #open = true
  #restTimer: NodeJS.Timeout | undefined

  constructor(address: ServerAddress, socket: Socket, buffer: ReadBuffer, reader: LineReader) {
    const name = formatServerAddress(address)
    this.address = address
    this.name = name
    this.#socket = socket
    this.#buffer = buffer
    const finish = (error: Error | undefined): void => {
      if (!this.#open) return
      this.close()
      reader.onClose(error)
    }
    buffer.onFault = finish
    socket.setNoDelay(true)
    socket.setKeepAlive(true, 30_000)
    socket.on('error', (error) => finish(lineError(name, error)))
    socket.on('end', () => finish(buffer.last()))
    socket.on('close', () => finish(undefined))
    buffer.onRest = (restMs) => this.#rest(restMs)
    // Sockets opened with `onread` never emit it: this is for TLS.
    socket.on('data', (chunk: Buffer) => {
      if (!buffer.copyIn(chunk)) socket.pause()
    })
  }

  get queuedBytes(): number {
    return this.#socket.writableLength
  }

  write(bytes: Uint8Array | string): void {
    if (this.#open) this.#socket.write(bytes)
  }

  pause(): void {
    this.#buffer.paused = true
    this.#socket.pause()
  }

  resume(): void {
    if (!this.#open) return
    this.#buffer.paused = false
    this.#socket.resume()
  }

  coalesce(on: boolean): void {
    const pacer = new ReadPacer()
    this.#buffer.restMs = on ? (bytes) => pacer.read(bytes, performance.now()) : noRest
  }

  pace(restMs: (byteCount: number) => number): void {
    this.#buffer.restMs = restMs
  }

  /** Goes on with reading a little later. */
  #rest(restMs: number): void {
    this.#restTimer = setTimeout(() => {
      if (this.#open && !this.#buffer.paused) this.#socket.resume()
    }, restMs)
  }

  close(): void {
    this.#open = false
    clearTimeout(this.#restTimer)
    this.#buffer.closed = true
    this.#socket.destroy()
  }
}

/** The bytes read and not yet taken: `bytes[start..end)`. */
class ReadBuffer {
  onFault: (error: Error) => void = ignore
  onRest: (restMs: number) => void = ignore
  restMs: (byteCount: number) => number = noRest
  paused = false
  closed = false
  readonly #reader: LineReader
  /** In the memory of the checksum's kernel: what is read here is checked without a copy. */
  readonly #bytes = allocateIoBuffer(LINE_BUFFER_BYTES)
  #start = 0
  #end = 0

  constructor(reader: LineReader) {
    this.#reader = reader
  }

  /** Where the next read may put bytes. */
  room(): Buffer {
    this.#makeRoom()
    return this.#bytes.subarray(this.#end)
  }

  /** `filled` for sockets that read into `room()` themselves. */
  read(byteCount: number): boolean {
    const goOn = this.filled(byteCount)
    if (!goOn) return false
    const restMs = this.restMs(byteCount)
    if (restMs === 0) return true
    this.onRest(restMs)
    return false
  }

  /** So many bytes were read into `room()`. False stops the reading. */
  filled(byteCount: number): boolean {
    if (this.closed) return false
    this.#end += byteCount
    this.#offer()
    return !this.paused
  }

  /** For sockets that bring their own chunks. */
  copyIn(chunk: Buffer): boolean {
    let from = 0
    while (from < chunk.length && !this.closed) {
      this.#makeRoom()
      const count = chunk.copy(this.#bytes, this.#end, from)
      from += count
      // A TLS record is smaller than the room that is always there: one turn, and so no bytes for
      // a reader that has just paused.
      this.filled(count)
    }
    return !this.paused
  }

  /** The peer has closed: offers what is left. Returns what went wrong in that. */
  last(): Error | undefined {
    let fault: Error | undefined
    this.onFault = (error) => (fault = error)
    if (!this.closed && this.#end > this.#start) this.#offer()
    return fault
  }

  #offer(): void {
    try {
      this.#start = this.#reader.onBytes(this.#bytes, this.#start, this.#end)
    } catch (error) {
      this.onFault(error instanceof Error ? error : new Error(String(error)))
      return
    }
    if (this.#start === this.#end) {
      this.#start = 0
      this.#end = 0
    } else if (this.#start === 0 && this.#end === this.#bytes.length && !this.closed) {
      this.onFault(new InternalError('the reader of a line left a full buffer unread'))
    }
  }

  #makeRoom(): void {
    if (this.#bytes.length - this.#end >= MIN_ROOM_BYTES) return
    if (this.#start > 0) {
      this.#bytes.copyWithin(0, this.#start, this.#end)
      this.#end -= this.#start
      this.#start = 0
    }
  }
}

function noRest(): number {
  return 0
}

function ignore(): void {
  // Nothing to do.
}
