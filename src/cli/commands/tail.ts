/** `rrep tail`: options → the library's `tail` or `archive` → lines, figures or events. */
import type { Command } from 'commander'
import { archive, type ArchiveEvent, type ArchiveResult } from '../../verbs/tail/archive.js'
import { formatServerAddress, type ServerSettings } from '../../net/make-server-settings.js'
import { tailRecorded } from '../../verbs/tail/recorded.js'
import { watch, type TailEvent } from '../../verbs/tail/watch.js'
import { FileError, UsageError } from '../../errors.js'
import { classifySource, refuseDb, type SourceSpec } from '../../source/classify.js'
import type { CommandCall, CommandContext } from '../command.js'
import { readClusterSeeds, readServerSettings, sourceOf } from '../connect-options.js'
import { EXIT } from '../exit-codes.js'
import {
  describeEvent,
  describeTailEvent,
  isArchiveWarning,
  isTailWarning,
} from '../render/tail.js'
import { TailStatsView } from '../render/tail-stats.js'
import type { Talk } from '../talk.js'
import { countOf, formatCount, formatSize } from '../units.js'
import {
  checkClusterOptions,
  checkOptions,
  declareTail,
  flagOf,
  keepOptions,
  type TailCommandOptions,
} from './tail/options.js'
import { tailCluster } from './tail/cluster.js'
import { TrafficPage } from './tail/page.js'
import { viewOptions } from './tail/view.js'

export function registerTail(program: Command, context: CommandContext): void {
  const command = declareTail(program)
  command.action(
    context.action<TailCommandOptions>(async (call) => {
      const { args, options, io, talk } = call
      checkOptions(options, talk)
      const spec = await classifySource(sourceOf(args[0], io))
      if (spec.kind !== 'server' && spec.kind !== 'cluster') return await showRecorded(call, spec)
      if (options.from !== undefined || options.until !== undefined) {
        throw new UsageError('--from and --until are for what was kept: an archive or an AOF', {
          hint: 'of a server: --from-offset, --for, --count',
        })
      }
      if (options.output !== undefined || options.ship !== undefined)
        refuseDb(spec.address, 'an archive')
      if (spec.kind === 'cluster' || options.cluster === true) {
        checkClusterOptions(options)
        return await tailCluster(call, await readClusterSeeds(spec.address, options, io, talk))
      }
      const server = await readServerSettings(spec.address, options, io, talk)
      if (server.tls?.insecure === true) {
        talk.warn('--insecure: the certificate is not checked; anyone may be at the other end')
      }
      const isKept = options.output !== undefined || options.ship !== undefined
      return isKept ? await keep(call, server) : await show(call, server)
    }),
  )
}

/** With them the run does not end with 0. */
const PROBLEMS = new Set(['gap', 'dropped'])
/** What asks something of a server. */
const SERVER_ONLY = [
  'announce',
  'for',
  'fromOffset',
  'replid',
  'output',
  'ship',
  'cluster',
] as const

type Recorded = Exclude<SourceSpec, { kind: 'server' | 'cluster' }>

async function showRecorded(
  call: CommandCall<TailCommandOptions>,
  spec: Recorded,
): Promise<number> {
  const { options, io, talk, signal } = call
  const wrong = SERVER_ONLY.find((name) => options[name] !== undefined)
  if (wrong !== undefined) {
    throw new UsageError(
      `${flagOf(wrong)} is for a server; ${nameOf(spec)} is what was kept of one`,
    )
  }
  const view = options.stats === true ? new TailStatsView(talk, io, true) : undefined
  const page = pageOf(call, nameOf(spec))
  try {
    const result = await tailRecorded(spec.kind === 'stdin' ? '-' : spec.path, {
      stdin: io.stdin,
      fromMs: options.from,
      until: options.until,
      ...viewOptions(options, io, talk, view, page),
      signal,
      onEvent: (event) => {
        if (event.event === 'gap' && page !== undefined) page.gaps += 1
        talk.warn(
          event.event === 'warning'
            ? event.message
            : `gap: what came from offset ${event.fromReplOffset} on is missing; ` +
                `going on behind ${event.toReplOffset}`,
        )
      },
    })
    if (result.cutBytes > 0) {
      talk.warn(`the last ${result.cutBytes} bytes are an unfinished command or transaction`)
    }
    return EXIT.OK
  } catch (error) {
    // A reader that goes away had what it wanted.
    if (error instanceof FileError && error.code === 'ERR_OUTPUT_CLOSED') return EXIT.OK
    throw error
  } finally {
    view?.end()
    await page?.write()
  }
}

function pageOf(
  { args, options, talk }: CommandCall<TailCommandOptions>,
  name: string,
): TrafficPage | undefined {
  return options.html === undefined ? undefined : new TrafficPage(args[0], name, options, talk)
}

function nameOf(spec: Recorded): string {
  return spec.kind === 'stdin' ? 'standard input' : spec.path
}

async function show(
  call: CommandCall<TailCommandOptions>,
  server: ServerSettings,
): Promise<number> {
  const { options, io, talk, signal } = call
  const { fromOffset, replid } = options
  const view = options.stats === true ? new TailStatsView(talk, io) : undefined
  const page = pageOf(call, formatServerAddress(server.address))
  try {
    const result = await watch(server, {
      from:
        fromOffset === undefined || replid === undefined
          ? undefined
          : { replid: replid.toLowerCase(), nextReplOffset: fromOffset },
      allowFullResync: options.fullSync,
      announce: options.announce,
      ...viewOptions(options, io, talk, view, page),
      durationMs: options.for,
      retries: options.retries,
      signal,
      onEvent: (event) => {
        if (event.event === 'gap' && page !== undefined) page.gaps += 1
        tellEvent(event, talk, server)
      },
      onWire: (direction, line) => talk.trace(`${direction === 'sent' ? '>' : '<'} ${line}`),
    })
    view?.end()
    if (result.gaps === 0) return EXIT.OK
    talk.problem(
      `${formatCount(result.gaps)} times the master no longer had what came next: commands are missing`,
    )
    return EXIT.FAILED
  } catch (error) {
    // A reader that goes away had what it wanted.
    if (error instanceof FileError && error.code === 'ERR_OUTPUT_CLOSED') return EXIT.OK
    throw error
  } finally {
    view?.end()
    await page?.write()
  }
}

function tellEvent(event: TailEvent, talk: Talk, server: ServerSettings): void {
  const line = describeTailEvent(event, formatServerAddress(server.address))
  if (line === undefined) return
  if (event.event === 'gap') talk.problem(line)
  else if (isTailWarning(event)) talk.warn(line)
  else talk.say(line)
}

async function keep(
  call: CommandCall<TailCommandOptions>,
  server: ServerSettings,
): Promise<number> {
  const { options, talk, signal } = call
  const progress = talk.progress(`connecting to ${formatServerAddress(server.address)}`)
  const tell = (event: ArchiveEvent): void => {
    if (event.event === 'stopped') progress.stop()
    const line = describeEvent(event)
    if (talk.json) void talk.event({ time: new Date().toISOString(), ...event })
    else if (line === undefined) return
    else if (PROBLEMS.has(event.event)) talk.problem(line)
    else if (isArchiveWarning(event)) talk.warn(line)
    else talk.say(line)
    if (event.event === 'stopped') warnOfResult(event, talk)
  }
  try {
    const result = await archive(server, {
      dir: options.output,
      spoolDir: options.spoolDir,
      ...keepOptions(options),
      adopt: options.adopt,
      announce: options.announce,
      ship: options.ship,
      shipEveryMs: options.shipEvery,
      retries: options.retries,
      durationMs: options.for,
      signal,
      onEvent: tell,
      onProgress: (state) => {
        progress.text(
          state.phase === 'snapshot'
            ? `snapshot: ${formatSize(state.snapshotBytes)}`
            : state.replOffset < 0
              ? state.phase
              : `${state.phase}: offset ${state.replOffset}, ${countOf(state.commands, 'command')}, ` +
                `${formatSize(state.streamBytes)} of stream`,
        )
      },
      onWire: (direction, line) => talk.trace(`${direction === 'sent' ? '>' : '<'} ${line}`),
    })
    progress.stop()
    if (result.gaps !== 0 || result.droppedCommands !== 0) return EXIT.FAILED
    return result.shipped?.error === undefined ? EXIT.OK : EXIT.WARNING
  } finally {
    progress.stop()
  }
}

function warnOfResult({ dropped, highestDbnum }: ArchiveResult, talk: Talk): void {
  const counts = Object.entries(dropped)
  if (counts.length > 0) {
    talk.warn(`left out: ${counts.map(([name, count]) => `${count} ${name}`).join(', ')}`)
  }
  if (highestDbnum >= 16) {
    talk.warn(`a server that loads it needs databases ${highestDbnum + 1} or more`)
  }
}
