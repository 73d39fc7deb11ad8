/** `rrep export`: options → one call of the library → what could not be carried over, on stderr. */
import { type Command, Option } from 'commander'
import {
  exportKeys,
  lossText,
  type ExportFormat,
  type Split,
  type ExportResult,
} from '../../verbs/export/run.js'
import { extname } from 'node:path'
import { KEY_FORMAT_NAMES, KEY_FORMATS, formatOfName } from '../../formats/formats.js'
import { statOf } from '../../disk/stat.js'
import { classifySource, type Source } from '../../source/classify.js'
import { compressionOfName } from '../../disk/compression.js'
import { FileError, UsageError } from '../../errors.js'
import { addCommonOptions, type CommandContext } from '../command.js'
import { EXIT } from '../exit-codes.js'
import { addConnectOptions, readServerSettings, type ConnectValues } from '../connect-options.js'
import { renderLosses } from '../render/ledger.js'
import { describeLost, lostObject } from '../render/lost-regions.js'
import {
  addMomentOptions,
  readSourceArgument,
  type MomentOptions,
  PREPARING,
} from '../source-argument.js'
import { addFilterOptions, readFilterOptions, type FilterOptions } from '../filter-options.js'
import { jsonLine } from '../guard.js'
import { describeFileNotice } from '../render/notices.js'
import type { KeyRewriteRule } from '../../verbs/replay/run.js'
import type { Io } from '../io.js'
import type { Talk } from '../talk.js'
import {
  collectDb,
  collectRule,
  loadScrub,
  loadTransform,
  type ScrubValues,
} from './replay/key-options.js'
import { addThreadsOption, type ThreadsOption } from '../options/threads.js'
import { countOf, formatCount, formatSize } from '../units.js'

const LABEL = { ...PREPARING, read: 'exporting' } as const

interface ExportCommandOptions
  extends ConnectValues, FilterOptions, MomentOptions, ThreadsOption, ScrubValues {
  salvage?: boolean
  mapDb?: [number, number][]
  rewriteKey?: KeyRewriteRule[]
  transform?: string
  split?: string
  lzf?: boolean
  onConflict?: 'fail' | 'first' | 'last'
  output?: string
  format?: ExportFormat
  strings?: 'text' | 'base64'
  for?: string
}

const DETAILS = `
SOURCE is a server (a snapshot of it is taken first, into TMPDIR), an RDB, an AOF, an archive, or -;
gzip and zstd are unpacked on the way. The commands of an AOF or an archive are applied in a server
of rrep's own (redis-server or valkey-server of PATH, or --with-server), in memory only; --until
chooses the moment, --base-only leaves them out and says how many they are.

--salvage goes on behind damage where that is safe: what is sound is written, what was lost is
told, and the exit status is 6.

Formats:
  jsonl   a line a key: {"db":0,"key":…,"type":…,"encoding":…,"expireAt":ms|null,"value":…}
          Hashes are objects (a field with its own expiry: {"value":…,"expireAt":ms}), sorted sets
          objects of scores, streams {"entries":[[id,[[field,value],…]],…],"groups":[…],…}.
          Bytes that are no UTF-8 become U+FFFD, and are counted.
  json    the same as one array
  csv     a row a key: what it is and how large (as inspect --csv), not what it holds
  resp    commands for redis-cli --pipe: absolute expiries, streams with groups and pending
          entries, functions. Written for the server version that made the file, or --for another.
  parquet a row a key with the columns of csv, for DuckDB, pandas, Spark; compressed inside. Names are
          text, other bytes in them \\xff; times to live are timestamps in UTC
  rdb     a dump, with a right checksum: what stays as it is is copied. With --for in a version that
          this server loads; what it cannot hold is named and counted, and the exit status is 7.

--split writes a dump for each shard of a cluster, by the hash slots of keys: shard.rdb becomes
shard-0.rdb, shard-1.rdb, …, or shard-<id of the node>.rdb. Functions are in all of them. Most clusters
have db 0 only and load no dump with another: --db 0 leaves those out, --map-db moves them.

Several sources are merged: a key that two of them have ends it (status 7), unless --on-conflict says
which is kept. --map-db, --rewrite-key and --transform as in replay; a transform
cannot ask for commands or copies here.

--scrub writes a copy without personal data, by rules in a file, of which the first counts that matches:

  {"rules": [
    {"match": "user:*", "fields": ["email", "name"], "do": "hash", "keys": "ids"},
    {"match": "session:*", "do": "blank"},
    {"match": "*", "do": "hash"}
  ]}

  do          hash: other text of the same length and shape (digits, letters, case, punctuation), the
              same for the same everywhere; blank: 0 and x (members of sets are hashed); keep
  fields      of hashes the values of these only; values of other types are changed as a whole
  fieldNames  hash: names of fields of hashes, too
  keys        names: ids: parts between : { } with a digit, an @ or a letter that is not ASCII; hash:
              all behind the first :
Types, times to live, scores and lengths stay; keys may go to other slots. The secret (RREP_SCRUB_SECRET,
or --scrub-secret-file) makes the same of the same in each run. Values of modules and arrays
that a rule would change are left out, counted, with status 7; of what no rule matches nothing is changed,
nor of functions and data that modules keep between keys. A short value has few others: it can be guessed.

--lzf compresses strings and packed values of more than 20 bytes, where that makes them shorter, for a
dump of a server with rdbcompression no. Values of more than 16 MiB stay as they are.

--threads N writes JSON, CSV or RESP of a plain dump with N threads beside the one that reads it, where
there are cores for them: the same bytes, some 50 MB more each. Other formats and sources are written by one.

--strings base64 is lossless: every key, field, member and value is base64; members and fields are
in the order of their bytes, so that equal data gives equal lines. Values of modules are null in
JSON (and counted); in resp they are RESTORE payloads.
`

export function registerExport(program: Command, context: CommandContext): void {
  const command = program
    .command('export')
    .summary('its keys and values in another form')
    .description(
      'Write the keys and values of a snapshot as JSON lines, JSON, CSV, Parquet, RESP commands or another dump.',
    )
    .argument('[source...]', 'server, RDB, AOF, archive, or - for stdin (else RREP_SOURCE)')
    .option('-o, --output <file>', 'where it goes; - (default) is stdout')
    .addOption(
      new Option('--format <format>', 'default: by the name of -o, else jsonl').choices(
        KEY_FORMAT_NAMES,
      ),
    )
    .addOption(new Option('--strings <how>', 'how JSON shows bytes').choices(['text', 'base64']))
    .option('--for <server>', 'resp, rdb: the server it is for, e.g. redis-6.2 or valkey-8.1')
    .option('--map-db <from:to>', 'rdb: write the keys of a db into another; repeatable', collectDb)
    .option('--rewrite-key <rule>', "rdb: rename keys, as 's/^old:/new:/'; repeatable", collectRule)
    .option('--transform <file>', 'rdb: a module whose transform() changes or drops keys')
    .option('--scrub <rules.json>', 'rdb: hash or blank personal data, by rules')
    .option('--scrub-secret-file <file>', 'its secret (else RREP_SCRUB_SECRET)')
    .option(
      '--split <shards>',
      'rdb: by hash slot, into N files, or as nodes.json or HOST:PORT has it',
    )
    .option('--lzf', 'rdb: compress strings of more than 20 bytes, as servers do')
    .addOption(
      new Option('--on-conflict <what>', 'of two keys of one name (default: fail)').choices([
        'fail',
        'first',
        'last',
      ]),
    )
    .option('--salvage', 'go on behind damage as far as that is safe')
    .addHelpText('after', DETAILS)
  addThreadsOption(command, 'JSON, CSV, RESP of a plain dump: write it with so many threads more')
  addMomentOptions(command)
  addConnectOptions(command)
  command.option('--cluster', 'all shards of the cluster that the server is a node of')
  addFilterOptions(command)
  addCommonOptions(command, [
    'rrep export dump.rdb | jq -c "select(.type == \\"hash\\")"',
    'rrep export dump.rdb --strings base64 -o dump.jsonl',
    'rrep export dump.rdb --format resp | redis-cli --pipe',
    'rrep export backup.rdb.gz --match "user:*" --ttl none -o users.json',
    'rrep export dump.rdb --match "tenant:7:*" -o tenant-7.rdb',
    'rrep export dump.rdb --for redis-6.2 -o older.rdb',
    'rrep export dump.rdb --split 10.0.0.1:7000 -o shard.rdb',
    'rrep export dump.rdb --scrub rules.json --scrub-secret-file secret -o staging.rdb',
    'rrep export dump.rdb --lzf -o smaller.rdb',
    'rrep export a.rdb b.rdb --on-conflict last -o both.rdb',
    'rrep export dump.rdb -o keys.parquet',
  ])
  command.action(
    context.action<ExportCommandOptions>(async ({ args, options, talk, io, signal }) => {
      const output = options.output ?? '-'
      const { compression, bareName } = compressionOfName(output)
      const format = options.format ?? formatByName(output, bareName)
      if (!format.startsWith('json') && options.strings !== undefined) {
        throw new UsageError('--strings is about JSON')
      }
      if (!['resp', 'rdb'].includes(format) && options.for !== undefined) {
        throw new UsageError('--for is about --format resp and rdb')
      }
      // What is repeatable comes as one list.
      const named = args.flat()
      const sources: Source[] = []
      for (const name of named.length === 0 ? [undefined] : named) {
        sources.push(await readSourceArgument(name, options, io, talk))
      }
      const progress = talk.progress('reading')
      try {
        const result = await exportKeys(sources, {
          stdin: io.stdin,
          until: options.until,
          baseOnly: options.baseOnly,
          withServer: options.withServer,
          retries: options.retries,
          identity: options.identity,
          salvage: options.salvage,
          onEvent: ({ message }) => talk.warn(message),
          output: output === '-' ? talk.stdout(!KEY_FORMATS[format].isBinary) : output,
          format,
          compress: compression,
          strings: options.strings,
          target: options.for === undefined ? undefined : parseTarget(options.for),
          filter: readFilterOptions(options),
          threads: options.threads,
          mapDb: options.mapDb && new Map(options.mapDb),
          rewriteKey: options.rewriteKey,
          transform:
            options.transform === undefined ? undefined : await loadTransform(options.transform),
          scrub: await loadScrub(options, io, talk),
          onConflict: options.onConflict,
          lzf: options.lzf,
          split:
            options.split === undefined
              ? undefined
              : await readSplit(options.split, options, io, talk),
          signal,
          onProgress: ({ phase, done, total, unit, keys }) =>
            progress.update({
              label: LABEL[phase],
              done,
              total,
              unit,
              note: keys === undefined ? undefined : `${formatCount(keys)} keys`,
            }),
        })
        progress.stop()
        report(result, talk)
        if (talk.json) {
          const object = { event: 'exported', ...resultObject(result), output }
          if (output === '-') io.stderr.write(jsonLine(object))
          else await talk.event(object)
        }
        if (result.error !== undefined) throw result.error
        if (result.built?.complete === false) return EXIT.DIFFERENT
        if (!hasLosses(result)) return EXIT.OK
        return format === 'rdb' ? EXIT.DIFFERENT : EXIT.PROTOCOL
      } catch (error) {
        // A reader that goes away had what it wanted.
        if (error instanceof FileError && error.code === 'ERR_OUTPUT_CLOSED') return EXIT.OK
        throw error
      } finally {
        progress.stop()
      }
    }),
  )
}

/** `3`, a file, or a node of the cluster. */
async function readSplit(text: string, options: ConnectValues, io: Io, talk: Talk): Promise<Split> {
  if (/^\d+$/.test(text)) return Number(text)
  const spec = await classifySource(text)
  if (spec.kind === 'file') return { nodesFile: spec.path }
  if (spec.kind === 'server') {
    return { node: await readServerSettings(spec.address, options, io, talk) }
  }
  throw new UsageError(`${text} says no shards`, {
    hint: 'write a number, the path of a nodes.json, or the host:port of a node',
  })
}

/** Counts of keys as a replay names them. The error is told as one; regions of the file without
 * theirs. */
function resultObject(result: ExportResult): object {
  const { error, keysRead, keysWritten, keysFiltered, keysDropped, keysInConflict, lost, ...rest } =
    result
  const keys = {
    read: keysRead,
    written: keysWritten,
    filtered: keysFiltered,
    dropped: keysDropped,
    inConflict: keysInConflict,
  }
  return { ...rest, keys, ...(error === undefined ? { lost } : lostObject({ ...rest, lost })) }
}

/** Nobody wants JSON lines under the name of another form. What is there, like a device, is no name. */
function formatByName(output: string, bareName: string): ExportFormat {
  const found = formatOfName(bareName)
  if (found !== 'unknown') return found ?? 'jsonl'
  const kind = statOf(output)
  if (kind !== undefined && !kind.isFile()) return 'jsonl'
  const known = KEY_FORMAT_NAMES.flatMap((name) => KEY_FORMATS[name].extensions)
  throw new UsageError(`export makes no ${extname(bareName)} files`, {
    hint: `it makes ${known.map((each) => `.${each}`).join(', ')}, also with .gz or .zst; or say the --format`,
  })
}

function parseTarget(text: string): { family: 'redis' | 'valkey'; version: string } {
  const found = /^(?:(redis|valkey)[-:]?)?(\d+(?:\.\d+){0,2})$/i.exec(text.trim())
  if (found === null) {
    throw new UsageError(`not a server version: ${text}`, {
      hint: 'write redis-6.2, valkey-8.1 or 7.0',
    })
  }
  return {
    family: found[1]?.toLowerCase() === 'valkey' ? 'valkey' : 'redis',
    version: found[2]!,
  }
}

/** Something of the data is not in the output, and was not asked to be left out. */
function hasLosses(result: ExportResult): boolean {
  return Object.keys(result.losses).length > 0
}

const MODULES_AS = {
  null: 'as null',
  payload: 'as RESTORE payloads',
  row: undefined,
  raw: undefined,
} as const

function report(result: ExportResult, talk: Talk): void {
  const { keysWritten, keysFiltered, writtenBytes, format } = result
  const parts = [`${countOf(keysWritten, 'key')} as ${format}, ${formatSize(writtenBytes)}`]
  if (keysFiltered > 0) parts.push(`${formatCount(keysFiltered)} left out by the filters`)
  if (result.keysDropped > 0) {
    parts.push(`${formatCount(result.keysDropped)} left out by the transform`)
  }
  if (result.scrubbed !== undefined) {
    const { hash, blank, keep, unmatched } = result.scrubbed
    parts.push(`values hashed of ${formatCount(hash)}, blanked of ${formatCount(blank)}`)
    parts.push(`kept of ${formatCount(keep)}, of ${formatCount(unmatched)} no rule says anything`)
  }
  if (result.keysInConflict > 0) {
    parts.push(`${formatCount(result.keysInConflict)} left out for another of that name`)
  }
  if (result.functions > 0) {
    const place = KEY_FORMATS[format].functions ? '' : ` (not in ${format})`
    parts.push(`${formatCount(result.functions)} function libraries${place}`)
  }
  if (result.checksum === 'absent') parts.push('the file has no checksum')
  talk.say(parts.join('; '))
  for (const part of result.parts) {
    talk.say(`${part.file}: ${countOf(part.keysWritten, 'key')}, ${formatSize(part.writtenBytes)}`)
  }
  const as = MODULES_AS[KEY_FORMATS[format].modules]
  for (const [type, count] of Object.entries(as === undefined ? {} : result.modules)) {
    talk.warn(`${formatCount(count)} values of module type ${type} ${as}`)
  }
  for (const [loss, count] of Object.entries(result.losses)) {
    talk.problem(
      `not in the output: ${lossText(loss as keyof ExportResult['losses'])}: ${formatCount(count)}`,
    )
  }
  if (result.inexactStrings > 0) {
    talk.warn(
      `${countOf(result.inexactStrings, 'string')} not UTF-8 and not exact here: ` +
        'with --strings base64 all are',
    )
  }
  if (result.unorderedValues > 0) {
    talk.warn(`${formatCount(result.unorderedValues)} values are too big to be put in order`)
  }
  for (const [notice, count] of Object.entries(result.notices)) {
    talk.warn(`in the file: ${describeFileNotice(notice, count)}`)
  }
  if (result.trailingBytes > 0) {
    talk.warn(
      `${formatSize(result.trailingBytes)} behind the snapshot were not read: ` +
        'commands of an AOF, or junk',
    )
  }
  if (result.commandsLeftOut > 0) {
    talk.warn(`${countOf(result.commandsLeftOut, 'command')} behind the snapshot left out`)
  }
  if (result.built?.complete === false) {
    talk.warn(`not everything could be applied in ${result.built.server}`)
    for (const line of renderLosses(result.built.ledger)) talk.say(line)
  }
  for (const line of describeLost(result, `${countOf(result.keysWritten, 'key')} came out`)) {
    talk.warn(line)
  }
}
