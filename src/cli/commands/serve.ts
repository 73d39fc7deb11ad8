/** `rrep serve`: options → one call of the library; events → lines or objects. */
import { readFileSync } from 'node:fs'
import { type Command, Option } from 'commander'
import {
  serve,
  type ServeEvent,
  type ServeHandle,
  type ServeOptions,
} from '../../verbs/serve/run.js'
import { nameOfSource, refuseDb, type Source } from '../../source/classify.js'
import { UsageError } from '../../errors.js'
import { addCommonOptions, type CommandContext } from '../command.js'
import { addConnectOptions, sourceOf, type ConnectValues } from '../connect-options.js'
import { EXIT } from '../exit-codes.js'
import type { Io } from '../io.js'
import { cannotRead, readPasswordFile } from '../password.js'
import { describeEvent, describeSource, isWarning } from '../render/serve-events.js'
import { safeLine } from '../guard.js'
import type { Talk } from '../talk.js'
import {
  parseCount,
  parseDuration,
  parseMoment,
  parsePlace,
  parseSize,
  type Moment,
} from '../units.js'
import { addIdentityOption, readNamed, type IdentityOptions } from '../source-argument.js'

interface ServeCommandOptions extends ConnectValues, IdentityOptions {
  listen: { host: string; port: number }
  requirepassFile?: string
  tlsCertFile?: string
  tlsKeyFile?: string
  tlsCaFile?: string
  unprotected?: boolean
  until?: Moment
  sourceFile?: string
  backlog?: number
  backlogDir?: string
  tempDir?: string
  replicaLimit?: NonNullable<ServeOptions['limits']>
  replicaTimeout?: number
  maxConnections?: number
  connectionRate?: number
  metrics?: { host: string; port: number }
  announce?: { host: string; port: number }
  replicaVersion?: NonNullable<ServeOptions['assumedReplica']>
  probe: boolean
}

const DETAILS = `
A file or an archive is served as it stands: its snapshot, then the commands behind it, then
nothing but PINGs. Its replid is made from its content, so replicas that come back continue, also
after a restart. Restoring a backup is: rrep serve backup/ , then REPLICAOF on the server, and
REPLICAOF NO ONE once INFO there says master_link_status:up and, where commands follow the
snapshot, slave_repl_offset has come to the offset told when serve began to listen.

A server is relayed: one connection upstream, any number of replicas, the same replid and offsets,
so that replicas may move between the master and the relay. While upstream is away, replicas stay.

To follow another upstream without a restart: change the file given with --source-file (its first
line is the address) and send SIGHUP. Replicas go on by partial resync if the new master knows
the history; if it does not, they are given its data. Without --source-file SIGHUP ends it.

A replica that would refuse the snapshot's RDB version, having flushed its data, gets an error
instead. Its version is what it announces (Valkey 8 and newer), or what INFO at its announced port
says (asked without a password; --no-probe forbids it), or what --replica-version says; where
none of these tells, it gets what its handshake proves that it can load, or the error. Where the
content of a file is older than its label, an older replica gets it under a lower label.

On an address other than loopback a password is needed, on a public one (or all) TLS as well.
`

export function registerServe(program: Command, context: CommandContext): void {
  const command = program
    .command('serve')
    .summary('be a master: from a file, an archive or a live upstream')
    .description('Be the master of real replicas, from a file, an archive or a live upstream.')
    .argument('[source]', 'file, directory, - or server (RREP_SOURCE)')
    .addOption(
      new Option('--listen <address>', 'host:port to listen on')
        .argParser(parseListen)
        .default({ host: '127.0.0.1', port: 6390 }, '127.0.0.1:6390'),
    )
    .option('--until <when>', 'of an AOF or archive: its state then, or at offset:N', parseMoment)
    .option('--requirepass-file <file>', 'first line is the password that replicas must give')
    .option('--tls-cert-file <file>', 'serve over TLS with this certificate, PEM')
    .option('--tls-key-file <file>', 'its key, PEM')
    .option('--tls-ca-file <file>', 'demand client certificates signed by this authority, PEM')
    .option('--unprotected', 'listen anywhere without password or TLS')
    .option('--source-file <file>', 'first line is the source; read again on SIGHUP')
    .option(
      '--backlog <size>',
      'stream kept for replicas that come back (default 256mb)',
      parseSize,
    )
    .option('--backlog-dir <dir>', 'keep backlog and snapshot there: they survive a restart')
    .option('--temp-dir <dir>', 'where snapshots go otherwise (default TMPDIR)')
    .option(
      '--replica-limit <limit>',
      'cut off who is so far behind: HARD[,SOFT,TIME] (default 256mb,64mb,60s)',
      parseLimit,
    )
    .option(
      '--replica-timeout <time>',
      'drop who is silent for so long (default 60s)',
      parseDuration,
    )
    .option('--max-connections <n>', 'connections at once (default 256)', parseCount)
    .option('--connection-rate <n>', 'new connections a second (default 100)', parseCount)
    .option('--metrics <address>', 'host:port for Prometheus, at /metrics', parseListen)
    .option('--replica-version <version>', 'of replicas that do not tell: 7.2, valkey-8', parseKind)
    .option(
      '--announce <address>',
      'behind Sentinels: host[:port] of ours that they reach, to stay out of their list',
      parsePlace,
    )
    .option('--no-probe', 'do not ask replicas for their version')
    .addHelpText('after', DETAILS)
  addIdentityOption(command)
  addConnectOptions(command)
  addCommonOptions(command, [
    'rrep serve dump.rdb',
    'rrep serve backup/ --until 2026-11-22T10:00:00Z',
    'rrep serve db.example:6379 --backlog 1gb --backlog-dir /var/lib/rrep',
    'rrep serve db.example --listen 10.0.0.5:6390 --requirepass-file pw --metrics 127.0.0.1:9121',
  ])
  command.action(
    context.action<ServeCommandOptions>(async ({ args, options, talk, io, signal }) => {
      const source = await readSource(args[0], options, io, talk)
      let handle: ServeHandle | undefined
      const stopHangups =
        options.sourceFile === undefined
          ? undefined
          : io.onHangup(() => void hangup(args[0], options, io, talk, () => handle))
      const progress = talk.progress('reading the source')
      try {
        await serve(source, {
          ...toServeOptions(options, talk),
          until: options.until,
          stdin: io.stdin,
          identity: options.identity,
          signal,
          onEvent: (event) => {
            progress.stop()
            showEvent(event, talk)
          },
          onWire: (direction, line) => talk.trace(`${direction === 'sent' ? '>' : '<'} ${line}`),
          onProgress: ({ done, total, unit }) =>
            progress.update({ label: 'checking', done, total, unit }),
          onReady: (ready) => {
            progress.stop()
            handle = ready
            void showReady(ready, nameOfSource(source), talk)
          },
        })
      } finally {
        progress.stop()
        stopHangups?.()
      }
      return EXIT.OK
    }),
  )
}

function toServeOptions(options: ServeCommandOptions, talk: Talk): Omit<ServeOptions, 'signal'> {
  const { tlsCertFile, tlsKeyFile, tlsCaFile } = options
  if ((tlsCertFile === undefined) !== (tlsKeyFile === undefined)) {
    throw new UsageError('--tls-cert-file and --tls-key-file go together')
  }
  return {
    listen: options.listen,
    password:
      options.requirepassFile === undefined
        ? undefined
        : readPasswordFile(options.requirepassFile, talk.warn),
    tls:
      tlsCertFile === undefined || tlsKeyFile === undefined
        ? undefined
        : { certFile: tlsCertFile, keyFile: tlsKeyFile, caFile: tlsCaFile },
    unprotected: options.unprotected,
    backlogBytes: options.backlog,
    backlogDir: options.backlogDir,
    temporaryDir: options.tempDir,
    limits: options.replicaLimit,
    replicaTimeoutMs: options.replicaTimeout,
    maxConnections: options.maxConnections,
    connectionsPerSecond: options.connectionRate,
    metrics: options.metrics,
    announce: options.announce,
    probeReplicas: options.probe,
    assumedReplica: options.replicaVersion,
    retries: options.retries,
  }
}

async function readSource(
  argument: string | undefined,
  options: ServeCommandOptions,
  io: Io,
  talk: Talk,
): Promise<Source> {
  const { sourceFile, until } = options
  if (argument !== undefined && sourceFile !== undefined) {
    throw new UsageError('a source and --source-file were both given: choose one')
  }
  const text = sourceFile === undefined ? sourceOf(argument, io) : readSourceFile(sourceFile)
  const source = await readNamed(text, options, io, talk)
  if (source.kind !== 'server') return source
  if (until !== undefined) throw new UsageError('--until is for an AOF or an archive')
  refuseDb(text, 'a replica')
  return source
}

function readSourceFile(path: string): string {
  try {
    const line = readFileSync(path, 'utf8').split(/\r?\n/, 1)[0]!.trim()
    if (line === '') throw new UsageError(`${path} begins with an empty line: no source there`)
    return line
  } catch (error) {
    if (error instanceof UsageError) throw error
    throw cannotRead(path, error)
  }
}

/** SIGHUP: follow what the source file says now. What is wrong with it is told, not fatal. */
async function hangup(
  argument: string | undefined,
  options: ServeCommandOptions,
  io: Io,
  talk: Talk,
  handle: () => ServeHandle | undefined,
): Promise<void> {
  try {
    const source = await readSource(argument, options, io, talk)
    if (source.kind !== 'server') throw new UsageError('the new source is no server')
    handle()?.follow(source.server)
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    talk.warn(`SIGHUP changes nothing: ${message}`)
  }
}

async function showReady(handle: ServeHandle, source: string, talk: Talk): Promise<void> {
  const { host, port, metricsPort, frozen } = handle
  if (frozen !== undefined && frozen.cutBytes > 0) {
    talk.warn(
      `${frozen.cutFile!} stops inside a command or transaction: ` +
        `its last ${frozen.cutBytes} bytes are not served`,
    )
  }
  for (const problem of frozen?.problems ?? []) talk.warn(problem)
  if (talk.json) {
    const mode = frozen === undefined ? 'relay' : 'frozen'
    const line = {
      event: 'listening',
      host,
      port,
      metricsPort,
      source,
      mode,
      replid: handle.replid,
    }
    await talk.event(line)
    return
  }
  const address = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
  await talk.write(`listening on ${address}: ${safeLine(describeSource(source, frozen))}\n`)
}

function showEvent(event: ServeEvent, talk: Talk): void {
  if (talk.json) void talk.event(event)
  else if (event.event === 'upstream-lost' && event.retryInMs === undefined) return
  else if (isWarning(event)) talk.warn(describeEvent(event))
  else talk.say(describeEvent(event))
}

function parseListen(text: string): { host: string; port: number } {
  const found = /^(?:\[([0-9a-f:.]+)\]|([^:\s]*)):(\d{1,5})$/i.exec(text)
  const port = Number(found?.[3])
  if (found === null || port > 65_535) {
    throw new UsageError(`not an address to listen on: ${text}`, {
      hint: 'write 127.0.0.1:6390 or [::1]:6390',
    })
  }
  const host = found[1] ?? found[2]!
  return { host: host === '' ? '127.0.0.1' : host, port }
}

function parseLimit(text: string): NonNullable<ServeOptions['limits']> {
  const [hard, soft, time, ...more] = text.split(',')
  if (more.length > 0 || (soft === undefined) !== (time === undefined)) {
    throw new UsageError(`not a limit: ${text}`, { hint: 'write 256mb or 256mb,64mb,60s' })
  }
  return {
    hardBytes: parseSize(hard!),
    ...(soft === undefined ? {} : { softBytes: parseSize(soft), softMs: parseDuration(time!) }),
  }
}

function parseKind(text: string): NonNullable<ServeOptions['assumedReplica']> {
  const found = /^(?:(redis|valkey)-)?(\d+(?:\.\d+){0,2})$/i.exec(text)
  if (found === null) {
    throw new UsageError(`not a server version: ${text}`, { hint: 'write 7.2, or valkey-9.1' })
  }
  return { family: found[1]?.toLowerCase() === 'valkey' ? 'valkey' : 'redis', version: found[2]! }
}
