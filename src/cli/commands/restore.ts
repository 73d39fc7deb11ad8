/** `rrep restore`: a backup into a data directory. */
import { type Command, Option } from 'commander'
import { UsageError } from '../../errors.js'
import { classifySource } from '../../source/classify.js'
import { restoreTo, type RestoreOptions } from '../../verbs/restore/run.js'
import { isBackupSelector } from '../../repository/catalogue.js'
import { isClusterAddress } from '../../topology/cluster.js'
import { addCommonOptions, type CommandCall, type CommandContext } from '../command.js'
import { addConnectOptions, type ConnectValues } from '../connect-options.js'
import { EXIT } from '../exit-codes.js'
import { addIdentityOption, readNamed, type IdentityOptions } from '../source-argument.js'
import { countOf, parseMoment, parsePlace, type Moment } from '../units.js'
import { confirmEmpty, nameOfTarget, readTarget, runReplay } from './replay/into.js'

interface RestoreCommandOptions extends ConnectValues, IdentityOptions {
  form?: RestoreOptions['form']
  until?: Moment
  withServer?: string
  cluster?: boolean
  yes?: boolean
  dryRun?: boolean
  verify?: boolean
  viaReplica?: boolean
  listen?: { host: string; port: number }
}

const DETAILS = `
DIR is made, or must be empty. It gets dump.rdb and appendonlydir/ with the same content: a server with
appendonly yes ignores a dump.rdb without a word, one with appendonly no the other. Start it with
redis-server --dir DIR.

Into a server (HOST:PORT or an address with ://) or a cluster it is as rrep replay --empty-target: all keys
there are deleted first, which is asked or meant by --yes, once the backup is known to be whole. A cluster's
backup goes by hash slot, into a server or a cluster of any shape.

--via-replica is the fastest way into an empty server: see rrep replay --help.

REPO/NAME@archive is what rrep tail --ship keeps: with --until its state at any second that it covers (see
rrep backup list), as one dump that a server of rrep's own comes to.
`

export function registerRestore(program: Command, context: CommandContext): void {
  const command = program
    .command('restore')
    .summary('a backup into a data directory or a server')
    .description(
      'Lay a backup out as a data directory that redis-server starts on, or load it into a server.',
    )
    .argument('<repo@sel>', 'REPO, REPO@latest, REPO/NAME@~1, REPO@2026-11-25T10:00Z, …')
    .argument('<target>', 'a directory, absent or empty; or a server')
    .addOption(new Option('--form <form>', 'both, rdb or aof').choices(['both', 'rdb', 'aof']))
    .option('--until <when>', 'of an archive: its state at this time, or offset:N', parseMoment)
    .option('--with-server <path>', 'of an archive: the server to apply its commands in')
    .option('--cluster', 'the target is a node of a cluster: load all of it')
    .option('--yes', 'delete what the server holds without asking')
    .option('--dry-run', 'a server: say only what would be written')
    .option('--verify', 'a server: compare when all is written')
    .option('--via-replica', 'a server: it loads the backup itself, as a replica of rrep meanwhile')
    .option(
      '--listen <address>',
      '--via-replica: host[:port] where the server reaches rrep',
      parsePlace,
    )
    .addHelpText('after', DETAILS)
  addIdentityOption(command)
  addConnectOptions(command)
  addCommonOptions(command, [
    'rrep restore /var/backups/redis@latest /var/lib/redis',
    'rrep restore /var/backups/redis/prod@~1 data --form rdb',
    'rrep restore s3://backups/redis@latest data --identity key.txt',
    'rrep restore /var/backups/redis@latest 127.0.0.1:6380 --yes --verify',
    'rrep restore /var/backups/redis@latest 127.0.0.1:6380 --yes --via-replica',
    'rrep restore s3://backups/redis/prod@archive data --until 2026-11-25T09:59:59Z',
  ])
  command.action(
    context.action<RestoreCommandOptions>(async (call) => {
      const { args, options, talk, signal } = call
      const [selector, target] = args as [string, string]
      if (await isServer(target, options)) return await intoServer(call, selector, target)
      const result = await restoreTo(selector, target, {
        form: options.form,
        identity: options.identity,
        until: options.until,
        withServer: options.withServer,
        signal,
      })
      const { record, keys, from, directory, files, warning } = result
      if (talk.json)
        await talk.event({ event: 'restored', from, directory, written: files, keys, ...record })
      else {
        talk.say(`${from} → ${directory}: ${countOf(keys, 'key')}, ${files.join(' and ')}`)
        const loaded =
          files.length > 1 ? 'dump.rdb with appendonly no, appendonlydir with yes' : files[0]!
        talk.say(`start it with: redis-server --dir ${directory} (it loads ${loaded})`)
      }
      if (warning !== undefined) talk.warn(warning)
      return EXIT.OK
    }),
  )
}

/** What looks like a server is not made as a directory of that name. */
async function isServer(target: string, { cluster }: RestoreCommandOptions): Promise<boolean> {
  if (cluster === true || isClusterAddress(target)) return true
  if (!/^[^/]+:\d+$|:\/\//.test(target)) return false
  return (await classifySource(target)).kind === 'server'
}

/** As `replay --empty-target`: all that is there goes first. */
async function intoServer(
  { options, talk, io, signal }: CommandCall<RestoreCommandOptions>,
  selector: string,
  name: string,
): Promise<number> {
  if (options.form !== undefined) {
    throw new UsageError('--form is for a directory: a server has no files')
  }
  const isNamed = isBackupSelector(selector)
  const stored = isNamed
    ? selector
    : `${selector}@${options.until === undefined ? 'latest' : 'archive'}`
  const source = await readNamed(stored, {}, io, talk)
  const target = await readTarget(name, options, options.cluster === true, io, talk, 'source')
  if (options.yes !== true && options.dryRun !== true) await confirmEmpty(nameOfTarget(target), io)
  const { dryRun, verify, retries, identity, until, withServer } = options
  const { viaReplica, listen } = options
  const call = {
    ...{ dryRun, verify, retries, identity, until, withServer, emptyTarget: true, signal },
    ...{ viaReplica, listen },
  }
  return await runReplay(source, target, call, talk)
}
