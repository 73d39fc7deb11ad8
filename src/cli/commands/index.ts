/**
 * The commands, in the order in which the help shows them. Each is loaded only where it is asked
 * for (or all, for the help): a command starts in half the time without what the others need.
 */
import type { Command } from 'commander'
import type { CommandContext } from '../command.js'

type Register = (program: Command, context: CommandContext) => void

const COMMANDS: Readonly<Record<string, () => Promise<Register>>> = {
  sync: async () => (await import('./sync.js')).registerSync,
  inspect: async () => (await import('./inspect.js')).registerInspect,
  export: async () => (await import('./export.js')).registerExport,
  tail: async () => (await import('./tail.js')).registerTail,
  replay: async () => (await import('./replay.js')).registerReplay,
  diff: async () => (await import('./diff.js')).registerDiff,
  serve: async () => (await import('./serve.js')).registerServe,
  backup: async () => (await import('./backup.js')).registerBackup,
  restore: async () => (await import('./restore.js')).registerRestore,
  history: async () => (await import('./history.js')).registerHistory,
  sql: async () => (await import('./sql.js')).registerSql,
  doctor: async () => (await import('./doctor.js')).registerDoctor,
  completion: async () => {
    const { registerCompletion } = await import('./completion.js')
    return (program, context) => {
      registerCompletion(program, context, async () => {
        const all = program.createCommand('rrep')
        await registerCommands(all, context)
        return all
      })
    }
  },
  demo: async () => (await import('./demo.js')).registerDemo,
}

export const COMMAND_NAMES: readonly string[] = Object.keys(COMMANDS)

/** `argv` as given by the user: without a command's name in front all are registered. */
export async function registerCommands(
  program: Command,
  context: CommandContext,
  argv: readonly string[] = [],
): Promise<void> {
  const name = argv[0] ?? ''
  const wanted = Object.hasOwn(COMMANDS, name) ? [COMMANDS[name]!] : Object.values(COMMANDS)
  for (const load of wanted) (await load())(program, context)
}
