/** `rrep replay`: options → one call of the library → the ledger. */
import type { Command } from 'commander'
import { finishReplay } from '../../verbs/replay/finish.js'
import { formatServerAddress, maskSecrets } from '../../net/make-server-settings.js'
import { classifySource, type Source } from '../../source/classify.js'
import { UsageError } from '../../errors.js'
import type { CommandContext } from '../command.js'
import { readServerSettings } from '../connect-options.js'
import { EXIT } from '../exit-codes.js'
import type { Io } from '../io.js'
import type { Talk } from '../talk.js'
import { declareReplay, optionsOf, type ReplayCommandOptions } from './replay/options.js'
import { loadTransform } from './replay/key-options.js'
import { confirmEmpty, nameOfTarget, readTarget, runReplay } from './replay/into.js'
import { describeFinish } from './replay/tell.js'
import { readNamed } from '../source-argument.js'

export function registerReplay(program: Command, context: CommandContext): void {
  const command = declareReplay(program)
  command.action(
    context.action<ReplayCommandOptions>(async ({ args, options, talk, io, signal }) => {
      if (options.finish !== undefined) return await runFinish(args, options, talk, io, signal)
      if (args[0] === undefined || args[1] === undefined) {
        throw new UsageError(
          `missing required argument '${args[0] === undefined ? 'source' : 'target'}'`,
        )
      }
      if (await isOnDisk(args[1])) {
        throw new UsageError(`the target is a server, and ${args[1]} is a file`, {
          hint: `the source comes first: rrep replay ${args[1]} ${maskSecrets(args[0])}`,
        })
      }
      const target = await readTarget(args[1], options, options.targetCluster === true, io, talk)
      const source = await readSource(args[0], options, io, talk)
      const transform =
        options.transform === undefined ? undefined : await loadTransform(options.transform)
      if (options.emptyTarget === true && options.yes !== true && options.dryRun !== true) {
        await confirmEmpty(nameOfTarget(target), io)
      }
      const call = { ...optionsOf(options), stdin: io.stdin, transform, signal }
      return await runReplay(source, target, call, talk)
    }),
  )
}

async function runFinish(
  args: readonly (string | undefined)[],
  options: ReplayCommandOptions,
  talk: Talk,
  io: Io,
  signal: AbortSignal,
): Promise<number> {
  if (args.some((arg) => arg !== undefined)) {
    throw new UsageError('--finish is for a target alone: rrep replay --finish TARGET')
  }
  const target = await readServerSettings(options.finish!, options, io, talk, 'target')
  const name = formatServerAddress(target.address)
  const progress = talk.progress(`connecting to ${name}`)
  try {
    const result = await finishReplay(target, {
      checkpointKey: options.checkpointKey,
      retries: options.retries,
      signal,
      onProgress: ({ done, total, unit }) =>
        progress.update({ label: 'putting expiries right', done, total, unit }),
    })
    progress.stop()
    if (talk.json) {
      await talk.write(`${JSON.stringify({ event: 'finished', target: name, ...result })}\n`)
    } else {
      for (const line of describeFinish(result)) talk.say(line)
    }
    return EXIT.OK
  } finally {
    progress.stop()
  }
}

async function readSource(
  text: string,
  options: ReplayCommandOptions,
  io: Io,
  talk: Talk,
): Promise<Source> {
  return await readNamed(text, options, io, talk)
}

async function isOnDisk(text: string): Promise<boolean> {
  const { kind } = await classifySource(text)
  return kind === 'file' || kind === 'directory'
}
