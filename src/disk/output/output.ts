/** What every output of a command is: see open-output.ts, which chooses one. */
import type { Compression } from '../compression.js'

export interface Output {
  /** What stands in the output now. */
  readonly writtenBytes: number
  /** False where something is out that cannot be taken back. */
  readonly canRestart: boolean
  /** What was written can be taken back at any time before `finish`. */
  readonly canTakeBack: boolean
  /** Where what was written can be read again before `finish`. */
  readonly canReadBack: boolean
  /** Takes bytes[start, end), which are valid during the call only. Never waits. Throws
   * FileError. */
  write(bytes: Uint8Array, start?: number, end?: number): void
  /** Undefined: go on. Else a promise to wait for before more is written. */
  drain(): Promise<void> | undefined
  /** Forgets what was written. */
  restart(): void
  /** Everything written so far, where `canReadBack`. */
  readBack(): { fd: number; sizeBytes: number }
  /** Where it is a file that another may read as it grows. */
  readonly growing?: GrowingFile | undefined
  /** Where it hashes what it takes anyway: hex, behind `finish`. */
  readonly digest?: { readonly sha256: string } | undefined
  /** Resolves when all is written, durable and under its name. */
  finish(): Promise<void>
  /** Leaves no trace, as far as that is possible. May be called twice. */
  discard(): void
}

export interface GrowingFile {
  /** Until it has its name. */
  readonly path: string
  /** In the file now; the last ones written may still be on their way. */
  readonly bytes: number
}

export interface OutputOptions {
  compress?: Compression | undefined
  /** The writer does not ask `drain`. */
  neverWaits?: boolean | undefined
  /** Much data that nobody reads soon: past the system's cache, where that can be had. */
  direct?: boolean | undefined
  /** Ends the wait for the reader of a named pipe, or for a reader that is slow. */
  signal?: AbortSignal | undefined
}
