/** `rrep tail`: options → the library's `tail` or `archive` → lines, figures or events. */
import type { Command } from 'commander'
import { archive, type ArchiveEvent, type ArchiveResult } from '../../verbs/tail/archive.js'
import { formatServerAddress, type ServerSettings } from '../../net/make-server-settings.js'
import { tailRecorded } from '../../verbs/tail/recorded.js'
import {
  tail,
  type CommandFormat,
  type TailNotice,
  type TailViewOptions,
} from '../../verbs/tail/watch.js'
import { FileError, UsageError } from '../../errors.js'
import { classifySource, refuseDb, type SourceSpec } from '../../source/classify.js'
import { addCommonOptions, type CommandCall, type CommandContext } from '../command.js'
import { addConnectOptions, readServerSettings, sourceOf } from '../connect-options.js'
import type { ConnectValues } from '../connect-options.js'
import { EXIT } from '../exit-codes.js'
import { addFilterOptions, readFilterOptions, type FilterOptions } from '../filter-options.js'
import { describeEvent, describeNotice } from '../render/tail.js'
import { TailStatsView } from '../render/tail-stats.js'
import type { Io } from '../io.js'
import type { Talk } from '../talk.js'
import {
  formatCount,
  formatSize,
  parseCount,
  parseDuration,
  parseList,
  parseMoment,
  parseSize,
  parseTime,
  type Moment,
} from '../units.js'

interface TailCommandOptions extends ConnectValues, FilterOptions {
  output?: string
  resp?: boolean
  strings?: string
  command?: string[]
  count?: number
  for?: number
  fromOffset?: number
  replid?: string
  fullSync: boolean
  stats?: boolean
  from?: number
  until?: Moment
  rotate?: number
  snapshotEvery?: number
  keep?: { bases: number } | { ageMs: number }
  fsync?: string
  durable?: boolean
  adopt?: boolean
}

const DETAILS = `
Of an archive or an AOF: what was kept, over every snapshot in it, with the time (the second it was
received in) and the offset of each command, which --until offset:N of replay, serve and diff takes;
one less is the state before that command. Where no stream offsets are kept they count bytes.

Without -o: write commands from now on. The master is asked to continue at its present offset, so
it saves nothing and forks nothing. Where it has no backlog: an empty snapshot (7.0 or newer; a
fork), else a full one, thrown away, which is said before; never with --no-full-sync. A resumed
stream repeats no SELECT: with keys in several databases the db of the first commands is unknown
(db?, in JSON null). A slow reader of stdout does not stop the reading of the stream before 24 MB
wait for it; if it then takes nothing for 10 s, tail ends with an error.

With -o DIR: snapshot and stream are kept in DIR/appendonlydir, which redis-server 7 or newer
(of the same family, at least as new as the master) loads as it is:
    redis-server --dir COPY --appendonly yes
Start servers on a copy of DIR. Started again on DIR, tail goes on where it stopped. If the master
no longer has what comes next, a new snapshot is taken and the gap is recorded and told, and the
run ends with status 1; so it does where a cluster's TRIMSLOTS or CLUSTER FLUSHSLOT, which no server
can load, was left out. redis-check-aof --truncate-to-timestamp T cuts a copy back to a second;
older states are in rrep-before-N.manifest. The sidecar rrep.json tells which offset lies where.
Times to live are absolute: keys whose time passed since are gone when a server has loaded them.

--durable acknowledges to the master what is fsynced, so WAITAOF 0 1 counts this archive. It then
also counts for WAIT and min-replicas, and FAILOVER without TO may pick it as the new master, which
it cannot be: use FAILOVER TO. Without --durable it acknowledges offset 0 and counts for nothing
but min-replicas; on a node of a cluster it acknowledges what it has received (so that slots can
move) and counts for WAIT.

The smallest ACL that suffices: ACL SETUSER rrep on >PASSWORD +psync +replconf +ping +info
(with --match also +command)
`

export function registerTail(program: Command, context: CommandContext): void {
  const command = program
    .command('tail')
    .summary('the live write commands; with -o DIR also kept, from a snapshot on')
    .description("Show a master's write commands as they happen, or keep them in a directory.")
    .argument(
      '[source]',
      'server: host[:port], redis://… (RREP_SOURCE); archive, AOF, -: what was kept',
    )
    .option('-o, --output <dir>', 'keep snapshot and stream here, as a multi-part AOF')
    .option('--resp', 'the bytes as they came')
    .option('--strings <form>', 'base64: lossless arguments in --json')
    .option('--command <name,…>', 'only these commands', parseList)
    .option('--count <n>', 'end after so many commands', parseCount)
    .option('--for <time>', 'end after so long, e.g. 10s', parseDuration)
    .option(
      '--from-offset <n>',
      'begin at this offset, or behind the command shown with it',
      parseCount,
    )
    .option(
      '--from <time>',
      'of an archive or AOF: only what came at this time or later',
      parseTime,
    )
    .option('--until <when>', 'of an archive or AOF: up to this time, or offset:N', parseMoment)
    .option('--replid <id>', 'with --from-offset: the history it belongs to')
    .option('--no-full-sync', 'never let the master make a full snapshot')
    .option('--stats', 'commands and bytes a second, by command, prefix and db')
    .option(
      '--rotate <size>',
      'with -o: begin a new file above this (default 256mb; 0: never)',
      parseSize,
    )
    .option(
      '--snapshot-every <time>',
      'with -o: a new base so often; the stream goes on',
      parseDuration,
    )
    .option(
      '--keep <age|n>',
      'with -o: what to keep of older bases, e.g. 7d or 4 (default: all)',
      parseKeep,
    )
    .option('--fsync <when>', 'with -o: everysec (default), always or no')
    .option('--adopt', 'with -o: go on in the archive of another server, behind a gap')
    .option('--durable', 'with -o: acknowledge what is fsynced (WAITAOF)')
    .addHelpText('after', DETAILS)
  addConnectOptions(command)
  addFilterOptions(command, { byValue: false })
  addCommonOptions(command, [
    'rrep tail',
    "rrep tail db.example --match 'user:*' --command SET,DEL --json",
    'rrep tail --stats',
    'rrep tail archive --command FLUSHALL,DEL --from 2026-11-22T10:00:00Z',
    'rrep tail -o archive --snapshot-every 6h --keep 7d',
    'rrep tail redis://db.example -o archive --durable --fsync always',
  ])
  command.action(
    context.action<TailCommandOptions>(async (call) => {
      const { args, options, io, talk } = call
      checkOptions(options, talk)
      const spec = classifySource(sourceOf(args[0], io))
      if (spec.kind !== 'server') return await showRecorded(call, spec)
      if (options.from !== undefined || options.until !== undefined) {
        throw new UsageError('--from and --until are for what was kept: an archive or an AOF', {
          hint: 'of a server: --from-offset, --for, --count',
        })
      }
      if (options.output !== undefined) refuseDb(spec.address, 'an archive')
      const server = await readServerSettings(spec.address, options, io, talk)
      if (server.tls?.insecure === true) {
        talk.warn('--insecure: the certificate is not checked; anyone may be at the other end')
      }
      return options.output === undefined
        ? await watch(call, server)
        : await keep(call, server, options.output)
    }),
  )
}

/** With them the run does not end with 0. */
const PROBLEMS = new Set(['gap', 'dropped'])
const WARNINGS = new Set(['snapshot-failed', 'warning'])
const KEEP_ONLY = ['rotate', 'snapshotEvery', 'keep', 'fsync', 'durable', 'adopt'] as const
const WATCH_ONLY = [
  ...['resp', 'strings', 'command', 'count', 'fromOffset', 'replid', 'stats'],
  ...['db', 'match', 'noMatch', 'regex', 'from', 'until'],
] as const
/** What asks something of a server. */
const SERVER_ONLY = ['for', 'fromOffset', 'replid', 'output'] as const

function checkOptions(options: TailCommandOptions, talk: Talk): void {
  const given = (names: readonly string[]): string | undefined =>
    names.find((name) => (options as unknown as Record<string, unknown>)[name] !== undefined)
  const keeps = options.output !== undefined
  const wrong = given(keeps ? WATCH_ONLY : KEEP_ONLY)
  if (wrong !== undefined) {
    const flag = flagOf(wrong)
    throw new UsageError(
      keeps
        ? `${flag} has no meaning with -o: an archive holds everything`
        : `${flag} needs -o DIR`,
    )
  }
  if (keeps && !options.fullSync) {
    throw new UsageError('--no-full-sync has no meaning with -o: an archive begins with a snapshot')
  }
  if ((options.fromOffset === undefined) !== (options.replid === undefined)) {
    throw new UsageError('--from-offset and --replid go together')
  }
  if (options.replid !== undefined && !/^[0-9a-fA-F]{40}$/.test(options.replid)) {
    throw new UsageError('a replid is 40 hex digits')
  }
  if (options.strings !== undefined && options.strings !== 'base64') {
    throw new UsageError('--strings takes base64 only')
  }
  if (options.strings !== undefined && !talk.json) throw new UsageError('--strings needs --json')
  if (options.fsync !== undefined && !['always', 'everysec', 'no'].includes(options.fsync)) {
    throw new UsageError('--fsync is always, everysec or no')
  }
  if (options.resp === true && talk.json)
    throw new UsageError('--resp and --json exclude each other')
  if (options.count === 0) throw new UsageError('--count begins at 1')
}

type Recorded = Exclude<SourceSpec, { kind: 'server' }>

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
  const view = options.stats === true ? new TailStatsView(talk, io) : undefined
  try {
    const result = await tailRecorded({
      path: spec.kind === 'stdin' ? '-' : spec.path,
      stdin: io.stdin,
      fromMs: options.from,
      until: options.until,
      ...viewOptions(options, io, talk, view),
      signal,
      onNotice: (notice) =>
        talk.warn(
          notice.kind === 'warning'
            ? notice.message
            : `gap: what came from offset ${notice.fromReplOffset} on is missing; ` +
                `going on behind ${notice.toReplOffset}`,
        ),
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
  }
}

function nameOf(spec: Recorded): string {
  return spec.kind === 'stdin' ? 'standard input' : spec.path
}

function flagOf(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
}

/** What is shown, and where. */
function viewOptions(
  options: TailCommandOptions,
  io: Io,
  talk: Talk,
  view: TailStatsView | undefined,
): TailViewOptions {
  // Written in the background where it is the process's own: Node would block on a slow pipe.
  const fd = (io.stdout as { fd?: unknown }).fd
  const format: CommandFormat = options.resp === true ? 'resp' : talk.json ? 'json' : 'text'
  return {
    commands: options.command,
    filter: readFilterOptions(options),
    count: options.count,
    ...(view === undefined
      ? {
          output: {
            to: typeof fd === 'number' && !io.stdoutIsTty ? fd : talk.stdout(talk.json),
            format,
            strings: options.strings === 'base64' ? 'base64' : 'text',
          },
        }
      : { stats: { onStats: (stats) => view.show(stats) } }),
  }
}

async function watch(
  call: CommandCall<TailCommandOptions>,
  server: ServerSettings,
): Promise<number> {
  const { options, io, talk, signal } = call
  const { fromOffset, replid } = options
  const view = options.stats === true ? new TailStatsView(talk, io) : undefined
  try {
    const result = await tail({
      server,
      from:
        fromOffset === undefined || replid === undefined
          ? undefined
          : { replid: replid.toLowerCase(), nextReplOffset: fromOffset },
      allowFullResync: options.fullSync,
      ...viewOptions(options, io, talk, view),
      durationMs: options.for,
      retries: options.retries,
      signal,
      onNotice: (notice) => tellNotice(notice, talk, server),
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
  }
}

function tellNotice(notice: TailNotice, talk: Talk, server: ServerSettings): void {
  const line = describeNotice(notice, formatServerAddress(server.address))
  if (line === undefined) return
  if (notice.kind === 'gap') talk.problem(line)
  else talk.say(line)
}

async function keep(
  call: CommandCall<TailCommandOptions>,
  server: ServerSettings,
  dir: string,
): Promise<number> {
  const { options, talk, signal } = call
  const progress = talk.progress(`connecting to ${formatServerAddress(server.address)}`)
  const tell = (event: ArchiveEvent): void => {
    if (event.event === 'stopped') progress.stop()
    const line = describeEvent(event)
    if (talk.json) void talk.event({ time: new Date().toISOString(), ...event })
    else if (line === undefined) return
    else if (PROBLEMS.has(event.event)) talk.problem(line)
    else if (isWarning(event)) talk.warn(line)
    else talk.say(line)
    if (event.event === 'stopped') warnOfResult(event, talk)
  }
  try {
    const result = await archive({
      server,
      dir,
      rotateBytes: options.rotate,
      snapshotEveryMs: options.snapshotEvery,
      keep: options.keep,
      fsync: options.fsync as 'always' | 'everysec' | 'no' | undefined,
      durable: options.durable,
      adopt: options.adopt,
      retries: options.retries,
      durationMs: options.for,
      signal,
      onEvent: tell,
      onProgress: (state) => {
        progress.text(
          state.state === 'snapshot'
            ? `snapshot: ${formatSize(state.snapshotBytes)}`
            : `${state.state}: offset ${state.replOffset}, ${formatCount(state.commands)} commands, ` +
                `${formatSize(state.streamBytes)} of stream`,
        )
      },
      onWire: (direction, line) => talk.trace(`${direction === 'sent' ? '>' : '<'} ${line}`),
    })
    progress.stop()
    return result.gaps === 0 && result.droppedCommands === 0 ? EXIT.OK : EXIT.FAILED
  } finally {
    progress.stop()
  }
}

function isWarning(event: ArchiveEvent): boolean {
  if (event.event === 'full-resync') return event.reason === 'other-history'
  return WARNINGS.has(event.event)
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

/** `7d` is an age, `4` a number of bases. */
function parseKeep(text: string): { bases: number } | { ageMs: number } {
  if (!/^\d+$/.test(text.trim())) return { ageMs: parseDuration(text) }
  const bases = parseCount(text)
  if (bases === 0) throw new UsageError('--keep 0 would keep nothing')
  return { bases }
}
