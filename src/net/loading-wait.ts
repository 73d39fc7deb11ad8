/**
 * How long a server that loads its data is waited for: it is no failure, and mostly it says how
 * long it will take. One instance for each time that somebody waits.
 */
import { LinkError } from '../errors.js'
import { formatServerAddress } from './address.js'
import { DEFAULT_LOADING_WAIT_MS, type ServerSettings } from './server-settings.js'

const FIRST_PAUSE_MS = 1000
const LONGEST_PAUSE_MS = 30_000

export interface LoadingPause {
  /** What to tell: who loads, and for how long as it reckons. */
  error: LinkError
  retryInMs: number
}

export class LoadingWait {
  readonly #settings: ServerSettings
  #sinceMs: number | undefined

  constructor(settings: ServerSettings) {
    this.#settings = settings
  }

  /** The server answered, or was lost: what comes next is another wait. */
  reset(): void {
    this.#sinceMs = undefined
  }

  /** How long to pause before it is asked again; undefined once it has taken longer than the caller
   * has patience for. */
  next(etaSeconds: number | undefined, cause: unknown): LoadingPause | undefined {
    const nowMs = performance.now()
    this.#sinceMs ??= nowMs
    const leftMs =
      (this.#settings.loadingWaitMs ?? DEFAULT_LOADING_WAIT_MS) - (nowMs - this.#sinceMs)
    if (leftMs <= 0) return undefined
    const halfMs = ((etaSeconds ?? 0) * 1000) / 2
    const pauseMs = Math.min(Math.max(FIRST_PAUSE_MS, halfMs), LONGEST_PAUSE_MS, leftMs)
    const server = formatServerAddress(this.#settings.address)
    const estimate = etaSeconds === undefined ? '' : `, for ${etaSeconds} s more as it reckons`
    const error = new LinkError('ERR_LOADING', `${server} is loading its data${estimate}`, {
      cause,
      retriable: true,
      details: { server, etaSeconds },
    })
    return { error, retryInMs: Math.ceil(pauseMs) }
  }
}
