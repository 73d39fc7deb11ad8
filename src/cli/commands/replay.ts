/** `rrep replay`: options → one call of the library → the ledger. */
import type { Command } from 'commander'
import { ledgerOfFailure, replay, type ReplayOptions } from '../../verbs/replay/run.js'
import { finishReplay } from '../../verbs/replay/finish.js'
import {
  formatServerAddress,
  maskSecrets,
  type ServerSettings,
} from '../../net/make-server-settings.js'
import { classifySource, type Source } from '../../source/classify.js'
import { UsageError } from '../../errors.js'
import type { CommandContext } from '../command.js'
import { readServerSettings, readClusterSeeds } from '../connect-options.js'
import { EXIT } from '../exit-codes.js'
import type { Io } from '../io.js'
import { prompt } from '../password.js'
import { describeOutcome, describePart, tellLedger } from '../render/ledger.js'
import { describeLost, lostObject } from '../render/lost-regions.js'
import type { Talk } from '../talk.js'
import { declareReplay, optionsOf, type ReplayCommandOptions } from './replay/options.js'
import { loadTransform } from './replay/key-options.js'
import { describeFinish, describeVerified, showEvent, showProgress } from './replay/tell.js'
import { readNamed } from '../source-argument.js'
import { isClusterAddress, nameOfCluster, type ClusterSeeds } from '../../topology/cluster.js'

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
      const target = await readTarget(args[1], options, io, talk)
      if (!isSeeds(target) && target.address.db !== 0) {
        throw new UsageError('the target is a server, not one of its databases', {
          hint: `leave out the /${target.address.db}; --map-db 0:${target.address.db} writes there`,
        })
      }
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

async function runReplay(
  source: Source,
  target: ServerSettings | ClusterSeeds,
  call: ReplayOptions,
  talk: Talk,
): Promise<number> {
  const progress = talk.progress(`connecting to ${nameOfTarget(target)}`)
  try {
    const result = await replay(source, target, {
      ...call,
      onProgress: (state) => showProgress(progress, state),
      onEvent: (event) => showEvent(event, talk, call.dryRun),
      onWire: (direction, line) => talk.trace(`${direction === 'sent' ? '>' : '<'} ${line}`),
    })
    progress.stop()
    const { verified, salvaged } = result
    if (talk.json) {
      await talk.event({
        event: 'replayed',
        complete: result.complete,
        ...(result.replOffset === undefined ? {} : { replOffset: result.replOffset }),
        stopped: result.stopped,
        durationMs: Math.round(result.durationMs),
        ...(verified === undefined ? {} : { verified }),
        ...(salvaged === undefined ? {} : lostObject(salvaged)),
        ...result.ledger,
      })
    } else {
      tellLedger(result.ledger, talk)
      if (call.dryRun === true) talk.say('a dry run: nothing was written')
      const tell = result.complete ? talk.say : talk.problem
      tell(describeOutcome(result))
      if (verified !== undefined) {
        const tellVerified = verified.same ? talk.say : talk.problem
        tellVerified(describeVerified(verified))
      }
    }
    if (!talk.json && salvaged !== undefined) {
      for (const line of describeLost(salvaged)) talk.problem(line)
    }
    if (salvaged?.error !== undefined) throw salvaged.error
    return result.complete && verified?.same !== false ? EXIT.OK : EXIT.DIFFERENT
  } catch (error) {
    progress.stop()
    const ledger = ledgerOfFailure(error)
    if (ledger !== undefined && ledger.keys.read + ledger.commands.read > 0) {
      if (talk.json) {
        await talk.event({ event: 'failed', complete: false, ...ledger })
      } else {
        tellLedger(ledger, talk)
        const part = describePart(ledger)
        if (part !== undefined) talk.say(part)
      }
    }
    throw error
  } finally {
    progress.stop()
  }
}

/** A server, or with `--target-cluster` or as redis-cluster://… all masters of a cluster. */
async function readTarget(
  text: string,
  options: ReplayCommandOptions,
  io: Io,
  talk: Talk,
): Promise<ServerSettings | ClusterSeeds> {
  return options.targetCluster === true || isClusterAddress(text)
    ? await readClusterSeeds(text, options, io, talk, 'target')
    : await readServerSettings(text, options, io, talk, 'target')
}

function nameOfTarget(target: ServerSettings | ClusterSeeds): string {
  if (isSeeds(target)) return `all masters of the cluster at ${nameOfCluster(target)}`
  return formatServerAddress(target.address)
}

function isSeeds(target: ServerSettings | ClusterSeeds): target is ClusterSeeds {
  return Array.isArray(target)
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

async function confirmEmpty(name: string, io: Io): Promise<void> {
  if (!io.stdinIsTty) {
    throw new UsageError(
      '--empty-target deletes everything in the target, and nobody can be asked',
      {
        hint: 'add --yes if that is meant',
      },
    )
  }
  const answer = await prompt(io, `Delete ALL keys in ${name}? Type yes: `, true)
  if (answer.trim().toLowerCase() !== 'yes') throw new UsageError('nothing was deleted or written')
}
