/** The options of `rrep replay`: how they are declared, and what they are for the library. */
import { type Command, Option } from 'commander'
import {
  DEFAULT_CHECKPOINT_KEY,
  type KeyRewriteRule,
  type OnConflict,
  type ReplayOptions,
} from '../../../verbs/replay/run.js'
import { addCommonOptions } from '../../command.js'
import { addConnectOptions, type ConnectValues } from '../../connect-options.js'
import { collectDb, collectRule } from './key-options.js'
import { addFilterOptions, readFilterOptions, type FilterOptions } from '../../filter-options.js'
import { addIdentityOption, type IdentityOptions } from '../../source-argument.js'
import {
  parseCount,
  parseMoment,
  parsePlace,
  parseSize,
  parseTime,
  type Moment,
} from '../../units.js'

export interface ReplayCommandOptions extends ConnectValues, FilterOptions, IdentityOptions {
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
  cluster?: boolean
  targetCluster?: boolean
  yes?: boolean
  finish?: string
  checkpointKey?: string
  spoolDir?: string
  connections?: number
  viaReplica?: boolean
  listen?: { host: string; port: number }
  announce?: { host: string; port: number }
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

--via-replica: the target loads a dump itself, as servers do in a full resync: where keys are small,
at two to three times the rate of any pipeline; where they are large, at about the same. It is made
a replica of rrep for that (REPLICAOF, with a password for this load only) and a master again at the
end, with the masterauth, masteruser and repl-diskless-load that it had; filters, --map-db,
--rewrite-key and --transform (one key for one) apply on the way. Refused, with the reason: into a
cluster, a target with replicas of its own or watched by Sentinels, one that is not empty
(--empty-target empties it), without the rights (CONFIG, SLAVEOF, CLIENT, PUBSUB, INFO), of a live
source. rrep listens at the address that the target sees it by; where that cannot be reached (NAT),
--listen says which, and 0.0.0.0 means all. A target with tls-replication is served with
--target-cert and --target-key, which it must trust. A load that breaks off or is interrupted puts
the target right and says what it holds; after a kill the next replay into it does, or --finish
TARGET.

--salvage reads a damaged dump to its end: what is sound is written, what was lost is told, the
ledger counts it, and the exit status is 6. What follows a snapshot (commands) is then left out.

The ledger at the end counts what was read, written, skipped, failed and expired, and, where a run
breaks off, what is unknown. Exit status 7: something was not written that nobody asked to skip.
With --dry-run it says what would be written, and which keys the target has already.
`

export function declareReplay(program: Command): Command {
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
    .option('--cluster', 'live: all shards of the cluster that the source is a node of')
    .option('--target-cluster', 'the target is all masters of the cluster that it is a node of')
    .option('--empty-target', 'FLUSHALL first; asks, unless --yes')
    .option('--yes', 'do not ask')
    .option('--finish <target>', 'put right what an interrupted live replay left there; no source')
    .option('--checkpoint-key <key>', `where progress is kept (default ${DEFAULT_CHECKPOINT_KEY})`)
    .option('--spool-dir <dir>', 'where a live source waits for a slower target')
    .option(
      '--announce <address>',
      'behind Sentinels: host[:port] of ours that they reach, to stay out of their list',
      parsePlace,
    )
    .option('--connections <n>', 'for the snapshot (default 3)', parseCount)
    .option(
      '--via-replica',
      'the fastest way into an empty server: it replicates from rrep meanwhile',
    )
    .option(
      '--listen <address>',
      '--via-replica: host[:port] where the target reaches rrep',
      parsePlace,
    )
    .addHelpText('after', DETAILS)
  addConnectOptions(command)
  addConnectOptions(command, 'target')
  addFilterOptions(command)
  addIdentityOption(command)
  addCommonOptions(command, [
    'rrep replay dump.rdb 127.0.0.1:6380',
    'rrep replay backup/ new.example --until 2026-11-22T09:59:00Z --empty-target',
    'rrep replay redis://old.example redis://new.example --until-synced --verify',
    'rrep replay --cluster node1:7000 redis://new.example --until-quiet --verify',
    "rrep replay dump.rdb staging --match 'user:*' --map-db 0:5 --rewrite-key s/^user:/test:/",
    'rrep replay dump.rdb staging --transform anonymise.mjs --on-conflict replace',
    'rrep replay dump.rdb new.example --via-replica --verify',
  ])
  return command
}

export function optionsOf(options: ReplayCommandOptions): ReplayOptions {
  return {
    until: options.until,
    fromMs: options.from,
    untilSynced: options.untilSynced,
    untilQuiet: options.untilQuiet,
    onConflict: options.onConflict,
    restore: options.restore,
    filter: readFilterOptions(options),
    identity: options.identity,
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
    viaReplica: options.viaReplica,
    listen: options.listen,
    announce: options.announce,
    retries: options.retries,
  }
}
