/**
 * The command line: arguments in, exit code out. Knows commander and the commands, turns every
 * error into one line (or one JSON object) on stderr, and touches the process not at all.
 */
import { Command, CommanderError } from 'commander'
import { Chalk } from 'chalk'
import { RrepError, UsageError } from '../errors.js'
import { createContext, type CommandOutcome } from './command.js'
import { registerCommands } from './commands/index.js'
import { EXIT, exitCodeOf, EXIT_STATUS_HELP, interruptionCode } from './exit-codes.js'
import { jsonLine, safeLine, safeText } from './guard.js'
import { inFlags } from './words.js'
import { hintOf } from './hints.js'
import type { Io } from './io.js'
import { packageVersion } from './package-file.js'
import { stackOf } from './stack.js'
import {
  checkHabits,
  helpFor,
  nameOptionsInErrors,
  optionsIn,
  usageErrorOf,
  withCommandInFront,
} from './usage.js'

export async function main(given: readonly string[], io: Io): Promise<number> {
  const argv = withCommandInFront(given)
  const outcome: CommandOutcome = { exitCode: EXIT.OK, options: optionsIn(argv) }
  let told = ''
  const program = new Command('rrep')
  program
    .description('Replication tool and RDB inspector for Redis and Valkey')
    .version(packageVersion(), '--version')
    .helpOption('-h, --help', 'this help')
    .helpCommand(true)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => io.stdout.write(text),
      // Said by `report`, in the form that all errors have.
      writeErr: (text) => (told += text),
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .addHelpText('after', EXIT_STATUS_HELP)
  await registerCommands(
    program,
    createContext(io, outcome, (line) => main(line, io)),
    argv,
  )
  nameOptionsInErrors(program)
  try {
    checkHabits(argv)
    await program.parseAsync(argv, { from: 'user' })
    await outputTaken(io)
    if (io.signal.aborted && outcome.exitCode === EXIT.OK) {
      return interruptionCode(io.signal.reason)
    }
    return outcome.exitCode
  } catch (caught) {
    return await failed(caught, argv, told, outcome, io)
  }
}

async function failed(
  caught: unknown,
  argv: readonly string[],
  told: string,
  outcome: CommandOutcome,
  io: Io,
): Promise<number> {
  let error = caught
  if (caught instanceof CommanderError) {
    try {
      await outputTaken(io)
      // Help and version are no errors.
      if (caught.exitCode === 0) return EXIT.OK
      if (caught.code === 'commander.help' && outcome.options?.json !== true) {
        io.stderr.write(told)
        return EXIT.USAGE
      }
      error = usageErrorOf(caught, argv)
    } catch (fault) {
      error = fault
    }
  }
  const reason: unknown = io.signal.reason
  if (reason instanceof RrepError) error = reason
  if (reason !== 'EPIPE') report(error, argv, outcome, io)
  return exitCodeOf(error, reason)
}

/** Throws what stdout could not take: a full disk shows a turn after the write. */
async function outputTaken(io: Io): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve))
  const reason: unknown = io.signal.reason
  if (reason instanceof RrepError) throw reason
}

function report(
  error: unknown,
  argv: readonly string[],
  { options }: CommandOutcome,
  io: Io,
): void {
  const known = error instanceof RrepError ? error : undefined
  const hint = known && inFlags(hintOf(known, argv) ?? '')
  const message = inFlags(error instanceof Error ? error.message : String(error))
  const debug = options?.debug === true
  if (options?.json === true) {
    const line = {
      error: known?.code ?? 'ERR_INTERNAL',
      message,
      ...(hint === undefined || hint === '' ? {} : { hint }),
      ...known?.details,
      ...(debug && error instanceof Error ? { stack: error.stack } : {}),
    }
    io.stderr.write(jsonLine(line))
    return
  }
  const color = options?.color !== false && (io.env['NO_COLOR'] ?? '') === ''
  const chalk = new Chalk({ level: color && io.stderrIsTty ? 1 : 0 })
  io.stderr.write(`${chalk.red('rrep:')} ${safeLine(message)}\n`)
  if (hint !== undefined && hint !== '') {
    io.stderr.write(`${chalk.cyan('hint:')} ${safeLine(hint)}\n`)
  }
  if (known instanceof UsageError) io.stderr.write(`(${helpFor(argv)} tells more)\n`)
  if (debug) io.stderr.write(`${safeText(stackOf(error), false)}\n`)
  else if (known === undefined) {
    io.stderr.write('this is a bug in rrep: please report it with what --debug prints\n')
  }
}
