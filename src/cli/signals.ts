/**
 * Signals of the process → the one AbortSignal of a run.
 *
 * The first SIGINT, SIGTERM or SIGHUP asks the command to tidy up and end. A second one means it:
 * the run is given up at once, whatever is left lying about. Both at the same moment are one: npm
 * and some shells hand on what the terminal has sent already.
 *
 * The listeners stay for the whole run. With `once` they are gone while the signal is handled, and
 * signal-exit, which the spinner brings along, then takes itself for the only one who listens and
 * ends the process in the middle of the tidying up.
 */
import type { RrepError } from '../errors.js'
import { interruptionCode } from './exit-codes.js'
import type { Interruption } from './io.js'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
/** What comes sooner behind the first is taken for its echo. */
const ECHO_MS = 500
/** Who waits longer is told how to end it. */
const TELL_AFTER_MS = 1000

export interface SignalWatch {
  readonly signal: AbortSignal
  /** Ends the run for another reason than a signal. */
  interrupt(reason: Interruption | RrepError): void
  /** While a callback is there SIGHUP does not interrupt. Returns how to take it away. */
  onHangup(callback: () => void): () => void
  /** Resolves with the exit code when a second signal wants the end at once. */
  readonly insisted: Promise<number>
  /** Takes the listeners away. */
  stop(): void
}

/** @param onSlow called when tidying up takes its time */
export function watchSignals(onSlow: () => void): SignalWatch {
  const controller = new AbortController()
  const hangups = new Set<() => void>()
  let firstMs: number | undefined
  let slow: NodeJS.Timeout | undefined
  let insist: (code: number) => void = () => undefined
  const insisted = new Promise<number>((resolve) => (insist = resolve))
  const onSignal = (name: (typeof SIGNALS)[number]): void => {
    if (name === 'SIGHUP' && hangups.size > 0) {
      for (const callback of hangups) callback()
      return
    }
    const nowMs = performance.now()
    if (firstMs === undefined) {
      firstMs = nowMs
      controller.abort(name)
      slow = setTimeout(onSlow, TELL_AFTER_MS).unref()
    } else if (nowMs - firstMs >= ECHO_MS) {
      insist(interruptionCode(name))
    }
  }
  for (const name of SIGNALS) process.on(name, onSignal)
  return {
    signal: controller.signal,
    interrupt: (reason) => {
      if (reason !== 'SIGHUP' || hangups.size === 0) controller.abort(reason)
    },
    onHangup: (callback) => {
      hangups.add(callback)
      return () => hangups.delete(callback)
    },
    insisted,
    stop: () => {
      clearTimeout(slow)
      for (const name of SIGNALS) process.off(name, onSignal)
    },
  }
}
