/**
 * What a command may touch of the outside: streams, environment, terminal facts and the signal
 * that ends it. Tests hand in their own; `run.ts` makes the real one of the process.
 */
import type { Readable, Writable } from 'node:stream'

/** Why `signal` was aborted. */
export type Interruption = 'SIGINT' | 'SIGTERM' | 'EPIPE'

export interface Io {
  readonly stdin: Readable & { readonly isTTY?: boolean; setRawMode?(raw: boolean): unknown }
  readonly stdout: Writable
  readonly stderr: Writable
  readonly env: Readonly<Record<string, string | undefined>>
  readonly stdinIsTty: boolean
  readonly stdoutIsTty: boolean
  readonly stderrIsTty: boolean
  /** Width of the terminal, where there is one. */
  readonly columns: number | undefined
  /** Aborted by SIGINT, by SIGTERM, or when the reader of stdout went away; the reason is an
   * `Interruption`. */
  readonly signal: AbortSignal
  /** Calls back on SIGHUP, for the commands that reread something; returns how to stop that. */
  onHangup(callback: () => void): () => void
}
