/**
 * How a command speaks: data on stdout, talk on stderr; colours only where the stream is a
 * terminal and nobody forbade them; nothing but errors when quiet; progress only for people. All
 * that leaves passes the guard.
 */
import type { Writable } from 'node:stream'
import { Chalk, type ChalkInstance } from 'chalk'
import { jsonLine, safeLine, safeText, TerminalGuard } from './guard.js'
import { inFlags } from './words.js'
import type { Io } from './io.js'
import { createProgress, type Progress } from './render/progress.js'

export interface CommonOptions {
  quiet?: boolean
  json?: boolean
  /** False with --no-color. */
  color?: boolean
  debug?: boolean
}

export interface Talk {
  readonly json: boolean
  readonly quiet: boolean
  readonly debug: boolean
  /** Colours for stdout and for stderr; they do nothing where none are wanted. */
  readonly out: ChalkInstance
  readonly err: ChalkInstance
  /** True where stdout, stderr is a terminal: tables may be rich. */
  readonly richOut: boolean
  readonly richErr: boolean
  /** Width for tables on stdout. */
  readonly columns: number
  /** Stdout for data that others write: a pipe's bytes as they are, a terminal's made harmless. */
  stdout(isJson: boolean): Writable
  /** Data to stdout. Awaits the stream when its buffer is full; resolves at once else. */
  write(data: string | Uint8Array): Promise<void>
  /** The same, and resolves only when the bytes are no longer needed: they may change then. */
  readonly writeOut: (data: Uint8Array) => Promise<void>
  /** One object as a line of stdout, for --json. */
  event(object: object): Promise<void>
  /** One line of talk on stderr, unless quiet or --json. */
  readonly say: (line: string) => void
  /** The same for a text of our own making: a table, colours, several lines. */
  readonly show: (text: string) => void
  /** Something is odd: also with --json, as an object; not with --quiet. */
  readonly warn: (line: string) => void
  /** Why the run will not end with 0: with --quiet too. */
  readonly problem: (line: string) => void
  /** One line of the wire log or the like, with --debug only. */
  trace(line: string): void
  /** A spinner on a terminal's stderr; nothing in a pipe, with --quiet or with --json. */
  progress(text: string): Progress
  /** Stops what still turns. */
  end(): void
}

export function createTalk(io: Io, options: CommonOptions): Talk {
  const json = options.json === true
  const quiet = options.quiet === true
  const colorAllowed = options.color !== false && (io.env['NO_COLOR'] ?? '') === ''
  const err = new Chalk({ level: colorAllowed && io.stderrIsTty ? 1 : 0 })
  const open = new Set<Progress>()
  const isTerminal = io.stdoutIsTty
  const data = isTerminal ? new TerminalGuard(io.stdout, false) : io.stdout
  const warn = (text: string): void =>
    line(
      json ? jsonLine({ warning: inFlags(text) }).trimEnd() : err.yellow(safeLine(inFlags(text))),
    )
  const line = (text: string): void => {
    // A line through a turning spinner would be torn.
    for (const progress of open) progress.clear()
    io.stderr.write(`${text}\n`)
  }
  return {
    json,
    quiet,
    debug: options.debug === true,
    out: new Chalk({ level: colorAllowed && io.stdoutIsTty ? 1 : 0 }),
    err,
    richOut: io.stdoutIsTty && !json,
    richErr: io.stderrIsTty && !json,
    columns: io.columns ?? 100,
    stdout: (isJson) => (isTerminal ? new TerminalGuard(io.stdout, isJson) : io.stdout),
    // On a terminal what is said next stands below it.
    write: async (bytes) => await (isTerminal ? writeOut : writeTo)(io, data, bytes),
    writeOut: async (bytes) => await writeOut(io, data, bytes),
    event: async (object) => await writeTo(io, io.stdout, jsonLine(spoken(object))),
    say: (text) => {
      if (!quiet && !json) line(safeLine(inFlags(text)))
    },
    show: (text) => {
      if (!quiet && !json) line(safeText(text, err.level > 0))
    },
    warn: (text) => {
      if (!quiet) warn(text)
    },
    problem: warn,
    trace: (text) => {
      if (options.debug === true) line(err.dim(safeLine(text)))
    },
    progress: (text) => {
      const progress = createProgress(io, text, {
        silent: quiet || json || !io.stderrIsTty,
        color: err.level > 0,
        onStop: () => open.delete(progress),
      })
      open.add(progress)
      return progress
    },
    end: () => {
      for (const progress of open) progress.stop()
    },
  }
}

/** What an event says in words is said as a person would type it. */
function spoken(object: object): object {
  const { message } = object as { message?: unknown }
  return typeof message === 'string' ? { ...object, message: inFlags(message) } : object
}

async function writeOut(io: Io, out: Writable, data: string | Uint8Array): Promise<void> {
  if (io.signal.aborted && io.signal.reason === 'EPIPE') return
  // An error is told by the stream itself.
  await new Promise<void>((resolve) => {
    const done = (): void => {
      io.signal.removeEventListener('abort', done)
      resolve()
    }
    // A reader that has stopped reading must not hold an interrupted run.
    io.signal.addEventListener('abort', done, { once: true })
    out.write(data, () => done())
  })
}

async function writeTo(io: Io, out: Writable, data: string | Uint8Array): Promise<void> {
  if (io.signal.aborted && io.signal.reason === 'EPIPE') return
  if (out.write(data)) return
  await new Promise<void>((resolve) => {
    const done = (): void => {
      out.off('drain', done)
      out.off('close', done)
      io.signal.removeEventListener('abort', done)
      resolve()
    }
    out.on('drain', done)
    out.on('close', done)
    io.signal.addEventListener('abort', done, { once: true })
  })
}
