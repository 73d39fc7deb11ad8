/** The options of `rrep tail`: how they are declared, and what does not go together. */
import type { Command } from 'commander'
import { UsageError } from '../../../errors.js'
import type { ArchiveOptions } from '../../../verbs/tail/options.js'
import { STATS_TABLES, type StatsTable } from '../../../verbs/tail/watch.js'
import { addCommonOptions } from '../../command.js'
import { addConnectOptions, type ConnectValues } from '../../connect-options.js'
import { addFilterOptions, type FilterOptions } from '../../filter-options.js'
import type { Talk } from '../../talk.js'
import {
  parseCount,
  parseDuration,
  parseList,
  parseMoment,
  parsePlace,
  parseSize,
  parseTime,
  type Moment,
} from '../../units.js'

export interface TailCommandOptions extends ConnectValues, FilterOptions {
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
  html?: string
  by?: StatsTable[]
  from?: number
  until?: Moment
  rotate?: number
  snapshotEvery?: number
  keep?: { bases: number } | { ageMs: number }
  fsync?: string
  durable?: boolean
  adopt?: boolean
  announce?: { host: string; port: number }
  ship?: string
  shipEvery?: number
  spoolDir?: string
  cluster?: boolean
}

const DETAILS = `
Of an archive or an AOF: what was kept, over every snapshot in it, with the time (the second it was
received in) and the offset of each command, which --until offset:N of replay, serve and diff takes;
one less is the state before that command. Where no stream offsets are kept they count bytes.

--cluster (or redis-cluster://…): the streams of all shards as they come, each line with the master it
came from (in JSON as "shard"). A shard is followed through failovers, to whoever is its master, and
shards that are added are shown from then on. Each offset counts in its shard.

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

With --cluster -o DIR: an archive for each shard, DIR/shard-<id>, as above, and DIR/nodes.json: who owned
which slots when, and how far each shard must be read where slots changed hands. A shard goes on from
the replica that is promoted, by partial resync; shards that are added are kept from then on. TRIMSLOTS
and FLUSHSLOT are recorded, and a new snapshot is taken for servers, which cannot load them.

--ship REPO: a copy of the archive in a repository of backups, kept up every --ship-every: what is complete once,
what is being written up to its last whole command, the sidecar last. Killed, cut off or throttled it catches
up; the archive does not wait for it. The copy alone restores to any second it covers: REPO/NAME@archive with
--until. What --keep lets go is removed there too.

--ship REPO without -o: the archive lies in the repository only, and the disk holds what has not arrived: what
is complete is removed here once it is there. That is in a spool (--spool-dir; default /var/tmp), which the next
run of the same source and repository finds, so it goes on at the byte after a kill; at its end all is
shipped and the spool is gone, and the next run, here or elsewhere, goes on from the repository. Where a run
was killed and its spool is lost, a new archive begins beside its.

--durable acknowledges to the master what is fsynced, so WAITAOF 0 1 counts this archive. It then
also counts for WAIT and min-replicas, and FAILOVER without TO may pick it as the new master, which
it cannot be: use FAILOVER TO. Without --durable it acknowledges offset 0 and counts for nothing
but min-replicas; on a node of a cluster it acknowledges what it has received (so that slots can
move) and counts for WAIT.

Behind Sentinels that do not look names up (their default) a link announces one that is nobody's, and they
do not list it. Else it is listed as a replica, for good, unless a port is announced with it that
answers them as a replica does which is not to be listed and never promoted. Where the source is on
loopback rrep listens there by itself; else --announce HOST[:PORT] says where: an address of ours
that the Sentinels reach. That port gives no data to anybody.

The smallest ACL that suffices: ACL SETUSER rrep on >PASSWORD +psync +replconf +ping +info
(with --match also +command)
`

export function declareTail(program: Command): Command {
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
    .option(
      '--announce <address>',
      'behind Sentinels: host[:port] of ours that they reach, to stay out of their list',
      parsePlace,
    )
    .option('--no-full-sync', 'never let the master make a full snapshot')
    .option('--stats', 'commands and bytes, a second or of all that was kept')
    .option(
      '--by <tables>',
      'of --stats: command,prefix,key,db,minute (default command,prefix,db)',
      parseTables,
    )
    .option('--html <file>', 'of --stats: what passed in all as one page, when the run ends')
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
    .option(
      '--ship <repo>',
      'a copy in this repository (a directory, s3://…); without -o: there only',
    )
    .option('--ship-every <time>', 'how often (default 60s)', parseDuration)
    .option('--spool-dir <dir>', 'of --ship without -o: where what has not arrived lies')
    .option('--cluster', 'all shards of the cluster that the server is a node of')
    .option('--durable', 'with -o: acknowledge what is fsynced (WAITAOF)')
    .addHelpText('after', DETAILS)
  addConnectOptions(command)
  addFilterOptions(command, { byValue: false })
  addCommonOptions(command, [
    'rrep tail',
    "rrep tail db.example --match 'user:*' --command SET,DEL --json",
    'rrep tail --stats',
    'rrep tail archive --stats --by command,key,minute',
    'rrep tail db.example --stats --for 10m --html traffic.html',
    'rrep tail --cluster node1:7000 --json',
    'rrep tail --cluster node1:7000 -o cluster --snapshot-every 6h',
    'rrep tail archive --command FLUSHALL,DEL --from 2026-11-22T10:00:00Z',
    'rrep tail -o archive --snapshot-every 6h --keep 7d',
    'rrep tail redis://db.example -o archive --durable --fsync always',
    'rrep tail db.example -o archive --snapshot-every 6h --ship s3://backups/redis',
    'rrep tail db.example --ship s3://backups/redis --snapshot-every 6h',
  ])
  return command
}

const KEEP_ONLY = [
  'rotate',
  'snapshotEvery',
  'keep',
  'fsync',
  'durable',
  'adopt',
  'ship',
  'shipEvery',
  'spoolDir',
] as const
/** What has no meaning for several streams in one. */
const ONE_STREAM_ONLY = [
  'resp',
  'stats',
  'html',
  'fromOffset',
  'adopt',
  'announce',
  'ship',
] as const
const WATCH_ONLY = [
  ...['resp', 'strings', 'command', 'count', 'fromOffset', 'replid', 'stats', 'by', 'html'],
  ...['db', 'match', 'noMatch', 'regex', 'from', 'until'],
] as const
export function checkOptions(options: TailCommandOptions, talk: Talk): void {
  const given = (names: readonly string[]): string | undefined =>
    names.find((name) => (options as unknown as Record<string, unknown>)[name] !== undefined)
  const keeps = options.output !== undefined || options.ship !== undefined
  const how = options.output === undefined ? '--ship' : '-o'
  const wrong = given(keeps ? WATCH_ONLY : KEEP_ONLY)
  if (wrong !== undefined) {
    const flag = flagOf(wrong)
    throw new UsageError(
      keeps
        ? `${flag} has no meaning with ${how}: an archive holds everything`
        : `${flag} needs -o DIR or --ship REPO`,
    )
  }
  if (keeps && !options.fullSync) {
    throw new UsageError(
      `--no-full-sync has no meaning with ${how}: an archive begins with a snapshot`,
    )
  }
  if (options.spoolDir !== undefined && options.output !== undefined) {
    throw new UsageError('--spool-dir has no meaning with -o: the directory holds it all')
  }
  if (options.shipEvery !== undefined && options.ship === undefined) {
    throw new UsageError('--ship-every needs --ship')
  }
  if (options.by !== undefined && options.stats !== true) throw new UsageError('--by needs --stats')
  if (options.html !== undefined && options.stats !== true) {
    throw new UsageError('--html needs --stats: it is the page of what passed in all')
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

export function flagOf(name: string): string {
  return `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
}

/** How an archive is kept. */
export function keepOptions(
  options: TailCommandOptions,
): Pick<ArchiveOptions, 'rotateBytes' | 'snapshotEveryMs' | 'keep' | 'fsync' | 'durable'> {
  return {
    rotateBytes: options.rotate,
    snapshotEveryMs: options.snapshotEvery,
    keep: options.keep,
    fsync: options.fsync as 'always' | 'everysec' | 'no' | undefined,
    durable: options.durable,
  }
}

/** Throws UsageError for what needs one stream. */
export function checkClusterOptions(options: TailCommandOptions): void {
  const wrong = ONE_STREAM_ONLY.find((name) => options[name] !== undefined)
  if (wrong === undefined) return
  if (wrong === 'adopt') {
    throw new UsageError('--adopt is for the archive of one server: a shard is known by its nodes')
  }
  throw new UsageError(`${flagOf(wrong)} is for one stream, and a cluster has one a shard`, {
    hint: 'name a single node',
  })
}

/** `7d` is an age, `4` a number of bases. */
function parseTables(text: string): StatsTable[] {
  const names = parseList(text)
  return names.map((name) => {
    const found = STATS_TABLES.find((each) => each === name)
    if (found === undefined) throw new UsageError(`not one of ${STATS_TABLES.join(', ')}: ${name}`)
    return found
  })
}

function parseKeep(text: string): { bases: number } | { ageMs: number } {
  if (!/^\d+$/.test(text.trim())) return { ageMs: parseDuration(text) }
  const bases = parseCount(text)
  if (bases === 0) throw new UsageError('--keep 0 would keep nothing')
  return { bases }
}
