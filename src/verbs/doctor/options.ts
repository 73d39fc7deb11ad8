/** What a doctor is asked, and what it found. */
import type { ServerName } from '../../source/classify.js'

export interface DoctorOptions {
  /** Where the source is to be replayed. */
  target?: ServerName | undefined
  /** A directory on this machine that a snapshot is to go to. */
  directory?: string | undefined
  /** How long the rate of writes is measured, ms. Default 2000. */
  sampleMs?: number | undefined
  /** The file with the identity that opens what is encrypted with age. */
  identity?: string | undefined
  signal?: AbortSignal | undefined
}

/** `unknown`: it may not be asked. */
export type CheckState = 'ok' | 'unknown' | 'warning' | 'failure'

export interface Check {
  /** Whose: the address of a server, or a path. */
  place: string
  /** What was looked at, such as `version`, `rights`, `fork`. */
  subject: string
  state: CheckState
  /** What was found, with its figures. */
  text: string
  /** What to do. */
  hint?: string | undefined
}

export interface DoctorResult {
  source: string
  target: string | undefined
  checks: readonly Check[]
  failures: number
  warnings: number
}
