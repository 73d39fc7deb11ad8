/** What can be typed, as commander knows it: the source of every shell's completion. */
import type { Command, Option } from 'commander'

export interface OptionSpec {
  /** `--format`, `-o`. */
  readonly names: readonly string[]
  readonly description: string
  readonly takesValue: boolean
  readonly choices: readonly string[]
}

export interface CommandSpec {
  /** `sync`, `backup list`. */
  readonly name: string
  readonly description: string
  readonly options: readonly OptionSpec[]
}

/** Each command, and those within. */
export function specOf(program: Command): readonly CommandSpec[] {
  return program.commands
    .filter((each) => each.name() !== 'help')
    .flatMap((command) => [
      oneOf(command, command.name(), []),
      ...command.commands
        .filter((each) => each.name() !== 'help')
        .map((each) => oneOf(each, `${command.name()} ${each.name()}`, [])),
    ])
}

function oneOf(command: Command, name: string, more: readonly OptionSpec[]): CommandSpec {
  return {
    name,
    description: plain(command.summary() === '' ? command.description() : command.summary()),
    options: [...command.createHelp().visibleOptions(command).map(optionOf), ...more],
  }
}

function optionOf(option: Option): OptionSpec {
  return {
    names: [option.long, option.short].filter((each) => each !== undefined),
    description: plain(option.description),
    takesValue: option.required || option.optional,
    choices: option.argChoices ?? [],
  }
}

function plain(text: string): string {
  return text.replaceAll(/\s+/g, ' ').replace(/\.$/, '').trim()
}
