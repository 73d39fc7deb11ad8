/** `rrep backup`: store, list, verify and prune snapshots in a repository. */
import type { Command } from 'commander'
import type { Compression } from '../../disk/compression.js'
import { UsageError } from '../../errors.js'
import { refuseDb } from '../../source/classify.js'
import { nameOfBackups } from '../../verbs/backup/name.js'
import { backup } from '../../verbs/backup/run.js'
import { addCommonOptions, type CommandCall, type CommandContext } from '../command.js'
import { addConnectOptions, sourceOf, type ConnectValues } from '../connect-options.js'
import { optionsFromEnvironment } from '../options/environment.js'
import { EXIT } from '../exit-codes.js'
import { addIdentityOption, readNamed, type IdentityOptions } from '../source-argument.js'
import { Aftermath, type AftermathOptions, type Outcome } from './backup/aftermath.js'
import { addKeepOptions, policyOf, type KeepOptions } from './backup/keep-options.js'
import { registerCopy } from './backup/copy.js'
import { registerList } from './backup/list.js'
import { registerPrune } from './backup/prune.js'
import { isWell, tellResult } from './backup/tell.js'
import { registerVerify } from './backup/verify.js'
import { collect, parseMoment, type Moment } from '../units.js'
import { parseCompression } from './sync.js'

interface BackupCommandOptions
  extends ConnectValues, KeepOptions, AftermathOptions, IdentityOptions {
  to?: string
  name?: string
  until?: Moment
  compress?: Compression
  cluster?: boolean
  node?: boolean
  moment?: boolean
  strict?: boolean
  tag?: string[]
  encryptTo?: string[]
  /** False with --no-guard. */
  guard?: number | false
  prove?: boolean
  withServer?: string
  dryRun?: boolean
}

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

--encrypt-to age1…: the dump is encrypted as it passes, as the age program would (dump.rdb.gz.age). This host needs
the recipient only; to read it, commands take --identity FILE. The record stays readable: it names no key.

--prove loads the backup into a redis-server or valkey-server of its own (no port, nothing on disk) and
compares what that holds with it, key by key; the proof and the time it took lie beside it. Where it fails
the backup is stored, nothing is removed, and the status is 8. The newest proven backup is never removed.

--ping, --textfile and the hooks come after the fact, have time limits, and change nothing of the backup:
where one of them fails the status is 8. Hooks are given RREP_BACKUP_STATUS (the exit status), _NAME, _ID,
_DIRECTORY, _KEYS, _BYTES and _ERROR. Each option also comes from the environment: --keep-daily from
RREP_KEEP_DAILY, --prove from RREP_PROVE=1, and so on.
`

export function registerBackup(program: Command, context: CommandContext): void {
  const command = optionsFromEnvironment(program.command('backup'))
    .summary('a verified, retained backup, for cron')
    .description('Take a snapshot of a server, a cluster or a file into a repository of backups.')
    .argument('[source]', 'server, cluster, dump or archive (RREP_SOURCE)')
    .option('--to <repo>', 'the repository: a directory, or s3://bucket/prefix')
    .option('--name <name>', 'backups of one name belong together')
    .option('--until <when>', 'an archive: its state at this time, or offset:N', parseMoment)
    .option('--compress <how>', 'gzip or zstd, with :LEVEL if you like', parseCompression)
    .option('--cluster', 'all shards of the cluster that the server is a node of')
    .option('--encrypt-to <recipient>', 'age1…, or a file of recipients (repeatable)', collect)
    .option('--moment', 'of a cluster: all shards at one moment, by their streams')
    .option('--strict', 'with --moment: hold all writes for some milliseconds then')
    .option('--node', 'one node of a cluster is meant, its shard alone')
    .option('--tag <text...>', 'stands in the record')
    .option(
      '--guard <percent>',
      'fewer keys by this much: nothing is pruned (default 50%)',
      parseShare,
    )
    .option('--no-guard', 'prune whatever the number of keys')
    .option('--prove', 'load it into a server of our own, and compare every key')
    .option('--with-server <program>', 'the redis-server or valkey-server for that (default: PATH)')
    .option('--ping <url>', 'healthchecks.io: /start, then the URL or /STATUS')
    .option('--textfile <file>', 'metrics for the textfile collector of node_exporter')
    .option('--on-success <command>', 'run by sh when all went well')
    .option('--on-failure <command>', 'run by sh when the status is not 0')
    .option('--dry-run', 'take and check, store and remove nothing')
    .addHelpText('after', DETAILS)
  addKeepOptions(command)
  addConnectOptions(command)
  addIdentityOption(command)
  addCommonOptions(command, [
    'rrep backup 127.0.0.1:6379 --to /var/backups/redis --keep-daily 7 --keep-weekly 4',
    'rrep backup --cluster node1:7000 --to /var/backups/redis --name prod --compress gzip',
    'rrep backup node1:6379 --to s3://backups/redis --compress gzip --encrypt-to recipients.txt',
    'AWS_ENDPOINT_URL=https://minio:9000 rrep backup node1:6379 --to s3://backups/redis',
    'rrep backup list /var/backups/redis --max-age 26h',
    'rrep backup verify /var/backups/redis@latest',
    'rrep backup prune /var/backups/redis --keep-daily 7 --yes',
  ])
  command.action(
    context.action<BackupCommandOptions>(async (call) => {
      const aftermath = new Aftermath(call.options, call.talk, call.signal)
      return await aftermath.around(async () => await runBackup(call, aftermath))
    }),
  )
  registerList(command, context)
  registerVerify(command, context)
  registerPrune(command, context)
  registerCopy(command, context)
}

async function runBackup(
  { args, options, io, talk, signal }: CommandCall<BackupCommandOptions>,
  aftermath: Aftermath,
): Promise<Outcome> {
  if (options.to === undefined) {
    throw new UsageError('--to REPO is missing: where do backups go?', {
      hint: 'write --to /var/backups/redis, or set RREP_TO',
    })
  }
  const text = sourceOf(args[0], io)
  const source = await readNamed(text, options, io, talk)
  if (source.kind === 'server') refuseDb(text, 'a backup')
  aftermath.name = options.name ?? nameOfBackups(source)
  const progress = talk.progress('connecting')
  try {
    const result = await backup(source, {
      to: options.to,
      name: aftermath.name,
      until: options.until,
      stdin: io.stdin,
      compress: options.compress,
      tags: options.tag,
      encryptTo: options.encryptTo,
      identity: options.identity,
      ...{ node: options.node, moment: options.moment, strict: options.strict },
      keep: policyOf(options),
      guard: options.guard === false ? 0 : options.guard,
      prove: options.prove,
      withServer: options.withServer,
      dryRun: options.dryRun,
      retries: options.retries,
      signal,
      onEvent: ({ message }) => talk.warn(message),
      onProgress: ({ phase, done, total, unit }) =>
        progress.update({ label: LABELS[phase], done, total, unit }),
    })
    progress.stop()
    await tellResult(result, options.dryRun === true, talk)
    return { result, exitCode: isWell(result) ? EXIT.OK : EXIT.WARNING }
  } finally {
    progress.stop()
  }
}

const LABELS = { sync: 'receiving', check: 'checking', prove: 'proving' } as const

function parseShare(text: string): number {
  const found = /^(\d{1,3})%?$/.exec(text)
  const percent = Number(found?.[1] ?? Number.NaN)
  if (!(percent >= 0 && percent <= 100)) throw new UsageError(`--guard: not a percentage: ${text}`)
  return percent / 100
}
