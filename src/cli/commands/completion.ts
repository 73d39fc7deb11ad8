/** `rrep completion`: a script for the shell, made from what the commands themselves declare. */
import { type Command, Argument } from 'commander'
import { addCommonOptions, type CommandContext } from '../command.js'
import { completionScript, SHELLS, type Shell } from '../completion/scripts.js'
import { specOf } from '../completion/spec.js'
import { EXIT } from '../exit-codes.js'

const DETAILS = `
bash   rrep completion bash > /etc/bash_completion.d/rrep     (or: source <(rrep completion bash))
zsh    rrep completion zsh > "\${fpath[1]}/_rrep"
fish   rrep completion fish > ~/.config/fish/completions/rrep.fish
`

export function registerCompletion(
  program: Command,
  context: CommandContext,
  /** A program with all commands. */
  all: () => Promise<Command>,
): void {
  const command = program
    .command('completion')
    .summary('completion for the shell')
    .description('Print a script that completes commands, options and their values.')
    .addArgument(new Argument('<shell>').choices(SHELLS))
    .addHelpText('after', DETAILS)
  addCommonOptions(command, ['rrep completion bash > /etc/bash_completion.d/rrep'])
  command.action(
    context.action<object>(async ({ args, talk }) => {
      await talk.write(completionScript(args[0] as Shell, specOf(await all())))
      return EXIT.OK
    }),
  )
}
