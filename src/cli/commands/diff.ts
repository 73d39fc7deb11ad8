/** `rrep diff`: two sources → one call of the library → a line for each difference. */
import { Option, type Command } from 'commander'
import {
  diff,
  type Difference,
  type DiffResult,
  type DiffSideResult,
  type ServerWay,
} from '../../verbs/diff/run.js'
import { printableText } from '../../bytes/key-text.js'
import { maskSecrets } from '../../net/make-server-settings.js'
import { nameOfSource, type Source } from '../../source/classify.js'
import { UsageError } from '../../errors.js'
import { addCommonOptions, type CommandCall, type CommandContext } from '../command.js'
import { addConnectOptions, type ConnectValues } from '../connect-options.js'
import { EXIT } from '../exit-codes.js'
import { addThreadsOption, type ThreadsOption } from '../options/threads.js'
import { addFilterOptions, readFilterOptions, type FilterOptions } from '../filter-options.js'
import { jsonLine } from '../guard.js'
import { DIFFERENCE_TEXT, describeDifferences } from '../render/differences.js'
import { growthObject, renderGrowth } from '../render/growth.js'
import { lookOf } from '../render/inspect-table.js'
import { renderLosses } from '../render/ledger.js'
import type { Talk } from '../talk.js'
import {
  countOf,
  formatCount,
  parseCount,
  parseDuration,
  parseMoment,
  type Moment,
} from '../units.js'
import { addIdentityOption, readNamed, type IdentityOptions } from '../source-argument.js'

interface DiffCommandOptions extends ConnectValues, FilterOptions, IdentityOptions, ThreadsOption {
  ttlTolerance?: number
  limit?: number
  values?: boolean
  stat?: boolean
  by?: ServerWay
  until?: Moment
  targetUntil?: Moment
  withServer?: string
}

const DETAILS = `
A and B are each a server, an RDB (also gzip, zstd, or - for stdin), an AOF, or a directory in
multi-part form. Options of the connection are for A, those with --target- for B.

--values shows the first elements, fields, members or bytes that differ, for up to a hundred keys,
cut and with hostile bytes escaped; it reads both sides twice more.

--stat shows, in place of keys, how many are new, gone, grown and shrunk from A to B and by how much
memory: by prefix, type, database and time left, and the keys that changed most. It reads both sides
once more. That is estimated memory, as in inspect: a value may differ and be as large as before,
and may be larger in one server than in another and be the same.

What counts: keys, types, values, expiries (--ttl-tolerance), expiries of fields, a stream's
entries, groups, consumers and pending entries (with their delivery counts), and its counters
where both sides have them. What does not: encodings and versions of the file, the order of sets,
hashes and sorted sets, delivery and idle times, LRU and LFU data, functions. A key that is on one
side only and past its expiry is no difference.

A server is taken by a sync, as a replica takes it, into a temporary file (TMPDIR): its state at
one moment. Servers that move are taken one after the other, so writes between the two moments
show as differences; stop the writers, or compare twice. A server that refuses a sync is read by
SCAN and DUMP instead, which is said; then each key is from a moment of its own, and while the
server moves nothing is proved. --by sync or --by scan asks for one of them.

The commands of an AOF or an archive are replayed into a server of rrep's own: redis-server or
valkey-server from PATH or --with-server, on a unix socket in a temporary directory, in memory
only, gone at the end. It needs the memory of that data. Nothing expires in it: a key whose time
has passed since the last command is compared with its time, as one of a snapshot is. What it
could not take is listed, and the comparison then ends with 7 whatever it found.
`

export function registerDiff(program: Command, context: CommandContext): void {
  const command = program
    .command('diff')
    .summary('are two of them the same? (server, file, archive)')
    .description('Compare two snapshots key by key, whatever their encodings and versions.')
    .argument('<a>', 'server, file or directory')
    .argument('<b>', 'server, file or directory')
    .option('--ttl-tolerance <time>', 'expiries so close are the same (default 1s)', parseDuration)
    .option('--values', 'show what differs inside of values: elements, fields, bytes')
    .option('--stat', 'what changed by prefix, type and database instead of by key')
    .addOption(
      new Option('--by <way>', 'how servers are read (default sync, or scan if refused)').choices([
        'sync',
        'scan',
      ]),
    )
    .option('--until <when>', 'A is an AOF or archive: up to this time, or offset:N', parseMoment)
    .option('--target-until <when>', 'the same for B', parseMoment)
    .option('--with-server <path>', 'redis-server or valkey-server to replay commands into')
    .option('--limit <n>', 'differences shown; all are counted (default 100)', parseCount)
    .addHelpText('after', DETAILS)
  addThreadsOption(command, 'plain dumps: read them with so many threads more')
  addConnectOptions(command)
  command.option('--cluster', 'A: all shards of the cluster that the server is a node of')
  addConnectOptions(command, 'target')
  addFilterOptions(command)
  addIdentityOption(command)
  addCommonOptions(command, [
    'rrep diff before.rdb after.rdb',
    'rrep diff dump.rdb redis://db.example:6379 --values',
    'rrep diff yesterday.rdb today.rdb --stat',
    'rrep diff old.example:6379 new.example:6379 --limit 20 --db 0',
    'rrep diff backup/ db.example --until 2026-11-22T09:59:00Z',
    'rrep diff managed.example:6379 dump.rdb --by scan --tls',
  ])
  command.action(
    context.action<DiffCommandOptions>(async (call) => {
      const { args, options, talk, io, signal } = call
      if (args[0] === '-' && args[1] === '-') throw new UsageError('only one side can be stdin')
      if (options.minSize !== undefined) {
        throw new UsageError('--min-size cannot be compared by: sizes depend on the encoding')
      }
      if (options.stat === true && (options.values === true || options.limit !== undefined)) {
        throw new UsageError('--stat shows no single differences: not with --values or --limit')
      }
      const a = await sourceFor(args[0]!, 'source', call)
      const b = await sourceFor(args[1]!, 'target', call)
      const progress = talk.progress('comparing')
      const shown: string[] = []
      try {
        const result = await diff(a, b, {
          until: { a: options.until, b: options.targetUntil },
          retries: options.retries,
          stdin: io.stdin,
          ttlToleranceMs: options.ttlTolerance,
          limit: options.stat === true ? 0 : options.limit,
          values: options.values,
          stat: options.stat,
          filter: readFilterOptions(options),
          threads: options.threads,
          by: options.by,
          withServer: options.withServer,
          identity: options.identity,
          signal,
          onEvent: ({ message }) => talk.warn(message),
          onDifference: (difference) =>
            shown.push(talk.json ? jsonOf(difference) : textOf(difference, talk)),
          onProgress: ({ phase, side, done, total, unit }) =>
            progress.update({
              label: `${phase} ${nameOfSource(side === 'a' ? a : b)}`,
              done,
              total,
              unit,
            }),
        })
        progress.stop()
        // Quiet: the exit code says it.
        if (!talk.quiet || talk.json) for (const each of shown) await talk.write(`${each}\n`)
        const { stat, ...rest } = result
        if (talk.json) {
          await talk.event({
            event: 'diff',
            ...rest,
            ...(stat === undefined ? {} : { stat: growthObject(stat) }),
          })
        } else await summarize(result, shown.length, call)
        return result.same ? EXIT.OK : EXIT.DIFFERENT
      } finally {
        progress.stop()
      }
    }),
  )
}

async function sourceFor(
  text: string,
  which: 'source' | 'target',
  { options, io, talk }: CommandCall<DiffCommandOptions>,
): Promise<Source> {
  const source = await readNamed(text, options, io, talk, which)
  const until = which === 'source' ? options.until : options.targetUntil
  const isLive = source.kind === 'server' || source.kind === 'cluster'
  if (until !== undefined && isLive) {
    const option = which === 'source' ? '--until' : '--target-until'
    throw new UsageError(`${option} is for an AOF or an archive: ${maskSecrets(text)} is live`)
  }
  return source
}

async function summarize(
  result: DiffResult,
  shown: number,
  { talk }: CommandCall<DiffCommandOptions>,
): Promise<void> {
  const total = Object.values(result.differences).reduce((sum, count) => sum + count, 0)
  const { stat } = result
  if (stat !== undefined && !talk.quiet) {
    await talk.write(`${renderGrowth(stat, lookOf(talk))}\n`)
  } else if (total > shown && !talk.quiet)
    await talk.write(`… and ${formatCount(total - shown)} more\n`)
  for (const side of [result.a, result.b]) {
    const at = side.replOffset === undefined ? '' : `, at offset ${side.replOffset}`
    const by = side.built === undefined ? BY[side.by] : `, replayed into ${side.built.server}`
    talk.say(`${side.name}: ${countOf(side.keys, 'key')}, RDB ${side.rdbVersion}${at}${by}`)
  }
  for (const { name, built } of [result.a, result.b]) {
    if (built === undefined || built.complete) continue
    talk.warn(`${name}: not everything could be replayed into ${built.server}`)
    for (const line of renderLosses(built.ledger)) talk.say(line)
  }
  if (result.keysExpired > 0) {
    const past = result.keysExpired === 1 ? 'past its expiry' : 'past their expiry'
    talk.say(`${countOf(result.keysExpired, 'key')} on one side only ${past}`)
  }
  if (result.same) {
    talk.say(
      result.a.by === 'scan' || result.b.by === 'scan'
        ? 'same, as far as SCAN and DUMP show a server that moves'
        : 'same',
    )
    const counters = result.differences['stream-counters'] ?? 0
    if (counters > 0) {
      talk.say(`note: counters beside the data (entries read) differ: ${formatCount(counters)}`)
    }
    return
  }
  if (total === 0) {
    talk.say('no difference found, but that proves nothing: not all could be replayed')
    return
  }
  const parts = Object.entries(result.differences).map(([kind, count]) =>
    describeDifferences(kind, count),
  )
  const differ = result.keysDifferent === 1 ? 'differs' : 'differ'
  talk.say(`${countOf(result.keysDifferent, 'key')} ${differ}: ${parts.join(', ')}`)
}

/** What is worth saying of the way a side was read. */
const BY: Record<DiffSideResult['by'], string> = {
  file: '',
  replay: '',
  sync: '',
  scan: ', key after key by SCAN and DUMP',
}

/** As in a diff of texts; what is on both sides and not the same is yellow. */
const COLOURS: Partial<Record<Difference['kind'], 'red' | 'green'>> = {
  'missing-in-a': 'green',
  'missing-in-b': 'red',
}

function textLine(difference: Difference, { out }: Talk): string {
  const colour = COLOURS[difference.kind] ?? 'yellow'
  const key = difference.key.length === 0 ? '""' : printableText(difference.key)
  const head = `${out[colour](DIFFERENCE_TEXT[difference.kind].padEnd(15))} db${difference.db} ${key}`
  if (difference.a === undefined) return head
  return `${head}: ${timeOrType(difference, difference.a)} → ${timeOrType(difference, difference.b ?? null)}`
}

/** With what differs inside, where that was looked for. */
function textOf(difference: Difference, talk: Talk): string {
  const line = textLine(difference, talk)
  const { detail } = difference
  if (detail === undefined) return line
  const lines = [line]
  for (const { element, a, b } of detail.elements) {
    if (b === null) lines.push(`    ${element}: ${a === '' ? '' : `${a!}, `}only in A`)
    else if (a === null) lines.push(`    ${element}: ${b === '' ? '' : `${b}, `}only in B`)
    else lines.push(`    ${element}: ${a} → ${b}`)
  }
  if (detail.more) lines.push(`    … and more (A has ${detail.sizeA}, B ${detail.sizeB})`)
  return lines.join('\n')
}

function timeOrType(difference: Difference, value: string | number | null): string {
  if (value === null) return 'none'
  if (difference.kind !== 'ttl' || typeof value !== 'number') return String(value)
  const date = new Date(value)
  return Number.isNaN(date.getTime()) ? `${value} ms` : date.toISOString()
}

function jsonOf({ kind, db, key, a, b, detail }: Difference): string {
  return jsonLine({
    event: 'difference',
    kind,
    db,
    key: key.toString('utf8'),
    keyBase64: key.toString('base64'),
    ...(a === undefined ? {} : { a, b }),
    ...(detail === undefined ? {} : { detail }),
  }).trimEnd()
}
