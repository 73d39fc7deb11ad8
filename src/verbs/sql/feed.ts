/** Blocks of one scan on their way to the thread of DuckDB, a few at a time. */
import type { MessagePort } from 'node:worker_threads'
import { CONTROL, type Block, type Column } from './protocol.js'

/** Blocks that may wait there. */
const MOST_AHEAD = 4

export class Feed {
  readonly scan: number
  readonly #port: MessagePort
  readonly #control: Int32Array
  readonly #signal: AbortSignal
  /** By block on its way: whose it is then. */
  readonly #ahead: ((() => void) | undefined)[] = []
  #onTaken: (() => void) | undefined

  constructor(scan: number, port: MessagePort, control: Int32Array, signal: AbortSignal) {
    this.scan = scan
    this.#port = port
    this.#control = control
    this.#signal = signal
    signal.addEventListener('abort', () => this.#onTaken?.(), { once: true })
  }

  /** What is shared between the threads must stay as it is until `onTaken`. */
  send(rows: number, columns: readonly (Column | undefined)[], onTaken?: () => void): void {
    this.#ahead.push(onTaken)
    this.#post({ scan: this.scan, rows, columns })
  }

  end(): void {
    this.#post({ scan: this.scan, rows: 0, columns: [] })
  }

  fail(message: string): void {
    this.#post({ scan: this.scan, rows: 0, columns: [], failure: message })
  }

  /** The first of those on their way was used up. */
  taken(): void {
    this.#ahead.shift()?.()
    this.#onTaken?.()
  }

  /** Undefined: more may be sent now. */
  drain(): Promise<void> | undefined {
    if (this.#ahead.length < MOST_AHEAD || this.#signal.aborted) return undefined
    return new Promise((resolve) => (this.#onTaken = resolve))
  }

  #post(block: Block): void {
    this.#port.postMessage(block)
    Atomics.add(this.#control, CONTROL.SENT, 1)
    Atomics.notify(this.#control, CONTROL.SENT)
  }
}
