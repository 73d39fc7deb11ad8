/**
 * What every command shares: its context, its options, how it talks and how it ends.
 *
 * A command file is thin: `register<Verb>(program, context)` declares arguments and options with
 * `addCommonOptions` (and `addConnectOptions`, `addFilterOptions`), and its action, wrapped in
 * `context.action`, turns them into one call of the library and renders the result. The action
 * returns an exit code (nothing: 0) or throws a typed error.
 */
import type { Command } from 'commander'
import { EXIT, EXIT_STATUS_HELP } from './exit-codes.js'
import type { Io } from './io.js'
import { createTalk, type CommonOptions, type Talk } from './talk.js'

export interface CommandContext {
  readonly io: Io
  /** Ends the command: SIGINT, SIGTERM, or nobody reads stdout any more. */
  readonly signal: AbortSignal
  /** Runs another command line with the same streams; resolves with its exit code. */
  runLine(argv: readonly string[]): Promise<number>
  /** Wraps a command's action for commander: makes its `Talk`, keeps its exit code. */
  action<Options extends object>(
    run: (call: CommandCall<Options>) => Promise<number | undefined>,
  ): (...args: unknown[]) => Promise<void>
}

export interface CommandCall<Options> {
  /** The positional arguments, as far as they were given. */
  readonly args: readonly (string | undefined)[]
  readonly options: Options & CommonOptions
  readonly talk: Talk
  readonly io: Io
  readonly signal: AbortSignal
}

/** The context of one run; `outcome` is filled by the command that ran. */
export function createContext(
  io: Io,
  outcome: CommandOutcome,
  runLine: (argv: readonly string[]) => Promise<number>,
): CommandContext {
  return {
    io,
    signal: io.signal,
    runLine,
    action:
      <Options extends object>(run: (call: CommandCall<Options>) => Promise<number | undefined>) =>
      async (...all: unknown[]) => {
        // commander hands over: arguments…, options, command
        const command = all.at(-1) as Command
        // A command within a command has those of the outer one, too.
        const options = command.optsWithGlobals<Options & CommonOptions>()
        const args = all.slice(0, -2) as (string | undefined)[]
        outcome.options = options
        const talk = createTalk(io, options)
        try {
          outcome.exitCode = (await run({ args, options, talk, io, signal: io.signal })) ?? EXIT.OK
        } finally {
          talk.end()
        }
      },
  }
}

export interface CommandOutcome {
  exitCode: number
  /** What the command was called with; undefined until one ran. */
  options: CommonOptions | undefined
}

/** `--quiet --json --no-color --debug`, and the help's end: examples and exit codes. */
export function addCommonOptions(command: Command, examples: readonly string[]): Command {
  return command
    .option('-q, --quiet', 'errors only')
    .option('--json', 'machine-readable output')
    .option('--no-color', 'plain text (also NO_COLOR)')
    .option('--debug', 'stack traces, and the wire log with secrets masked')
    .addHelpText(
      'after',
      `\nExamples:\n${examples.map((line) => `  $ ${line}\n`).join('')}${EXIT_STATUS_HELP}`,
    )
}
