/** Options from the environment: `--keep-daily` is RREP_KEEP_DAILY. */
import { type Command, Option } from 'commander'

/** What is said by hand or not at all. */
const BY_HAND = new Set(['askpass', 'dry-run', 'quiet', 'json', 'no-color', 'debug', 'yes'])
const OFF = new Set(['', '0', 'no', 'false', 'off'])

/** Of all options that the command gets from now on. An empty variable is none. */
export function optionsFromEnvironment(command: Command, env = process.env): Command {
  command.createOption = (flags, description) => {
    const option = new Option(flags, description)
    const name = option.long?.slice(2) ?? ''
    const variable = `RREP_${name.replaceAll('-', '_').toUpperCase()}`
    const value = env[variable]
    const isFlag = !option.required && !option.optional
    // For commander a flag is on where its variable is there.
    const isOff = value !== undefined && (isFlag ? OFF.has(value.toLowerCase()) : value === '')
    if (!BY_HAND.has(name) && !isOff) option.env(variable)
    return option
  }
  // Said once for all of them.
  return command.configureHelp({ optionDescription: ({ description }) => description })
}
