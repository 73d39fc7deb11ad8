/**
 * Threads that work on pieces of a dump, and what comes of it in the order of the pieces. Bounded: few pieces
 * are out at a time, and a thread waits where the other side is not done with what it made. The piece whose
 * turn it is is never kept waiting, so neither is the whole.
 */
import { MessageChannel, Worker, type MessagePort } from 'node:worker_threads'
import { AbortedError, InternalError } from '../../errors.js'
import {
  CONTROL,
  CONTROL_BYTES,
  MOST_PARTS,
  PART_BYTES,
  type FromWorker,
  type Piece,
  type ToWorker,
  type WorkerStart,
} from './options.js'

type Done = Extract<FromWorker, { kind: 'done' }>

type ThreadStart = Omit<WorkerStart, 'control' | 'output' | 'port'>

export interface PoolEvents {
  /** Output, in order, valid until the promise resolves, if there is one. */
  bytes(bytes: Uint8Array): Promise<void> | undefined
  done(result: Done): void
}

export interface FailedPiece {
  readonly piece: Piece
  readonly message: string
  /** Of its output so many were handed on before. */
  readonly handedBytes: number
}

interface Turn {
  readonly piece: Piece
  readonly parts: Uint8Array[]
  thread: Thread | undefined
  result: Done | undefined
  failure: string | undefined
  handedBytes: number
}

/** Fewer than a thread may have out. */
const HELD_PARTS = MOST_PARTS >> 1

export class PiecePool {
  /** The first piece in order that something is wrong in; nothing behind it was handed on. */
  failed: FailedPiece | undefined
  readonly #threads: readonly Thread[]
  readonly #events: PoolEvents
  readonly #signal: AbortSignal | undefined
  /** In order, but those that are through. */
  readonly #turns: Turn[] = []
  #waiting: Turn[] = []
  #wake: (() => void)[] = []
  /** Of the pool itself. */
  #error: unknown
  #isDelivering = false

  constructor(
    text: string,
    count: number,
    start: ThreadStart,
    events: PoolEvents,
    signal: AbortSignal | undefined,
  ) {
    this.#events = events
    this.#signal = signal
    this.#threads = Array.from(
      { length: count },
      () => new Thread(text, start, (thread, message) => this.#take(thread, message)),
    )
    signal?.addEventListener('abort', this.#abort, { once: true })
  }

  /** Undefined: one more piece can be handed out. */
  room(): Promise<void> | undefined {
    this.#check()
    const count = this.#threads.length
    if (this.failed !== undefined || this.#turns.length <= 2 * count) return undefined
    return this.#until(() => this.failed !== undefined || this.#turns.length <= count)
  }

  hand(piece: Piece): void {
    if (this.failed !== undefined) return
    const turn: Turn = {
      piece,
      parts: [],
      thread: undefined,
      result: undefined,
      failure: undefined,
      handedBytes: 0,
    }
    this.#turns.push(turn)
    this.#waiting.push(turn)
    this.#assign()
    if (!this.#isDelivering) void this.#deliver().catch((error: unknown) => this.#fail(error))
  }

  /** All pieces are through, or one has failed. */
  async drained(): Promise<void> {
    await this.#until(() => this.#turns.length === 0 || this.failed !== undefined)
    this.#check()
  }

  /** What each thread has added up. Behind `drained`. */
  async sums(): Promise<Uint8Array[]> {
    for (const thread of this.#threads) thread.tell({ kind: 'end' })
    await this.#until(() => this.#threads.every((thread) => thread.isEnded))
    return this.#threads.flatMap(({ sums }) => (sums === undefined ? [] : [sums]))
  }

  /** No thread is at work any more. */
  async close(): Promise<void> {
    this.#signal?.removeEventListener('abort', this.#abort)
    await Promise.all(this.#threads.map(async (thread) => await thread.stop()))
  }

  readonly #abort = (): void => {
    this.#fail(new AbortedError())
  }

  #fail(error: unknown): void {
    this.#error ??= error
    this.#wakeAll()
  }

  #check(): void {
    if (this.#error !== undefined) throw this.#error as Error
  }

  async #until(isSo: () => boolean): Promise<void> {
    for (;;) {
      this.#check()
      if (isSo()) return
      await new Promise<void>((resolve) => this.#wake.push(resolve))
    }
  }

  #wakeAll(): void {
    const waiting = this.#wake
    this.#wake = []
    for (const wake of waiting) wake()
  }

  #assign(): void {
    for (const thread of this.#threads) {
      if (thread.turn !== undefined) continue
      const turn = this.#waiting.shift()
      if (turn === undefined) return
      turn.thread = thread
      thread.turn = turn
      thread.tell({ kind: 'piece', piece: turn.piece })
    }
  }

  #take(thread: Thread, message: FromWorker | Error): void {
    const { turn } = thread
    if (message instanceof Error) {
      this.#fail(new InternalError('a thread ended', { cause: message }))
    } else if (message.kind === 'sums') {
      thread.isEnded = true
      thread.sums = message.sums
    } else if (turn === undefined) {
      this.#fail(new InternalError('a thread told of what it was not asked for'))
    } else if (message.kind === 'part') {
      turn.parts.push(thread.part(message.bytes))
    } else {
      if (message.kind === 'done') turn.result = message
      else turn.failure = message.message
      thread.turn = undefined
      this.#assign()
    }
    this.#wakeAll()
  }

  async #deliver(): Promise<void> {
    this.#isDelivering = true
    for (;;) {
      const turn = this.#turns[0]
      if (turn === undefined) break
      // A piece that fails is read once more, from its begin: what is small is held until it is whole.
      while (turn.result === undefined && turn.failure === undefined) {
        await this.#until(() => isThrough(turn) || turn.parts.length >= HELD_PARTS)
        if (isThrough(turn)) break
        await this.#hand(turn)
      }
      if (turn.failure !== undefined) {
        const { piece, failure: message, handedBytes } = turn
        this.failed = { piece, message, handedBytes }
        this.#wakeAll()
        return
      }
      await this.#hand(turn)
      this.#events.done(turn.result!)
      this.#turns.shift()
      this.#wakeAll()
    }
    this.#isDelivering = false
  }

  async #hand(turn: Turn): Promise<void> {
    for (const bytes of turn.parts.splice(0)) {
      await this.#events.bytes(bytes)
      turn.handedBytes += bytes.length
      turn.thread!.taken()
    }
  }
}

function isThrough({ result, failure }: Turn): boolean {
  return result !== undefined || failure !== undefined
}

class Thread {
  turn: Turn | undefined
  isEnded = false
  sums: Uint8Array | undefined
  readonly #worker: Worker
  readonly #port: MessagePort
  readonly #control = new Int32Array(new SharedArrayBuffer(CONTROL_BYTES))
  readonly #output = new SharedArrayBuffer(MOST_PARTS * PART_BYTES)
  #parts = 0

  constructor(
    text: string,
    start: ThreadStart,
    onMessage: (thread: Thread, message: FromWorker | Error) => void,
  ) {
    const { port1, port2 } = new MessageChannel()
    this.#port = port1
    const control = this.#control.buffer
    this.#worker = new Worker(text, {
      eval: true,
      execArgv: [],
      workerData: { ...start, control, output: this.#output, port: port2 } satisfies WorkerStart,
      transferList: [port2],
    })
    this.#worker.on('error', (error) => onMessage(this, error))
    port1.on('message', (message: FromWorker) => onMessage(this, message))
  }

  tell(message: ToWorker): void {
    this.#port.postMessage(message)
  }

  /** The next of its output. */
  part(bytes: number): Uint8Array {
    const slot = this.#parts % MOST_PARTS
    this.#parts += 1
    return new Uint8Array(this.#output, slot * PART_BYTES, bytes)
  }

  /** The first of it is through. */
  taken(): void {
    Atomics.add(this.#control, CONTROL.TAKEN, 1)
    Atomics.notify(this.#control, CONTROL.TAKEN)
  }

  async stop(): Promise<void> {
    Atomics.store(this.#control, CONTROL.STOP, 1)
    this.taken()
    this.#port.close()
    await this.#worker.terminate()
  }
}
