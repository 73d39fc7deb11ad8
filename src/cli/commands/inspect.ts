/** `rrep inspect`: options → one call of the library → a summary, rows, one key or one object. */
import { type Command, Option } from 'commander'
import {
  checkRdb,
  inspect,
  type InspectOptions,
  type InspectResult,
  type ReadOutcome,
} from '../../verbs/inspect/run.js'
import type { GrowthProgress } from '../../verbs/growth/options.js'
import { inspectRows } from '../../verbs/inspect/lines.js'
import { UsageError } from '../../errors.js'
import { addCommonOptions, type CommandCall, type CommandContext } from '../command.js'
import { addConnectOptions, type ConnectValues } from '../connect-options.js'
import { EXIT } from '../exit-codes.js'
import type { Source } from '../../source/classify.js'
import { addFilterOptions, readFilterOptions, type FilterOptions } from '../filter-options.js'
import { outcomeObject, summaryObject } from '../render/inspect-json.js'
import { renderSummary } from '../render/inspect-summary.js'
import { renderLosses } from '../render/ledger.js'
import { describeFileNotice } from '../render/notices.js'
import type { Progress } from '../render/progress.js'
import {
  addMomentOptions,
  readSourceArgument,
  readNamed,
  type MomentOptions,
  PREPARING,
} from '../source-argument.js'
import type { Talk } from '../talk.js'
import { showGrowth } from './inspect/growth.js'
import { showKey } from './inspect/one-key.js'
import { pageLine, writePage } from './inspect/page.js'
import { addThreadsOption, type ThreadsOption } from '../options/threads.js'
import { countOf, formatCount, formatSize, parseCount, parseMoment, type Moment } from '../units.js'

interface InspectCommandOptions extends ConnectValues, FilterOptions, MomentOptions, ThreadsOption {
  tlsKey?: string
  top?: number
  prefixes?: number | true
  separator?: string
  keys?: boolean
  key?: string
  check?: boolean
  csv?: boolean
  html?: string
  compare?: string
  compareUntil?: Moment
  report?: boolean
  salvage?: boolean
  strings?: 'text' | 'base64'
}

type Call = CommandCall<InspectCommandOptions>

const DETAILS = `
SOURCE is a server, a dump, an append-only file, an archive (a directory in multi-part AOF form), or
- for stdin; gzip and zstd are unpacked on the way. A dump is read once, from front to end, whatever
its size, in constant memory. Of a server a snapshot is taken first, into a temporary file (TMPDIR).

The commands of an AOF or an archive are applied in a server of rrep's own (redis-server or
valkey-server of PATH, or --with-server), in memory only, and gone at the end. --until chooses the
moment; --base-only reads the snapshot in front and says how many commands behind it are left out.

Memory is estimated: what MEMORY USAGE would say on the server that wrote the file (jemalloc, 64
bits, default limits). Prefixes that are followed by too many different names, as by an id, share
one row: user:*: stands for all of user:1:, user:2: and so on.

--html writes one file that asks nothing of any server: what stands out, a map of the prefixes, sizes,
times to live, what higher limits of encodings would save, hash slots. It walks every element, which
takes longer. Share it as you would share the names of your keys.

--compare tells what became of the keys since another source, which may be any that SOURCE may be:
what is new, gone, grown and shrunk, by prefix, type, database and time left, and the keys that
changed most. Every key is compared with itself, so the figures are exact; with many keys some 32
bytes of each go to a temporary file (TMPDIR). With --html the page has it, too. Of one archive two
moments may be compared: --until and --compare-until.

--keys prints: db, type, encoding, elements, bytes of memory, expiry or -, key.
--csv prints the columns of redis-rdb-tools' memory report. A key that begins with = + - @ or '
gets one more ' in front, so that no spreadsheet takes it for a formula.
--json turns both into an object a line: db, key, type, encoding, memory, elements, expireAt, idle,
freq.
--key takes a name as --keys prints it, with \\n, \\xff and the like; with --json it prints the line
that export writes of the key (--strings base64 as there), with memory, elements and raw behind it.

A damaged file: what was read before the damage is shown, and the exit status is 6. With --salvage
reading goes on behind it where that is safe.
`

const DEFAULT_TOP = 10
const DEFAULT_DEPTH = 2
const PREFIX_ROWS = 15
/** A file that is read sooner needs no progress. */
const PROGRESS_AFTER_MS = 1000

export function registerInspect(program: Command, context: CommandContext): void {
  const command = program
    .command('inspect')
    .summary('what a dump or a server holds; where the memory goes')
    .description('Says what a dump, an archive or a server holds and where the memory goes.')
    .argument('[source]', 'server, RDB, AOF, archive, or - for stdin (else RREP_SOURCE)')
    .option('--top <n>', `how many of the largest keys (default ${DEFAULT_TOP})`, parseCount)
    .option(
      '--prefixes [depth]',
      `prefixes of so many pieces (default ${DEFAULT_DEPTH})`,
      parseDepth,
    )
    .option('--separator <text>', 'between the pieces of a name (default ":")')
    .option('--keys', 'one line for each key instead')
    .option('--key <name>', 'this key whole instead, and how it is stored')
    .addOption(
      new Option('--strings <how>', 'how JSON of a key shows bytes').choices(['text', 'base64']),
    )
    .option('--check', 'only whether the file is sound: reads and verifies everything')
    .option('--csv', 'one CSV row for each key instead')
    .option('--report', 'sizes, expiry by the hour, limits of encodings, slots as well; slower')
    .option('--html <file>', 'one self-contained page instead: a map of the memory, - for stdout')
    .option('--compare <older>', 'what grew since this dump, server, archive or backup')
    .option('--compare-until <when>', 'the older one: its state at this time', parseMoment)
    .option('--salvage', 'go on behind damage as far as that is safe')
    .addHelpText('after', DETAILS)
  addThreadsOption(
    command,
    'the summary and --check of a plain dump: read it with so many threads more',
  )
  addMomentOptions(command)
  addConnectOptions(command, 'source', 'tls-key')
  command.option('--cluster', 'all shards of the cluster that the server is a node of')
  addFilterOptions(command)
  addCommonOptions(command, [
    'rrep inspect dump.rdb',
    'rrep inspect db.example:6379',
    'rrep inspect archive/ --until 2026-11-22T09:59:00Z',
    'rrep inspect dump.rdb --top 50 --type hash,zset --min-size 1mb',
    "rrep inspect dump.rdb --match 'session:*' --ttl none",
    "rrep inspect dump.rdb --idle '>30d' --keys",
    'rrep inspect dump.rdb --csv > keys.csv',
    'rrep inspect dump.rdb --html report.html',
    'rrep inspect today.rdb --compare yesterday.rdb',
    'rrep inspect backups@latest --compare backups@~1 --html growth.html',
    'rrep inspect dump.rdb --report --json | jq .report.thresholds',
    'rrep inspect dump.rdb --check && echo sound',
    'ssh db "cat dump.rdb" | rrep inspect - --json | jq .types',
  ])
  command.action(
    context.action<InspectCommandOptions>(async (call) => {
      const { options } = call
      const { keys, csv, check, key, html } = options
      const modes = [keys, csv, check, key !== undefined, html !== undefined]
      if (modes.filter((mode) => mode === true).length > 1) {
        throw new UsageError('--keys, --key, --csv, --check and --html exclude each other')
      }
      if (options.report === true && html === undefined && modes.includes(true)) {
        throw new UsageError('--report adds to the summary: not with --keys, --key, --csv, --check')
      }
      if (options.compare === undefined ? options.compareUntil !== undefined : isList(options)) {
        throw new UsageError(
          options.compare === undefined
            ? '--compare-until needs --compare'
            : '--compare is not for --keys, --key, --csv, --check',
        )
      }
      if (options.check === true && options.salvage === true) {
        throw new UsageError('--check ends at the first damage, --salvage goes on behind it', {
          hint: 'rrep inspect FILE --salvage tells what is left; rrep export --salvage gets it out',
        })
      }
      const progress = lateProgress(call.talk)
      try {
        return await run(call, progress.show, progress.stop)
      } finally {
        progress.stop()
      }
    }),
  )
}

function isList({ keys, key, csv, check }: InspectCommandOptions): boolean {
  return keys === true || key !== undefined || csv === true || check === true
}

type Show = (progress: Omit<GrowthProgress, 'side'>) => void

const LABEL = { ...PREPARING, read: 'reading', compare: 'comparing' } as const

async function run(call: Call, show: Show, stop: () => void): Promise<number> {
  const { args, options, io, signal, talk } = call
  const file = await readSourceArgument(args[0], { ...options, key: options.tlsKey }, io, talk)
  const base: InspectOptions = {
    stdin: io.stdin,
    signal,
    until: options.until,
    baseOnly: options.baseOnly,
    withServer: options.withServer,
    retries: options.retries,
    identity: options.identity,
    onEvent: (event) => {
      if (event.event !== 'notice') talk.warn(event.message)
    },
    salvage: options.salvage,
    filter: readFilterOptions(options),
    top: options.top ?? DEFAULT_TOP,
    prefixDepth: typeof options.prefixes === 'number' ? options.prefixes : DEFAULT_DEPTH,
    separator: options.separator === undefined ? undefined : separatorBytes(options.separator),
    onProgress: show,
  }
  const older = await readOlder(call)
  const olderUntil = options.compareUntil
  let outcome: ReadOutcome
  let olderOutcome: ReadOutcome | undefined
  if (options.check === true) {
    outcome = await checkRdb(file, { ...base, threads: options.threads })
    stop()
    await renderCheck(outcome, talk)
  } else if (options.key !== undefined) {
    outcome = await showKey(file, options.key, base, { talk, strings: options.strings, stop })
  } else if (options.csv === true || options.keys === true) {
    const format = call.talk.json ? 'json' : options.csv === true ? 'csv' : 'text'
    outcome = await inspectRows(file, { ...base, format, write: talk.writeOut })
  } else if (options.html !== undefined) {
    const result = await writePage(file, args[0], { ...base, older, olderUntil }, call)
    stop()
    if (talk.json && options.html !== '-') await talk.event(summaryObject(result))
    else talk.say(pageLine(result, options.html))
    outcome = result
    olderOutcome = result.growth?.older
  } else if (older !== undefined) {
    const result = await showGrowth(file, older, { ...base, olderUntil }, { talk, show, stop })
    outcome = result.newer
    olderOutcome = result.older
  } else {
    const nowMs = Date.now()
    const { report, threads } = options
    const result = await inspect(file, { ...base, nowMs, report, threads })
    stop()
    // A snapshot of a server was made meanwhile: its age is as of now.
    await renderInspection(result, call, Date.now())
    outcome = result
  }
  if (options.idle !== undefined && outcome.keysRead > 0 && isEmpty(outcome)) {
    talk.warn('no key passed: only servers with an LRU policy save idle times')
  }
  const codes = [outcome, olderOutcome].map((each) =>
    each === undefined ? EXIT.OK : exitOf(each, talk),
  )
  return Math.max(...codes)
}

function isEmpty(outcome: ReadOutcome | InspectResult): boolean {
  return 'keys' in outcome && outcome.keys === 0
}

/** Tells what is missing; throws what a damaged source ends with. */
function exitOf(outcome: ReadOutcome, talk: Talk): number {
  if (outcome.commandsLeftOut > 0) {
    talk.warn(`${countOf(outcome.commandsLeftOut, 'command')} behind the snapshot left out`)
  }
  if (outcome.error !== undefined) throw outcome.error
  if (outcome.built?.complete === false) {
    talk.warn(`not everything could be applied in ${outcome.built.server}`)
    for (const line of renderLosses(outcome.built.ledger)) talk.say(line)
    return EXIT.DIFFERENT
  }
  return EXIT.OK
}

async function readOlder({ args, options, io, talk }: Call): Promise<Source | undefined> {
  const { compare, compareUntil } = options
  if (compare === undefined) return undefined
  if (compare === '-' && args[0] === '-') throw new UsageError('only one source can be stdin')
  const older = await readNamed(compare, { ...options, key: options.tlsKey }, io, talk)
  if (compareUntil !== undefined && (older.kind === 'server' || older.kind === 'cluster')) {
    throw new UsageError('--compare-until is for an AOF or an archive: a server is as it is now')
  }
  return older
}

async function renderCheck(outcome: ReadOutcome, talk: Talk): Promise<void> {
  if (outcome.error !== undefined && outcome.rdbVersion === 0) return
  if (talk.json) {
    await talk.event({ event: 'checked', ...outcomeObject(outcome), keys: outcome.keysRead })
    return
  }
  if (outcome.error !== undefined || talk.quiet) return
  const checksum = outcome.checksum === 'absent' ? 'no checksum' : `checksum ${outcome.checksum}`
  const notices = Object.entries(outcome.notices).map(
    ([code, count]) => `, ${describeFileNotice(code, count)}`,
  )
  await talk.write(
    `sound: RDB ${outcome.rdbVersion}, ${countOf(outcome.keysRead, 'key')}, ` +
      `${formatSize(outcome.bytes)}, ${checksum}${notices.join('')}${ofIncrements(outcome)}\n`,
  )
}

function ofIncrements({ increments }: ReadOutcome): string {
  if (increments === undefined || increments.hashed + increments.unhashed === 0) return ''
  const { hashed, unhashed } = increments
  const without = unhashed === 0 ? '' : `, ${unhashed} without a hash`
  return `; ${countOf(hashed, 'file')} of commands as written${without}`
}

async function renderInspection(result: InspectResult, call: Call, nowMs: number): Promise<void> {
  const { talk, options } = call
  // No RDB at all: there is nothing to report but the error.
  if (result.error !== undefined && result.rdbVersion === 0) return
  if (talk.json) {
    await talk.event(summaryObject(result))
    return
  }
  if (talk.quiet) return
  await talk.write(
    renderSummary(result, {
      rich: talk.richOut,
      chalk: talk.out,
      columns: talk.columns,
      nowMs,
      prefixRows: options.prefixes === undefined ? PREFIX_ROWS : Number.POSITIVE_INFINITY,
      filtered: result.filteredOut > 0,
    }),
  )
}

/** A spinner that comes only when the work takes its time. */
function lateProgress(talk: Talk): { show: Show; stop: () => void } {
  const startMs = performance.now()
  let progress: Progress | undefined
  let stopped = false
  return {
    show: ({ phase, done, total, unit, keys }) => {
      if (stopped || performance.now() - startMs < PROGRESS_AFTER_MS) return
      progress ??= talk.progress('reading')
      progress.update({
        label: LABEL[phase],
        done,
        total,
        unit,
        note: keys === undefined ? '' : `${formatCount(keys)} keys`,
      })
    },
    stop: () => {
      stopped = true
      progress?.stop()
      progress = undefined
    },
  }
}

function parseDepth(text: string): number {
  const depth = parseCount(text)
  if (depth < 1 || depth > 32) throw new UsageError(`--prefixes ${text}: 1 to 32 pieces`)
  return depth
}

function separatorBytes(text: string): Buffer {
  if (text === '') throw new UsageError('--separator must not be empty')
  return Buffer.from(text, 'utf8')
}
