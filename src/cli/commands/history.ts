/** `rrep history`: what happened to a key. */
import { type Command, Option } from 'commander'
import { quoteBytes } from '../../bytes/printable.js'
import { UsageError } from '../../errors.js'
import { classifySource, type StoredSource } from '../../source/classify.js'
import {
  history,
  undoCommand,
  type HistoryEntry,
  type HistoryOptions,
} from '../../verbs/history/run.js'
import { addCommonOptions, type CommandCall, type CommandContext } from '../command.js'
import { EXIT } from '../exit-codes.js'
import { countOf, parseCount, parseMoment, parseTime, type Moment } from '../units.js'

interface HistoryCommandOptions {
  db?: number
  from?: number
  until?: Moment
  values?: boolean
  limit?: number
  undo?: number
  resp?: boolean
  strings?: 'text' | 'base64'
  withServer?: string
}

const DETAILS = `
Every command that touched KEY, over all snapshots of the archive: those that name it, RENAME and COPY onto
it, FLUSHALL, FLUSHDB, SWAPDB, MOVE, and the DEL by which a master tells that it expired. Time, offset behind
the command (as rrep tail shows it), database, and the offset of its MULTI. A stream has no clients and no
reads in it: who wrote, and who looked, it does not tell.

--values: what the key was behind each of the newest commands (--limit, 1000), as rrep export writes values.
They are made by a redis-server or valkey-server of rrep's own (PATH, or --with-server) from this key's record
in the oldest snapshot and its commands, and those of the keys that they read.

--undo OFFSET prints (never runs) what makes the key what it was before the command at that offset: SELECT and
RESTORE … REPLACE ABSTTL, or DEL where it was not there. redis-cli reads it: rrep history … --undo N | redis-cli.
`

export function registerHistory(program: Command, context: CommandContext): void {
  const command = program
    .command('history')
    .summary('what happened to a key, and its values')
    .description('Every command of an archive or an AOF that touched a key.')
    .argument('<archive>', 'what tail -o keeps, an AOF, or - for stdin')
    .argument('<key>')
    .option('--db <n>', 'its database (default 0)', parseCount0)
    .option('--from <time>', 'of this time and later', parseTime)
    .option('--until <when>', 'up to a time, or offset:N', parseMoment)
    .option('--values', 'the value behind each command')
    .option('--limit <n>', 'so many values, the newest (default 1000)', parseCount)
    .option('--undo <offset>', 'print what makes it what it was before this command', parseCount0)
    .option('--resp', 'with --undo: the bytes for redis-cli --pipe')
    .addOption(new Option('--strings <form>', 'of --json').choices(['text', 'base64']))
    .option('--with-server <program>', 'redis-server or valkey-server to apply commands in')
    .addHelpText('after', DETAILS)
  addCommonOptions(command, [
    'rrep history archive user:1',
    'rrep history archive user:1 --values --from 2026-11-25T10:00Z',
    'rrep history archive user:1 --undo 4711 | redis-cli -p 6380',
  ])
  command.action(
    context.action<HistoryCommandOptions>(async (call) => {
      const [name, key] = call.args as [string, string]
      const source = await classifySource(name)
      if (source.kind === 'server' || source.kind === 'cluster') {
        throw new UsageError(`${name} is a server: its past is in an archive, which tail -o keeps`)
      }
      if (call.options.undo !== undefined) return await showUndo(call, source, key)
      return await show(call, source, key)
    }),
  )
}

function parseCount0(text: string): number {
  return /^0+$/.test(text) ? 0 : parseCount(text)
}

async function show(
  { options, io, talk, signal }: CommandCall<HistoryCommandOptions>,
  source: StoredSource,
  key: string,
): Promise<number> {
  let count = 0
  const progress = talk.progress('reading')
  try {
    const entries = history(source, Buffer.from(key), {
      ...shared(options, talk.warn),
      ...{ fromMs: options.from, until: options.until, stdin: io.stdin, signal },
      ...{ values: options.values, limit: options.limit },
    })
    for await (const entry of entries) {
      progress.stop()
      count += 1
      if (talk.json) await talk.event(objectOf(entry, options.strings ?? 'text'))
      else await talk.write(`${linesOf(entry, options.values === true).join('\n')}\n`)
    }
  } finally {
    progress.stop()
  }
  talk.say(`${countOf(count, 'command')} touched it; a stream has no clients and no reads in it`)
  return EXIT.OK
}

async function showUndo(
  { options, talk, signal }: CommandCall<HistoryCommandOptions>,
  source: StoredSource,
  key: string,
): Promise<number> {
  const offset = options.undo!
  const call = { ...shared(options, talk.warn), offset, signal }
  const { db, command, resp, server } = await undoCommand(source, Buffer.from(key), call)
  if (talk.json) {
    await talk.event({
      event: 'undo',
      db,
      server,
      command: command.map((each) => quoteBytes(each)),
    })
  } else if (options.resp === true) {
    await talk.writeOut(resp)
  } else {
    await talk.write(`SELECT "${db}"\n${shown(command)}\n`)
  }
  talk.say(`nothing was run; the payload is of ${server}, and loads where that or a newer one runs`)
  return EXIT.OK
}

function shared(
  { db, withServer }: HistoryCommandOptions,
  warn: (text: string) => void,
): Pick<HistoryOptions, 'db' | 'withServer' | 'onEvent'> {
  return { db, withServer, onEvent: ({ message }) => warn(message) }
}

function linesOf(entry: HistoryEntry, withValues: boolean): readonly string[] {
  const { time, offset, db, args, transaction, value } = entry
  const of = transaction === undefined ? '' : ` multi:${transaction}`
  const where = `${time?.toISOString() ?? '-'} ${offset} db${db < 0 ? '?' : db}${of}`
  const lines = [`${where} ${shown(args)}`]
  if (!withValues) return lines
  if (value === undefined) lines.push('  ? not known')
  else if (value === null) lines.push('  = not there')
  else {
    const { type, expireAt } = value
    const until = expireAt === null ? '' : `, until ${new Date(expireAt).toISOString()}`
    lines.push(`  = ${type}${until}: ${JSON.stringify(value.value)}`)
  }
  return lines
}

function objectOf(entry: HistoryEntry, strings: 'text' | 'base64'): object {
  const { time, offset, db, args, transaction, value } = entry
  return {
    offset,
    time: time?.toISOString() ?? null,
    db: db < 0 ? null : db,
    command: args.map((each) => each.toString(strings === 'base64' ? 'base64' : 'utf8')),
    transaction: transaction ?? null,
    ...(value === undefined ? {} : { value }),
  }
}

/** As redis-cli reads it again. */
function shown([name, ...args]: readonly Buffer[]): string {
  return [
    name!.toString('latin1').replaceAll(/[^!-~]/g, '?'),
    ...args.map((each) => quoteBytes(each)),
  ].join(' ')
}
