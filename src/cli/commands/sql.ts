/** `rrep sql`: arguments and options → one call of the library → rows as a table, CSV or JSON lines. */
import { existsSync } from 'node:fs'
import type { Command } from 'commander'
import { FileError, UsageError } from '../../errors.js'
import type { Source } from '../../source/classify.js'
import type { ReadOutcome } from '../../verbs/inspect/options.js'
import { sql, type SqlColumn, type SqlRows, type SqlValue } from '../../verbs/sql/run.js'
import { addCommonOptions, type CommandCall, type CommandContext } from '../command.js'
import { addConnectOptions, type ConnectValues } from '../connect-options.js'
import { EXIT } from '../exit-codes.js'
import { addFilterOptions, readFilterOptions, type FilterOptions } from '../filter-options.js'
import { lookOf } from '../render/inspect-table.js'
import { renderLosses } from '../render/ledger.js'
import { describeLost } from '../render/lost-regions.js'
import { csvHead, csvRow, drawingOf, jsonRow, sqlTable } from '../render/sql-rows.js'
import {
  addMomentOptions,
  PREPARING,
  readSourceArgument,
  type MomentOptions,
} from '../source-argument.js'
import type { Talk } from '../talk.js'
import { countOf, formatCount, parseSize } from '../units.js'

interface SqlCommandOptions extends ConnectValues, FilterOptions, MomentOptions {
  csv?: boolean
  salvage?: boolean
  memory?: number
}

const DETAILS = `
QUERY is the last argument, in the SQL of DuckDB; the sources in front of it are what inspect reads.

Tables:
  keys      a row a key, the columns of inspect --csv: database, type, key, size_in_bytes, encoding,
            num_elements, len_largest_element, expiry. Names stand in it as rrep shows them, other
            bytes than UTF-8 as \\xff; expiry is a timestamp.
  commands  of AOFs and archives, a row a command: time, "offset" (a word of SQL: in quotes), db,
            command, key (its first), args (a list), bytes
  With several sources both have a column source in front.

Functions: prefix(key) is what stands up to the first colon, prefix(key, 2) up to the second; slot(key)
is its slot in a cluster.

Nothing is loaded: each scan of a table reads its source anew, and only what the query looks at. What is
named twice (a join) is read twice. Sorting and grouping may use --memory, then a directory in TMPDIR. A
query may read files of yours (read_csv('prices.csv')) and write some (copy keys to 'keys.parquet').
Rows come in any order unless the query says which.

A terminal gets a table, a pipe CSV (as --csv); --json an object a line. In CSV a text that begins with
= + - @ or ' gets one more ' in front, so that no spreadsheet takes it for a formula.

DuckDB is no part of rrep: npm install -g @duckdb/node-api. Without it:
  rrep inspect dump.rdb --csv | duckdb -c "select … from read_csv('/dev/stdin')"

A damaged source ends the query with status 6. With --salvage it is answered from what can be read.
`

/** More rows are no table that anybody reads. */
const MAX_TABLE_ROWS = 1000
const BATCH_CHARS = 1 << 16

const LABEL = { ...PREPARING, read: 'reading' } as const

export function registerSql(program: Command, context: CommandContext): void {
  const command = program
    .command('sql')
    .summary('questions to a dump in SQL (DuckDB)')
    .description(
      'Answers a question in SQL about the keys of sources, or the commands of archives.',
    )
    .usage('[options] [source...] <query>')
    .argument('<query...>', 'sources (else RREP_SOURCE), and behind them what is asked')
    .option('--csv', 'CSV in a terminal, too')
    .option(
      '--memory <size>',
      'what DuckDB may use before it goes to disk (default 1gb)',
      parseSize,
    )
    .option('--salvage', 'go on behind damage as far as that is safe')
    .addHelpText('after', DETAILS)
  addMomentOptions(command)
  addConnectOptions(command)
  command.option('--cluster', 'all shards of the cluster that the server is a node of')
  addFilterOptions(command)
  addCommonOptions(command, [
    'rrep sql dump.rdb "select prefix(key), count(*), sum(size_in_bytes) from keys group by 1 order by 3 desc"',
    'rrep sql dump.rdb "select * from keys where expiry is null order by size_in_bytes desc limit 20"',
    'rrep sql old.rdb new.rdb "select source, type, count(*) from keys group by all order by all"',
    'rrep sql archive/ "select time, \\"offset\\" from commands where command = \'FLUSHALL\'"',
    'rrep sql dump.rdb "copy keys to \'keys.parquet\'"',
  ])
  command.action(context.action<SqlCommandOptions>(run))
}

async function run(call: CommandCall<SqlCommandOptions>): Promise<number> {
  const { options, io, talk, signal } = call
  const { names, query } = readArguments(call.args.flat() as string[])
  const sources: Source[] = []
  for (const name of names) sources.push(await readSourceArgument(name, options, io, talk))
  const progress = talk.progress('reading')
  const outcomes: ReadOutcome[] = []
  const rows = sql(sources, query, {
    // As it was typed, like REPO@~1; an address may have a password in it.
    names: sources.map(({ kind }, index) =>
      kind === 'file' || kind === 'directory' ? names[index] : undefined,
    ),
    stdin: io.stdin,
    until: options.until,
    baseOnly: options.baseOnly,
    withServer: options.withServer,
    retries: options.retries,
    identity: options.identity,
    salvage: options.salvage,
    memoryBytes: options.memory,
    filter: readFilterOptions(options),
    signal,
    onEvent: ({ message }) => talk.warn(message),
    onRead: (outcome) => outcomes.push(outcome),
    onProgress: ({ phase, done, total, unit, keys }) =>
      progress.update({
        label: LABEL[phase],
        done,
        total,
        unit,
        note: keys === undefined ? undefined : `${formatCount(keys)} keys`,
      }),
  })
  const isTable = talk.richOut && options.csv !== true
  try {
    if (isTable) await writeTable(rows, talk, () => progress.stop())
    else await writeLines(rows, talk, () => progress.stop())
  } catch (error) {
    // A reader that goes away had what it wanted.
    if (error instanceof FileError && error.code === 'ERR_OUTPUT_CLOSED') return EXIT.OK
    throw error
  } finally {
    progress.stop()
    for (const outcome of outcomes) tell(outcome, talk)
  }
  return outcomes.some(({ built }) => built?.complete === false) ? EXIT.DIFFERENT : EXIT.OK
}

/** The query is the last; without any before it the source is that of every command. */
function readArguments(args: readonly string[]): {
  names: readonly (string | undefined)[]
  query: string
} {
  const query = args.at(-1)
  // A query may be no name that a disk takes.
  if (query === undefined || !/\s/.test(query.trim()) || existsSync(query)) {
    throw new UsageError('there is no query', {
      hint: 'the last argument is what is asked: rrep sql dump.rdb "select count(*) from keys"',
    })
  }
  return { names: args.length === 1 ? [undefined] : args.slice(0, -1), query }
}

async function writeLines(
  answer: AsyncIterable<SqlRows>,
  talk: Talk,
  onFirst: () => void,
): Promise<void> {
  let isBegun = false
  for await (const { columns, rows } of answer) {
    onFirst()
    const drawing = talk.json ? undefined : drawingOf(columns, rows)
    if (drawing !== undefined) {
      await talk.write(drawing)
      continue
    }
    let text = isBegun || talk.json ? '' : csvHead(columns)
    isBegun = true
    for (const row of rows) {
      text += talk.json ? jsonRow(columns, row) : csvRow(columns, row)
      if (text.length < BATCH_CHARS) continue
      await talk.write(text)
      text = ''
    }
    if (text !== '') await talk.write(text)
  }
}

async function writeTable(
  answer: AsyncIterable<SqlRows>,
  talk: Talk,
  onEnd: () => void,
): Promise<void> {
  let head: readonly SqlColumn[] = []
  const shown: (readonly SqlValue[])[] = []
  let count = 0
  for await (const { columns, rows } of answer) {
    head = columns
    count += rows.length
    shown.push(...rows.slice(0, MAX_TABLE_ROWS - shown.length))
  }
  onEnd()
  const drawing = drawingOf(head, shown)
  const table = drawing === undefined ? sqlTable(head, shown, lookOf(talk)) : undefined
  await talk.write(drawing ?? table!.text)
  if (table?.isCut === true) talk.say('texts are cut to fit here: --csv and --json give them whole')
  if (count > shown.length) {
    talk.say(`${formatCount(count - shown.length)} more rows: --csv and --json give all`)
  }
}

function tell(outcome: ReadOutcome, talk: Talk): void {
  if (outcome.commandsLeftOut > 0) {
    talk.warn(`${countOf(outcome.commandsLeftOut, 'command')} behind the snapshot left out`)
  }
  for (const line of describeLost(outcome)) talk.warn(line)
  if (outcome.built?.complete === false) {
    talk.warn(`not everything could be applied in ${outcome.built.server}`)
    for (const line of renderLosses(outcome.built.ledger)) talk.say(line)
  }
}
