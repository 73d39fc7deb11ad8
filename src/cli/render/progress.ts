/**
 * Progress on a terminal: a spinner with what is done, the rate and, where the whole is known,
 * percent and time left. Silent (and free of timers) elsewhere.
 */
import type { Ora } from 'ora'
import { safeLine } from '../guard.js'
import type { Io } from '../io.js'
import { formatCount, formatDuration, formatSize } from '../units.js'

export interface Progress {
  /** Replaces the text. */
  text(text: string): void
  /** Shows `label: done of total, rate, percent, time left`; cheap enough for every chunk. */
  update(state: ProgressState): void
  /** Takes the line off the screen until the next update, so that another can be printed. */
  clear(): void
  stop(): void
}

export interface ProgressState {
  label: string
  done: number
  /** Undefined where the whole is not known. */
  total?: number | undefined
  unit: 'bytes' | 'keys' | 'commands'
  /** Something to stand behind the figures. */
  note?: string | undefined
}

const REDRAW_MS = 100
/** The rate is that of the last seconds, not of the whole run: a stall must show. */
const RATE_WINDOW_MS = 5000

export function createProgress(
  io: Io,
  text: string,
  { silent, color, onStop }: { silent: boolean; color: boolean; onStop: () => void },
): Progress {
  // A terminal that does not know its width (0) would be cleared without end.
  const hasWidth = (io.stderr as { columns?: number }).columns !== 0
  if (silent || !hasWidth) return { text: noop, update: noop, clear: noop, stop: onStop }
  let spinner: Ora | undefined
  let shown = safeLine(text)
  let stopped = false
  // Only a terminal needs it, and it is a tenth of a second to load.
  const load = async (): Promise<void> => {
    const { default: ora } = await import('ora')
    if (stopped) return
    spinner = ora({
      text: shown,
      stream: io.stderr as NodeJS.WritableStream,
      isEnabled: true,
      discardStdin: false,
      ...(color ? {} : { color: false }),
    }).start()
  }
  // Without a spinner the work goes on.
  load().catch(noop)
  const show = (next: string): void => {
    shown = safeLine(next)
    if (spinner !== undefined) spinner.text = shown
  }
  const samples: { atMs: number; done: number }[] = []
  let drawnMs = 0
  return {
    text: show,
    update: (state) => {
      const nowMs = performance.now()
      if (nowMs - drawnMs < REDRAW_MS) return
      drawnMs = nowMs
      samples.push({ atMs: nowMs, done: state.done })
      while (samples.length > 2 && nowMs - samples[0]!.atMs > RATE_WINDOW_MS) samples.shift()
      show(describeProgress(state, rateOf(samples)))
    },
    clear: () => spinner?.clear(),
    stop: () => {
      stopped = true
      spinner?.stop()
      onStop()
    },
  }
}

/** `ratePerSecond` 0: not known yet. */
export function describeProgress(state: ProgressState, ratePerSecond: number): string {
  const amount = (value: number): string =>
    state.unit === 'bytes' ? formatSize(value) : `${formatCount(value)} ${state.unit}`
  let head = `${state.label}: ${amount(state.done)}`
  if (state.total !== undefined && state.total > 0) {
    const percent = Math.min(100, Math.floor((state.done / state.total) * 100))
    head += ` of ${amount(state.total)} (${percent}%)`
  }
  const parts = [head]
  if (ratePerSecond > 0) {
    parts.push(`${amount(ratePerSecond)}/s`)
    if (state.total !== undefined && state.total > state.done) {
      const leftMs = ((state.total - state.done) / ratePerSecond) * 1000
      parts.push(`${formatDuration(leftMs)} left`)
    }
  }
  if (state.note !== undefined) parts.push(state.note)
  return parts.join(', ')
}

function rateOf(samples: readonly { atMs: number; done: number }[]): number {
  const first = samples[0]
  const last = samples.at(-1)
  if (first === undefined || last === undefined || last.atMs - first.atMs < REDRAW_MS) return 0
  return ((last.done - first.done) / (last.atMs - first.atMs)) * 1000
}

function noop(): void {
  // Nothing is shown here.
}
