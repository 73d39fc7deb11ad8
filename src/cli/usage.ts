/**
 * Wrong usage, said in one style: what commander finds, what people bring along from other tools,
 * and common options in front of the command.
 */
import type { Command, CommanderError } from 'commander'
import { UsageError } from '../errors.js'
import { COMMAND_NAMES } from './commands/index.js'
import type { CommonOptions } from './talk.js'

const COMMON = new Set(['-q', '--quiet', '--json', '--no-color', '--debug'])
const VERSION = new Set(['-v', '-V', 'version'])

/** Options of other tools, and of none. */
const OPTIONS: Readonly<Record<string, string>> = {
  '-a': 'passwords come from REDISCLI_AUTH, --password-file or --askpass',
  '--pass': 'passwords come from REDISCLI_AUTH, --password-file or --askpass',
  '--password': 'passwords come from REDISCLI_AUTH, --password-file or --askpass',
  '-p': 'a server is written HOST:PORT',
  '--port': 'a server is written HOST:PORT',
  '--host': 'a server is written HOST:PORT',
  '-u': 'the address is an argument of its own: redis://user@host:port',
  '-s': 'a unix socket is written unix:///path',
  '-n': 'write --db N',
}

/** Commands of other tools, and of none. */
const COMMANDS: Readonly<Record<string, string>> = {
  dump: 'rrep sync SOURCE -o FILE',
  save: 'rrep sync SOURCE -o FILE',
  load: 'rrep replay FILE TARGET',
  import: 'rrep replay FILE TARGET',
  migrate: 'rrep replay SOURCE TARGET --until-synced',
  check: 'rrep inspect FILE --check',
  verify: 'rrep inspect FILE --check',
  monitor: 'rrep tail SOURCE',
  compare: 'rrep diff A B',
  scan: 'rrep inspect FILE --keys',
  proxy: 'rrep serve SOURCE',
}

/** Common options in front of the command stand behind it, where commander wants them. */
export function withCommandInFront(argv: readonly string[]): readonly string[] {
  const at = argv.findIndex((each) => !COMMON.has(each))
  if (at < 0) return argv
  if (VERSION.has(argv[at]!)) return ['--version']
  if (at === 0 || argv[at]!.startsWith('-')) return argv
  return [argv[at]!, ...argv.slice(0, at), ...argv.slice(at + 1)]
}

/** How to talk, as long as commander has not said it. */
export function optionsIn(argv: readonly string[]): CommonOptions {
  const end = argv.indexOf('--')
  const own = end < 0 ? argv : argv.slice(0, end)
  return {
    json: own.includes('--json'),
    quiet: own.includes('-q') || own.includes('--quiet'),
    color: !own.includes('--no-color'),
    debug: own.includes('--debug'),
  }
}

/** `-h HOST -p PORT` would print the help and end with 0: a script would go on. */
export function checkHabits(argv: readonly string[]): void {
  const next = argv[argv.indexOf('-h') + 1]
  if (!COMMAND_NAMES.includes(argv[0] ?? '') || !argv.includes('-h')) return
  if (next === undefined || next.startsWith('-')) return
  throw new UsageError('-h is the help here, and takes nothing', {
    hint: `a server is written HOST:PORT, as in rrep ${argv[0]!} ${next}:6379`,
  })
}

/** The error of a value says which option it was given for. */
export function nameOptionsInErrors(program: Command): void {
  for (const command of program.commands) {
    nameOptionsInErrors(command)
    for (const option of command.options) {
      const parse = option.parseArg
      if (parse === undefined) continue
      option.parseArg = <Value>(text: string, before: Value): Value => {
        try {
          return parse<Value>(text, before)
        } catch (error) {
          if (!(error instanceof UsageError)) throw error
          const name = option.long ?? option.short ?? ''
          if (error.message.startsWith(name)) throw error
          const variable = option.envVar
          // As far as can be told: the same may stand on the command line.
          const from = variable !== undefined && process.env[variable] === text ? variable : name
          throw new UsageError(`${from}: ${error.message}`, { hint: error.hint, cause: error })
        }
      }
    }
  }
}

export function helpFor(argv: readonly string[]): string {
  return COMMAND_NAMES.includes(argv[0] ?? '') ? `rrep ${argv[0]!} --help` : 'rrep --help'
}

/** What commander found wrong. */
export function usageErrorOf(error: CommanderError, argv: readonly string[]): UsageError {
  if (error.code === 'commander.help') return new UsageError('a command is missing')
  const [first = '', ...rest] = error.message.replace(/^error: /, '').split('\n')
  const meant = /^\(Did you mean (.*)\?\)$/.exec(rest.join(' ').trim())?.[1]
  let hint = meant === undefined ? undefined : `did you mean ${meant}?`
  if (error.code === 'commander.unknownOption') {
    const name = /'([^'=]*)/.exec(first)?.[1] ?? ''
    if (Object.hasOwn(OPTIONS, name)) hint = OPTIONS[name]
    if (argv[0] === 'serve' && (name === '--port' || name === '-p')) {
      hint = 'the address to listen on: --listen 127.0.0.1:PORT'
    }
  }
  if (error.code === 'commander.unknownCommand') {
    const name = argv[0] ?? ''
    if (Object.hasOwn(COMMANDS, name)) hint = COMMANDS[name]
    else if (/\.(rdb|aof|gz|zst)$|\//.test(name)) hint = `rrep inspect ${name}`
  }
  return new UsageError(first, { hint, cause: error })
}
