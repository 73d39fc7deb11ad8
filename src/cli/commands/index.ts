/** The commands, in the order in which the help shows them. */
import type { Command } from 'commander'
import type { CommandContext } from '../command.js'
import { registerDemo } from './demo.js'
import { registerDiff } from './diff.js'
import { registerExport } from './export.js'
import { registerInspect } from './inspect.js'
import { registerReplay } from './replay.js'
import { registerServe } from './serve.js'
import { registerSync } from './sync.js'
import { registerTail } from './tail.js'

type Register = (program: Command, context: CommandContext) => void

const COMMANDS: readonly Register[] = [
  registerSync,
  registerInspect,
  registerExport,
  registerTail,
  registerReplay,
  registerDiff,
  registerServe,
  registerDemo,
]

export function registerCommands(program: Command, context: CommandContext): void {
  for (const register of COMMANDS) register(program, context)
}
