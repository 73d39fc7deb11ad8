/** Runs the command line in this process, with captured streams: quick, and with coverage. */
import { PassThrough, Readable, Writable } from 'node:stream'
import type { Interruption, Io } from '../../src/cli/io.js'
import { main } from '../../src/cli/main.js'

export interface CliResult {
  code: number
  stdout: Buffer
  /** stdout as text. */
  out: string
  /** stderr as text. */
  err: string
}

export interface CliOptions {
  env?: Record<string, string>
  stdin?: Uint8Array | Readable
  /** What the streams claim to be. */
  tty?: boolean
  columns?: number
  /** Interrupts the command when aborted; the reason is an Interruption. */
  signal?: AbortSignal
  /** Called with each piece of stdout, e.g. to interrupt after the first. */
  onStdout?: (chunk: Buffer) => void
  onStderr?: (chunk: Buffer) => void
}

export async function runCli(
  argv: readonly string[],
  options: CliOptions = {},
): Promise<CliResult> {
  const stdout = new Collector(options.onStdout)
  const stderr = new Collector(options.onStderr)
  const stdin =
    options.stdin instanceof Readable
      ? options.stdin
      : new PassThrough().end(Buffer.from(options.stdin ?? []))
  const io: Io = {
    stdin,
    stdout,
    stderr,
    env: options.env ?? {},
    stdinIsTty: false,
    stdoutIsTty: options.tty === true,
    stderrIsTty: options.tty === true,
    columns: options.tty === true ? (options.columns ?? 100) : undefined,
    signal: options.signal ?? new AbortController().signal,
    onHangup: () => () => undefined,
  }
  const code = await main(argv, io)
  return {
    code,
    stdout: Buffer.concat(stdout.chunks),
    out: Buffer.concat(stdout.chunks).toString(),
    err: Buffer.concat(stderr.chunks).toString(),
  }
}

/** Interrupts a running command as a signal would. */
export function interrupt(controller: AbortController, reason: Interruption = 'SIGINT'): void {
  controller.abort(reason)
}

class Collector extends Writable {
  readonly chunks: Buffer[] = []
  readonly #onChunk: ((chunk: Buffer) => void) | undefined

  constructor(onChunk: ((chunk: Buffer) => void) | undefined) {
    super()
    this.#onChunk = onChunk
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.chunks.push(Buffer.from(chunk))
    this.#onChunk?.(chunk)
    done()
  }
}
