/** `rrep replay`: options → one call of the library → the ledger. */
import { pathToFileURL } from 'node:url'
import { resolve } from 'node:path'
import { type Command, Option } from 'commander'
import {
  DEFAULT_CHECKPOINT_KEY,
  ledgerOfFailure,
  parseDbMapping,
  parseRewriteRule,
  replay,
  transformOf,
  type KeyRewriteRule,
  type OnConflict,
  type ReplayEvent,
  type ReplayOptions,
  type ReplayProgress,
  type ReplayResult,
  type ReplaySource,
  type Transform,
} from '../../verbs/replay/run.js'
import { finishReplay, type FinishResult } from '../../verbs/replay/finish.js'
import { formatServerAddress, maskSecrets } from '../../net/make-server-settings.js'
import { classifySource } from '../../source/classify.js'
import { FileError, UsageError } from '../../errors.js'
import { addCommonOptions, type CommandContext } from '../command.js'
import { addConnectOptions, readServerSettings, type ConnectValues } from '../connect-options.js'
import { EXIT } from '../exit-codes.js'
import { addFilterOptions, readFilterOptions, type FilterOptions } from '../filter-options.js'
import type { Io } from '../io.js'
import { prompt } from '../password.js'
import { describeDifferences } from '../render/differences.js'
import { describeOutcome, describePart, tellLedger } from '../render/ledger.js'
import { describeLost, lostObject } from '../render/lost-regions.js'
import type { Progress } from '../render/progress.js'
import type { Talk } from '../talk.js'
import {
  countOf,
  formatCount,
  formatDuration,
  formatSize,
  parseCount,
  parseMoment,
  parseSize,
  parseTime,
  type Moment,
} from '../units.js'

interface ReplayCommandOptions extends ConnectValues, FilterOptions {
  until?: Moment
  from?: number
  untilSynced?: boolean
  untilQuiet?: boolean
  onConflict?: OnConflict
  restore?: 'auto' | 'always' | 'never'
  mapDb?: [number, number][]
  rewriteKey?: KeyRewriteRule[]
  transform?: string
  rate?: number
  dryRun?: boolean
  verify?: boolean
  salvage?: boolean
  withServer?: string
  emptyTarget?: boolean
  yes?: boolean
  finish?: string
  checkpointKey?: string
  spoolDir?: string
  connections?: number
}

const DETAILS = `
From an RDB the keys are written over several connections, by RESTORE where the target takes the
payload. From an AOF or an archive the base comes first, then the commands in order. From a live
server: the snapshot, then the stream, until stopped (SIGINT); with --until-synced, until the target
has kept up for a second, on a busy source too; with --until-quiet, until no write has come for a
second and the target has everything: for a cut-over, once the writers have stopped.

Streams are written as transactions that carry a checkpoint, the hash ${DEFAULT_CHECKPOINT_KEY} in db 0
of the target. After a lost connection, a restart of the target or of rrep, the checkpoint says
what the target has: nothing is lost and nothing done twice. It is deleted at the end; after SIGINT
or a failure it stays, and the same call goes on from there. What a live source sends while the
target is slower lies in --spool-dir.

While the target is behind, no key expires in it: Valkey's import-mode is used where there is one,
else all expiries are moved far away, and put right at the end. Until then TTL and PTTL in the
target say so. A run that was killed leaves them so: the same call again goes on, and
--finish TARGET puts right what it left (expiries, import-mode, checkpoint) without going on.

--transform names a module that exports \`transform(item)\`. It gets each key of a snapshot,
{ kind: 'key', db, key, type, expireAtMs }, and each command, { kind: 'command', db, args, key,
from }, with names and arguments as Buffers, and returns the item, another, an array, or null for
none; 'commands' for a key asks for it as commands.

--min-size goes by the serialised value, as it stands in the snapshot; so many bytes of one value
are held in memory until it has that size. It and --ttl are for snapshots: where commands follow
(AOF, archive, live source) they are refused, since commands would make keys that were left out
anew, from what came later alone.

--empty-target deletes nothing before the source is known to be whole: a file is read to its end
first (standard input is kept in TMPDIR for that), of a live server the snapshot.

Only commands that write data are executed; whatever else an AOF, an archive or a source says
(CONFIG, ACL, REPLICAOF …) is refused by name and counts as failed.

--salvage reads a damaged dump to its end: what is sound is written, what was lost is told, the
ledger counts it, and the exit status is 6. What follows a snapshot (commands) is then left out.

The ledger at the end counts what was read, written, skipped, failed and expired, and, where a run
breaks off, what is unknown. Exit status 7: something was not written that nobody asked to skip.
With --dry-run it says what would be written, and which keys the target has already.
`

export function registerReplay(program: Command, context: CommandContext): void {
  const command = program
    .command('replay')
    .summary('load a file, an archive, or a live server, into another server')
    .description('Load an RDB, an AOF, an archive or a live server into another server.')
    .argument('[source]', 'file, - (stdin), directory in multi-part AOF form, or server')
    .argument('[target]', 'server: host[:port], redis://…, rediss://…, unix:///…')
    .option('--until <when>', 'stop behind this time (live: of arrival), or offset:N', parseMoment)
    .option('--from <time>', 'AOF and archive: only commands from this time on', parseTime)
    .option('--until-synced', 'live source: end when the lag was under a second for a second')
    .option('--until-quiet', 'live source: end when no write has come for a second (cut-over)')
    .addOption(
      new Option('--on-conflict <how>', 'a key that the target has (default fail)').choices([
        'fail',
        'skip',
        'replace',
      ]),
    )
    .addOption(
      new Option('--restore <when>', 'RESTORE payloads or commands (default auto)').choices([
        'auto',
        'always',
        'never',
      ]),
    )
    .option('--map-db <from:to>', 'write db FROM into db TO (repeatable)', collectDb)
    .option('--rewrite-key <s/re/to/>', 'write keys under another name (repeatable)', collectRule)
    .option('--transform <file.mjs>', 'a function of your own, for each key and command')
    .option('--rate <bytes>', 'so many bytes a second at most, e.g. 10mb', parseSize)
    .option('--dry-run', 'read everything, write nothing')
    .option('--verify', 'compare both when done')
    .option('--salvage', 'a damaged dump: go on behind damage as far as that is safe')
    .option('--with-server <path>', '--verify of an AOF or archive: see rrep diff --help')
    .option('--empty-target', 'FLUSHALL first; asks, unless --yes')
    .option('--yes', 'do not ask')
    .option('--finish <target>', 'put right what an interrupted live replay left there; no source')
    .option('--checkpoint-key <key>', `where progress is kept (default ${DEFAULT_CHECKPOINT_KEY})`)
    .option('--spool-dir <dir>', 'where a live source waits for a slower target')
    .option('--connections <n>', 'for the snapshot (default 3)', parseCount)
    .addHelpText('after', DETAILS)
  addConnectOptions(command)
  addConnectOptions(command, 'target')
  addFilterOptions(command)
  addCommonOptions(command, [
    'rrep replay dump.rdb 127.0.0.1:6380',
    'rrep replay backup/ new.example --until 2026-11-22T09:59:00Z --empty-target',
    'rrep replay redis://old.example redis://new.example --until-synced --verify',
    "rrep replay dump.rdb staging --match 'user:*' --map-db 0:5 --rewrite-key s/^user:/test:/",
    'rrep replay dump.rdb staging --transform anonymise.mjs --on-conflict replace',
  ])
  command.action(
    context.action<ReplayCommandOptions>(async ({ args, options, talk, io, signal }) => {
      if (options.finish !== undefined) return await runFinish(args, options, talk, io, signal)
      if (args[0] === undefined || args[1] === undefined) {
        throw new UsageError(
          `missing required argument '${args[0] === undefined ? 'source' : 'target'}'`,
        )
      }
      if (isOnDisk(args[1])) {
        throw new UsageError(`the target is a server, and ${args[1]} is a file`, {
          hint: `the source comes first: rrep replay ${args[1]} ${maskSecrets(args[0])}`,
        })
      }
      const target = await readServerSettings(args[1], options, io, talk, 'target')
      if (target.address.db !== 0) {
        throw new UsageError('the target is a server, not one of its databases', {
          hint: `leave out the /${target.address.db}; --map-db 0:${target.address.db} writes there`,
        })
      }
      const source = await readSource(args[0], options, io, talk)
      const transform =
        options.transform === undefined ? undefined : await loadTransform(options.transform)
      if (options.emptyTarget === true && options.yes !== true && options.dryRun !== true) {
        await confirmEmpty(formatServerAddress(target.address), io)
      }
      return await runReplay({ ...optionsOf(options), source, target, transform, signal }, talk)
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
    const result = await finishReplay({
      target,
      checkpointKey: options.checkpointKey,
      retries: options.retries,
      signal,
      onProgress: (keys, totalKeys) =>
        progress.update({
          label: 'putting expiries right',
          done: keys,
          total: totalKeys,
          unit: 'keys',
        }),
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

function describeFinish(result: FinishResult): string[] {
  const { checkpoint, expiries, expired } = result
  const lines: string[] = []
  if (expiries > 0) {
    const past = expired === 0 ? '' : `, ${formatCount(expired)} of them past their time`
    lines.push(`expiries put right: ${formatCount(expiries)} keys${past}`)
  }
  if (result.importModeEnded) lines.push('import-mode turned off')
  if (checkpoint !== undefined) {
    lines.push(
      `checkpoint removed: of ${checkpoint.source}, ` +
        (checkpoint.phase === 'load'
          ? 'in the middle of its load: the target holds a part of the snapshot'
          : `which the target has up to offset ${checkpoint.nextReplOffset - 1}`),
    )
  }
  return lines.length === 0 ? ['nothing to put right'] : lines
}

async function runReplay(call: ReplayOptions, talk: Talk): Promise<number> {
  const progress = talk.progress(`connecting to ${formatServerAddress(call.target.address)}`)
  try {
    const result = await replay({
      ...call,
      onProgress: (state) => showProgress(progress, state),
      onEvent: (event) => showEvent(event, talk),
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

/** What the comparison found, for people. */
function describeVerified(verified: NonNullable<ReplayResult['verified']>): string {
  if (verified.same) {
    const counters = verified.differences['stream-counters'] ?? 0
    const but = counters === 0 ? '' : ` (but for the counters of ${countOf(counters, 'stream')})`
    return `verified: source and target are the same, ${countOf(verified.a.keys, 'key')}${but}`
  }
  if (verified.keysDifferent === 0) {
    return 'verified: no difference found, but not all of the source could be replayed to compare'
  }
  const kinds = Object.entries(verified.differences).map(([kind, count]) =>
    describeDifferences(kind, count),
  )
  return `verified: ${countOf(verified.keysDifferent, 'key')} ${verified.keysDifferent === 1 ? 'differs' : 'differ'} (a source, b target): ${kinds.join(', ')}`
}

function optionsOf(options: ReplayCommandOptions): Omit<ReplayOptions, 'source' | 'target'> {
  return {
    until: options.until,
    fromMs: options.from,
    untilSynced: options.untilSynced,
    untilQuiet: options.untilQuiet,
    onConflict: options.onConflict,
    restore: options.restore,
    filter: readFilterOptions(options),
    mapDb: options.mapDb === undefined ? undefined : new Map(options.mapDb),
    rewriteKey: options.rewriteKey,
    rateBytesPerSecond: options.rate,
    dryRun: options.dryRun,
    verify: options.verify,
    salvage: options.salvage,
    withServer: options.withServer,
    emptyTarget: options.emptyTarget,
    checkpointKey: options.checkpointKey,
    spoolDir: options.spoolDir,
    connections: options.connections,
    retries: options.retries,
  }
}

async function readSource(
  text: string,
  options: ReplayCommandOptions,
  io: Io,
  talk: Talk,
): Promise<ReplaySource> {
  const spec = classifySource(text)
  switch (spec.kind) {
    case 'server':
      return { kind: 'server', settings: await readServerSettings(spec.address, options, io, talk) }
    case 'stdin':
      return { kind: 'stdin', stream: io.stdin }
    default:
      return spec
  }
}

function isOnDisk(text: string): boolean {
  const { kind } = classifySource(text)
  return kind === 'file' || kind === 'directory'
}

async function loadTransform(file: string): Promise<Transform> {
  try {
    return transformOf(await import(pathToFileURL(resolve(file)).href), file)
  } catch (error) {
    if (error instanceof UsageError) throw error
    throw new FileError('ERR_CANNOT_READ', `cannot load ${file}: ${String(error)}`, {
      cause: error,
    })
  }
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

function showProgress(progress: Progress, state: ReplayProgress): void {
  const lag =
    state.lagBytes === undefined
      ? undefined
      : `lag ${formatSize(state.lagBytes)}, ${formatDuration(state.lagMs ?? 0)}`
  switch (state.phase) {
    case 'receive':
      progress.update({ label: 'receiving', done: state.bytes, total: undefined, unit: 'bytes' })
      break
    case 'check':
      progress.update({
        label: 'checking',
        done: state.bytes,
        total: state.totalBytes,
        unit: 'bytes',
      })
      break
    case 'load':
      progress.update({
        label: 'loading',
        done: state.bytes,
        total: state.totalBytes,
        unit: 'bytes',
        note: [countOf(state.keys, 'key'), ...(lag === undefined ? [] : [lag])].join(', '),
      })
      break
    case 'stream':
      progress.update({ label: 'stream', done: state.commands, unit: 'commands', note: lag })
      break
    case 'finish':
      progress.update({
        label: 'putting expiries right',
        done: state.bytes,
        total: state.totalBytes,
        unit: 'keys',
      })
  }
}

function showEvent(event: ReplayEvent, talk: Talk): void {
  switch (event.event) {
    case 'target':
      talk.say(`target ${event.server}: ${event.version}, ${countOf(event.keys, 'key')}`)
      break
    case 'emptied':
      talk.say('the target was emptied')
      break
    case 'expiry':
      talk.trace(`expiry is held back by ${event.how}`)
      break
    case 'resumed':
      talk.say(`going on behind offset ${event.replOffset - 1}, where an earlier run stopped`)
      break
    case 'snapshot':
      talk.say(`snapshot received: ${formatSize(event.bytes)}, offset ${event.replOffset}`)
      break
    case 'loaded':
      talk.say(`snapshot loaded: ${countOf(event.keys, 'key')}`)
      break
    case 'caught-up':
      talk.say(`caught up with the source at offset ${event.replOffset}`)
      break
    case 'synced':
      talk.say(
        event.same
          ? `source and target are the same at offset ${event.replOffset}`
          : `everything up to offset ${event.replOffset} was sent`,
      )
      break
    case 'link-lost': {
      // The error says it.
      if (event.retryInMs === undefined) break
      const next = `next attempt in ${formatDuration(event.retryInMs)}`
      talk.say(`${event.side}: ${event.message}; ${next}`)
      break
    }
    case 'warning':
      talk.warn(event.message)
  }
}

function collectDb(text: string, before: [number, number][] | undefined): [number, number][] {
  return [...(before ?? []), parseDbMapping(text)]
}

function collectRule(text: string, before: KeyRewriteRule[] | undefined): KeyRewriteRule[] {
  return [...(before ?? []), parseRewriteRule(text)]
}
