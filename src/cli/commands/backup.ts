/** `rrep backup`: store, list, verify and prune snapshots in a repository. */
import { type Command, Option } from 'commander'
import type { Compression } from '../../disk/compression.js'
import { UsageError } from '../../errors.js'
import { readCatalogue } from '../../repository/catalogue.js'
import { refuseDb } from '../../source/classify.js'
import { prune } from '../../verbs/backup/prune.js'
import { backup, type BackupResult, type RetentionPolicy } from '../../verbs/backup/run.js'
import { verifyBackup } from '../../verbs/backup/verify.js'
import { addCommonOptions, type CommandContext } from '../command.js'
import { addConnectOptions, sourceOf, type ConnectValues } from '../connect-options.js'
import { EXIT } from '../exit-codes.js'
import { renderTable, type Column } from '../render/inspect-table.js'
import { readNamed } from '../source-argument.js'
import type { Talk } from '../talk.js'
import {
  countOf,
  formatCount,
  formatDuration,
  formatSize,
  parseCount,
  parseDuration,
} from '../units.js'
import { parseCompression } from './sync.js'

interface KeepOptions {
  keepLast?: number
  keepHourly?: number
  keepDaily?: number
  keepWeekly?: number
  keepMonthly?: number
  keepYearly?: number
  keepWithin?: number
}

interface BackupCommandOptions extends ConnectValues, KeepOptions {
  to?: string
  name?: string
  compress?: Compression
  cluster?: boolean
  tag?: string[]
  /** False with --no-guard. */
  guard?: number | false
  dryRun?: boolean
}

interface ListOptions {
  name?: string
  maxAge?: number
}

interface PruneCommandOptions extends KeepOptions {
  name?: string
  yes?: boolean
}

const LIST: readonly Column[] = [
  { title: 'name' },
  { title: 'id' },
  { title: 'age', align: 'right' },
  { title: 'keys', align: 'right' },
  { title: 'size', align: 'right' },
  { title: 'server', spare: 1 },
  { title: 'source', spare: 2 },
]
const PRUNED: readonly Column[] = [{ title: 'name' }, { title: 'id' }, { title: 'what' }]

const DETAILS = `
A backup is a directory REPO/NAME/<time>-<random>/ with plain files: dump.rdb (packed with --compress), of
a cluster one a shard and nodes.json, and rrep-backup.json, written last: what it is, keys by database,
SHA-256. It appears whole, is never changed, and redis-server loads the dump without rrep. Every command
reads it: rrep inspect REPO@latest, rrep diff REPO@~1 REPO@latest, rrep replay REPO/NAME@2026-11-25T10:00Z.

The --keep-… rules are those of restic: each keeps the newest backup of each of the last so many periods
that have one, and a backup that any rule keeps stays. They look at one NAME only. The newest is never
removed. Where a backup holds less than half of the keys of the one before (--guard), it is stored, nothing
is removed, and the status is 8: every night, until the keys are back or --no-guard accepts their number.

s3://bucket/prefix: credentials, region and endpoint as the AWS tools find them (AWS_ACCESS_KEY_ID,
AWS_PROFILE, a role of the machine, AWS_ENDPOINT_URL for another store). The snapshot streams from the master
into the bucket, part by part, with no file on this machine.
`

export function registerBackup(program: Command, context: CommandContext): void {
  const command = program
    .command('backup')
    .summary('a verified, retained backup, for cron')
    .description('Take a snapshot of a server or a cluster into a repository of backups.')
    .argument('[source]', 'server or cluster (RREP_SOURCE)')
    .addOption(
      new Option('--to <repo>', 'the repository: a directory, or s3://bucket/prefix').env(
        'RREP_TO',
      ),
    )
    .addOption(new Option('--name <name>', 'backups of one name belong together').env('RREP_NAME'))
    .option('--compress <how>', 'gzip or zstd, with :LEVEL if you like', parseCompression)
    .option('--cluster', 'all shards of the cluster that the server is a node of')
    .option('--tag <text...>', 'stands in the record')
    .option(
      '--guard <percent>',
      'fewer keys by this much: nothing is pruned (default 50%)',
      parseShare,
    )
    .option('--no-guard', 'prune whatever the number of keys')
    .option('--dry-run', 'take and check, store and remove nothing')
    .addHelpText('after', DETAILS)
  addKeepOptions(command)
  addConnectOptions(command)
  addCommonOptions(command, [
    'rrep backup 127.0.0.1:6379 --to /var/backups/redis --keep-daily 7 --keep-weekly 4',
    'rrep backup --cluster node1:7000 --to /var/backups/redis --name prod --compress gzip',
    'AWS_ENDPOINT_URL=https://minio:9000 rrep backup node1:6379 --to s3://backups/redis',
    'rrep backup list /var/backups/redis --max-age 26h',
    'rrep backup verify /var/backups/redis@latest',
    'rrep backup prune /var/backups/redis --keep-daily 7 --yes',
  ])
  command.action(
    context.action<BackupCommandOptions>(async (call) => {
      const { args, options, io, talk, signal } = call
      if (options.to === undefined) {
        throw new UsageError('--to REPO is missing: where do backups go?', {
          hint: 'write --to /var/backups/redis, or set RREP_TO',
        })
      }
      const text = sourceOf(args[0], io)
      const source = await readNamed(text, options, io, talk)
      if (source.kind === 'server') refuseDb(text, 'a backup')
      const progress = talk.progress('connecting')
      try {
        const result = await backup(source, {
          to: options.to,
          name: options.name,
          compress: options.compress,
          tags: options.tag,
          keep: policyOf(options),
          guard: options.guard === false ? 0 : options.guard,
          dryRun: options.dryRun,
          retries: options.retries,
          signal,
          onEvent: ({ message }) => talk.warn(message),
          onProgress: ({ phase, done, total, unit }) =>
            progress.update({
              label: phase === 'sync' ? 'receiving' : 'checking',
              done,
              total,
              unit,
            }),
        })
        progress.stop()
        await tellResult(result, options.dryRun === true, talk)
        const isWell = result.guarded === undefined && result.pruneError === undefined
        return isWell ? EXIT.OK : EXIT.WARNING
      } finally {
        progress.stop()
      }
    }),
  )
  registerList(command, context)
  registerVerify(command, context)
  registerPrune(command, context)
}

function registerList(parent: Command, context: CommandContext): void {
  const command = parent
    .command('list')
    .description('The backups of a repository, newest last.')
    .argument('<repo>')
    .option('--name <name>', 'of this name only')
    .option('--max-age <time>', 'status 7 where the newest of a name is older', parseDuration)
  addCommonOptions(command, ['rrep backup list /var/backups/redis --max-age 26h'])
  command.action(
    context.action<ListOptions>(async ({ args, options, talk, signal }) => {
      const { backups, unfinished } = await readCatalogue(args[0]!, options.name, { signal })
      const nowMs = Date.now()
      if (talk.json) {
        const rows = backups.map(({ directory, record }) => ({ directory, ...record }))
        await talk.event({ event: 'backups', backups: rows, unfinished })
      } else if (backups.length > 0) {
        const rows = backups.map(({ record, atMs }) => [
          record.name,
          record.id,
          formatDuration(nowMs - atMs),
          formatCount(record.keys),
          formatSize(record.files.reduce((sum, { bytes }) => sum + bytes, 0)),
          record.serverVersion ?? '?',
          record.isCluster ? countOf(record.files.length, 'shard') : record.source,
        ])
        await talk.write(`${renderTable(LIST, rows, lookOf(talk))}\n`)
      } else talk.say(`no backup in ${args[0]!}`)
      for (const each of unfinished) talk.warn(`${each} has no sound record: it is no backup`)
      const { maxAge } = options
      if (maxAge === undefined) return EXIT.OK
      const newest = new Map<string, number>()
      for (const { record, atMs } of backups) {
        // What is dated in the future says nothing of how old the newest is.
        newest.set(record.name, atMs <= nowMs ? atMs : (newest.get(record.name) ?? -Infinity))
      }
      const stale = [...newest].filter(([, atMs]) => nowMs - atMs > maxAge).map(([name]) => name)
      if (newest.size === 0) talk.problem('there is no backup')
      for (const name of stale) {
        talk.problem(`the newest backup of ${name} is older than ${formatDuration(maxAge)}`)
      }
      return newest.size > 0 && stale.length === 0 ? EXIT.OK : EXIT.DIFFERENT
    }),
  )
}

function registerVerify(parent: Command, context: CommandContext): void {
  const command = parent
    .command('verify')
    .description('Is a backup what was stored? Every byte and every value is read.')
    .argument('<repo@sel>', 'REPO, REPO@latest, REPO/NAME@~1, …')
  addCommonOptions(command, ['rrep backup verify /var/backups/redis@latest'])
  command.action(
    context.action<object>(async ({ args, talk, signal }) => {
      const progress = talk.progress('checking')
      try {
        const { record, directory, keys } = await verifyBackup(args[0]!, {
          signal,
          onProgress: ({ done, total, unit }) =>
            progress.update({ label: 'checking', done, total, unit }),
        })
        progress.stop()
        if (talk.json) await talk.event({ event: 'verified', directory, keys, id: record.id })
        else
          talk.say(`${record.name}/${record.id}: sound, ${countOf(keys, 'key')}, as it was stored`)
        return EXIT.OK
      } finally {
        progress.stop()
      }
    }),
  )
}

function registerPrune(parent: Command, context: CommandContext): void {
  const command = parent
    .command('prune')
    .description('Remove what no rule keeps; without --yes it is only said.')
    .argument('<repo>')
    .option('--name <name>', 'of this name only')
    .option('--yes', 'really remove them')
  addKeepOptions(command)
  addCommonOptions(command, [
    'rrep backup prune /var/backups/redis --keep-daily 7 --keep-weekly 4 --yes',
  ])
  command.action(
    context.action<PruneCommandOptions>(async ({ args, options, talk, signal }) => {
      const keep = policyOf(options)
      if (keep === undefined) {
        throw new UsageError('no rule was given: all would be removed', {
          hint: 'write --keep-daily 7 or the like',
        })
      }
      const dryRun = options.yes !== true
      const result = await prune(args[0]!, { name: options.name, keep, dryRun, signal })
      if (talk.json) await talk.event({ event: 'pruned', dryRun, ...result })
      else {
        const rows = result.backups.map(({ name, id, reasons }) => [
          name,
          id,
          reasons.length > 0 ? `kept: ${reasons.join(', ')}` : dryRun ? 'would go' : 'removed',
        ])
        await talk.write(`${renderTable(PRUNED, rows, lookOf(talk))}\n`)
        if (dryRun) talk.say('nothing was removed: --yes means it')
      }
      return EXIT.OK
    }),
  )
}

function lookOf(talk: Talk): Parameters<typeof renderTable>[2] {
  return { rich: talk.richOut, chalk: talk.out, columns: talk.columns }
}

function addKeepOptions(command: Command): void {
  for (const name of ['last', 'hourly', 'daily', 'weekly', 'monthly', 'yearly']) {
    command.addOption(
      new Option(
        `--keep-${name} <n>`,
        name === 'last' ? 'the last so many' : `so many ${name} ones`,
      )
        .env(`RREP_KEEP_${name.toUpperCase()}`)
        .argParser(parseCount),
    )
  }
  command.addOption(
    new Option('--keep-within <time>', 'all not older than this before the newest')
      .env('RREP_KEEP_WITHIN')
      .argParser(parseDuration),
  )
}

function policyOf(options: KeepOptions): RetentionPolicy | undefined {
  const policy: RetentionPolicy = {
    last: options.keepLast,
    hourly: options.keepHourly,
    daily: options.keepDaily,
    weekly: options.keepWeekly,
    monthly: options.keepMonthly,
    yearly: options.keepYearly,
    withinMs: options.keepWithin,
  }
  return Object.values(policy).some((each) => each !== undefined) ? policy : undefined
}

function parseShare(text: string): number {
  const found = /^(\d{1,3})%?$/.exec(text)
  const percent = Number(found?.[1] ?? Number.NaN)
  if (!(percent >= 0 && percent <= 100)) throw new UsageError(`--guard: not a percentage: ${text}`)
  return percent / 100
}

async function tellResult(result: BackupResult, dryRun: boolean, talk: Talk): Promise<void> {
  const { record, directory, guarded, pruned, pruneError } = result
  if (talk.json) {
    const { code, message } = pruneError ?? {}
    await talk.event({
      event: 'backed-up',
      dryRun,
      directory,
      guarded,
      pruned,
      ...(pruneError === undefined ? {} : { pruneError: { code, message } }),
      ...record,
    })
    return
  }
  const bytes = record.files.reduce((sum, each) => sum + each.bytes, 0)
  const shards = record.isCluster ? `${countOf(record.files.length, 'shard')}, ` : ''
  const what = `${shards}${countOf(record.keys, 'key')}, ${formatSize(bytes)}`
  talk.say(
    dryRun ? `would be stored: ${what}` : `${record.source} → ${directory}: ${what}, checked`,
  )
  if (pruned.length > 0) talk.say(`removed: ${countOf(pruned.length, 'older backup')}`)
  if (pruneError !== undefined) {
    talk.problem(`the backup is stored, but older ones could not be removed: ${pruneError.message}`)
  }
  if (guarded !== undefined) {
    talk.problem(
      `the backup before had ${formatCount(guarded.before)} keys, this one ` +
        `${formatCount(guarded.now)}: it is stored, and nothing was removed (--guard)`,
    )
  }
}
