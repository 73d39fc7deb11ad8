/**
 * What a command may touch of the outside: streams, environment, terminal facts and the signal
 * that ends it. Tests hand in their own; `run.ts` makes the real one of the process.
 */
import type { Readable, Writable } from 'node:stream'

/** Why `signal` was aborted, where it was not an error of stdout. */
export type Interruption = 'SIGINT' | 'SIGTERM' | 'SIGHUP' | 'EPIPE'

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
  /** Aborted by a signal, when the reader of stdout went away, or when stdout failed in another
   * way; the reason is an `Interruption`, or the error. */
  readonly signal: AbortSignal
  /** Calls back on SIGHUP, in place of ending, for a command that rereads something; returns how
   * to stop that. */
  onHangup(callback: () => void): () => void
}
