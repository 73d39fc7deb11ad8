/** Waits that an AbortSignal ends, and the pauses between attempts. */
import { AbortedError, LinkError } from '../errors.js'

/** Resolves after the time; rejects with AbortedError as soon as the signal fires. */
export async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted === true) throw new AbortedError()
  await new Promise<void>((resolve, reject) => {
    const onAbort = (): void => {
      clearTimeout(timer)
      reject(new AbortedError())
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort)
      resolve()
    }, ms)
    signal?.addEventListener('abort', onAbort, { once: true })
  })
}

/** What the promise brings, unless the signal is first: rejects with AbortedError then. */
export async function orAborted<Value>(
  promise: Promise<Value>,
  signal: AbortSignal,
): Promise<Value> {
  if (signal.aborted) throw new AbortedError()
  let onAbort = (): void => undefined
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(new AbortedError())
    signal.addEventListener('abort', onAbort, { once: true })
  })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

const FIRST_BACKOFF_MS = 100
const MAX_BACKOFF_MS = 5000

/** Exponential, with jitter so that many clients do not come back at once. `attempt` from 1. */
export function backoffMs(attempt: number): number {
  const full = Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** (attempt - 1))
  return full * (0.75 + Math.random() * 0.5)
}

/** Tries again what fails in a way that can pass; a server that is loading, without end. */
export async function untilOpen<T>(
  open: () => Promise<T>,
  retries: number,
  signal?: AbortSignal,
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await open()
    } catch (error) {
      if (!(error instanceof LinkError) || !error.retriable) throw error
      if (attempt > retries && error.code !== 'ERR_TARGET_BUSY') throw error
      await sleep(backoffMs(Math.min(attempt, 6)), signal)
    }
  }
}

/** A promise with its handles: something that is waited for by one and brought about by another. */
export class Gate {
  #promise: Promise<void> | undefined
  #resolve: (() => void) | undefined

  /** Resolves with the next `open`. */
  wait(): Promise<void> {
    this.#promise ??= new Promise<void>((resolve) => (this.#resolve = resolve))
    return this.#promise
  }

  open(): void {
    this.#resolve?.()
    this.#promise = undefined
    this.#resolve = undefined
  }
}
