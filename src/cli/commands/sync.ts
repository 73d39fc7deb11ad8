/** `rrep sync`: options → one call of the library → one line or one object. */
import type { Command } from 'commander'
import { formatServerAddress } from '../../net/make-server-settings.js'
import { sync, type Compression, type SyncProgress, type SyncResult } from '../../verbs/sync/run.js'
import { compressionOfName } from '../../disk/compression.js'
import { FileError, UsageError } from '../../errors.js'
import { refuseDb } from '../../source/classify.js'
import { addCommonOptions, type CommandCall, type CommandContext } from '../command.js'
import {
  addConnectOptions,
  readClusterSeeds,
  readServerSettings,
  sourceOf,
} from '../connect-options.js'
import type { ConnectValues } from '../connect-options.js'
import { EXIT } from '../exit-codes.js'
import { jsonLine } from '../guard.js'
import type { Progress } from '../render/progress.js'
import type { Talk } from '../talk.js'
import { isClusterAddress, nameOfCluster, type ClusterSeeds } from '../../topology/cluster.js'
import { syncCluster } from '../../verbs/sync/cluster.js'
import { syncMoment } from '../../verbs/sync/moment.js'
import { fillNamePattern } from '../../verbs/sync/name-pattern.js'
import type { Io } from '../io.js'
import { countOf, formatDuration, formatSize } from '../units.js'

interface SyncCommandOptions extends ConnectValues {
  output?: string
  compress?: Compression
  cluster?: boolean
  moment?: boolean
  strict?: boolean
  withServer?: string
}

const DETAILS = `
FILE may hold {host} {port} {time}, or strftime places as in dump-%Y%m%d-%H%M%S.rdb; its
directory must exist. A device or a named pipe is written to, a symbolic link is followed. The
dump grows as a hidden temporary beside FILE, readable by its owner only, and takes the name when
it is whole, checked (CRC64) and on disk: an old dump stays until then, and after any failure.

With -o - the snapshot goes to stdout and the summary to stderr. The master never waits for a
slow reader or for the compressor: what these cannot take yet is kept, the first 16 MiB in
memory, the rest in a file without a name in TMPDIR (with --compress -o FILE: beside FILE). Once
bytes are in a pipe a lost link is not tried again. Check the exit status before you use what
came through a pipe.

--cluster takes the dumps of all shards as close together as the masters save. With --moment they are of
one moment: all are followed from their snapshots on and asked at once where they are, parts of a
millisecond apart, and their streams are applied up to there in a redis-server or valkey-server of
PATH (or --with-server). What one client wrote to two shards one after the other may still be cut
between them; not with --strict, which holds the writes of all masters (CLIENT PAUSE … WRITE) meanwhile.

The smallest ACL that suffices: ACL SETUSER rrep on >PASSWORD +psync +replconf +ping
(with --moment also +info +time +cluster|nodes, with --strict +client|pause +client|unpause)
`

export function registerSync(program: Command, context: CommandContext): void {
  const command = program
    .command('sync')
    .summary("the master's snapshot, once")
    .description("Take a master's (or replica's) snapshot, whole and checked, into a file.")
    .argument('[source]', 'server: host[:port], redis://…, rediss://…, unix:///… (RREP_SOURCE)')
    .option('-o, --output <file>', 'where the dump goes; - is stdout')
    .option(
      '--compress <how>',
      'gzip or zstd, with :LEVEL if you like; default: by the name (.gz, .zst)',
      parseCompression,
    )
    .option('--cluster', 'all shards of the cluster that the server is a node of; -o DIR')
    .option('--moment', 'with --cluster: all shards at one moment, by their streams')
    .option('--strict', 'with --moment: hold all writes for some milliseconds then')
    .option('--with-server <path>', 'with --moment: the server to apply the streams in')
    .addHelpText('after', DETAILS)
  addConnectOptions(command)
  addCommonOptions(command, [
    'rrep sync -o dump.rdb',
    'rrep sync redis://db.example:6380 -o backup-%Y%m%d-%H%M%S.rdb',
    'rrep sync rediss://db.example --cacert ca.pem --user backup --password-file pw -o dump.rdb',
    'rrep sync -o - --compress gzip | ssh store "cat > dump.rdb.gz"',
    'rrep sync redis-sentinel://s1,s2,s3#mymaster -o dump.rdb',
    'rrep sync --cluster node1:7000 -o cluster-%Y%m%d',
    'rrep sync --cluster node1:7000 --moment --strict -o cluster-%Y%m%d',
  ])
  command.action(
    context.action<SyncCommandOptions>(async ({ args, options, talk, io, signal }) => {
      const { output } = options
      if (output === undefined) {
        throw new UsageError('-o FILE is missing: where does the dump go?', {
          hint: 'write -o dump.rdb, or -o - for stdout',
        })
      }
      const source = sourceOf(args[0], io)
      checkMoment(options, options.cluster === true || isClusterAddress(source))
      if (options.cluster === true || isClusterAddress(source)) {
        return await syncShards(source, output, options, talk, io, signal)
      }
      refuseDb(source, 'a snapshot')
      const server = await readServerSettings(source, options, io, talk)
      const toStdout = output === '-'
      if (toStdout && io.stdoutIsTty) {
        throw new UsageError('a snapshot is no text for a terminal', {
          hint: 'write -o FILE, or pipe it',
        })
      }
      if (server.tls?.insecure === true) {
        talk.warn('--insecure: the certificate is not checked; anyone may be at the other end')
      }
      const compress = options.compress ?? compressionByName(output, talk)
      const progress = talk.progress(`connecting to ${formatServerAddress(server.address)}`)
      const startMs = performance.now()
      try {
        const result = await sync(server, {
          output: toStdout ? io.stdout : output,
          compress,
          retries: options.retries,
          signal,
          onProgress: (state) => showProgress(progress, state, startMs),
          onEvent: (event) => {
            if (event.event === 'warning') talk.warn(event.message)
            else talk.say(`${event.message}; next attempt in ${formatDuration(event.retryInMs)}`)
          },
          onWire: (direction, line) => talk.trace(`${direction === 'sent' ? '>' : '<'} ${line}`),
        })
        progress.stop()
        await renderResult(result, talk, toStdout ? io.stderr : undefined)
        return EXIT.OK
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

async function takeMoment(
  { options, talk, signal }: Pick<CommandCall<SyncCommandOptions>, 'options' | 'talk' | 'signal'>,
  seeds: ClusterSeeds,
  directory: string,
  progress: Progress,
): Promise<number> {
  const result = await syncMoment(seeds, {
    output: directory,
    compress: options.compress,
    strict: options.strict,
    withServer: options.withServer,
    retries: options.retries,
    signal,
    onEvent: ({ message }) => talk.warn(message),
    onProgress: ({ phase, done, total, unit }) => {
      const label = phase === 'follow' ? 'following all shards' : 'applying the streams'
      progress.update({ label, done, total, unit })
    },
    onWire: (direction, line) => talk.trace(`${direction === 'sent' ? '>' : '<'} ${line}`),
  })
  progress.stop()
  if (talk.json) {
    await talk.event({ event: 'synced-cluster', ...result })
    return EXIT.OK
  }
  for (const { file, keys, fileBytes, replOffset, source } of result.shards) {
    talk.say(
      `${source} → ${file}: ${countOf(keys, 'key')}, ${formatSize(fileBytes)}, offset ${replOffset}`,
    )
  }
  const { fromMs, toMs, heldMs } = result
  const spread = `all shards within ${(toMs - fromMs).toFixed(2)} ms`
  const held = heldMs === undefined ? '' : `, writes held for ${heldMs.toFixed(1)} ms`
  talk.say(`${directory}: ${new Date(fromMs).toISOString()}, ${spread}${held}`)
  return EXIT.OK
}

function checkMoment(options: SyncCommandOptions, isCluster: boolean): void {
  const { moment, strict, withServer } = options
  if (moment === true && !isCluster) {
    throw new UsageError('--moment is for all shards of a cluster', {
      hint: 'the snapshot of one server is of one moment; with --cluster all shards are meant',
    })
  }
  if (moment !== true && (strict === true || withServer !== undefined)) {
    throw new UsageError(`${strict === true ? '--strict' : '--with-server'} needs --moment`)
  }
}

async function syncShards(
  source: string,
  output: string,
  options: SyncCommandOptions,
  talk: Talk,
  io: Io,
  signal: AbortSignal,
): Promise<number> {
  if (output === '-') throw new UsageError('the dumps of a cluster go into a directory: -o DIR')
  const seeds = await readClusterSeeds(source, options, io, talk)
  const directory = fillNamePattern(output, seeds[0]!.address, new Date())
  const progress = talk.progress(`connecting to ${nameOfCluster(seeds)}`)
  if (options.moment === true) {
    const call = { options, talk, signal }
    return await takeMoment(call, seeds, directory, progress).finally(() => progress.stop())
  }
  try {
    const result = await syncCluster(seeds, {
      output: directory,
      compress: options.compress,
      retries: options.retries,
      signal,
      onEvent: (event) => {
        if (event.event === 'warning') talk.warn(event.message)
        else talk.say(`${event.message}; next attempt in ${formatDuration(event.retryInMs)}`)
      },
      onProgress: ({ done, total, unit }) =>
        progress.update({ label: 'receiving all shards', done, total, unit }),
      onWire: (direction, line) => talk.trace(`${direction === 'sent' ? '>' : '<'} ${line}`),
    })
    progress.stop()
    if (talk.json) await talk.event({ event: 'synced-cluster', ...result })
    else {
      for (const shard of result.shards) {
        const slots = shard.slots.map(([first, last]) => `${first}-${last}`).join(' ')
        talk.say(`${describeResult(shard)}, slots ${slots}`)
      }
      talk.say(`${directory}: ${countOf(result.shards.length, 'shard')} and nodes.json`)
    }
    return EXIT.OK
  } finally {
    progress.stop()
  }
}

/** What the name promises is what it holds. */
function compressionByName(output: string, talk: Talk): Compression | undefined {
  const { compression } = compressionOfName(output)
  if (compression !== undefined) talk.say(`packed with ${compression.algorithm}, as the name says`)
  return compression
}

function showProgress(progress: Progress, state: SyncProgress, startMs: number): void {
  switch (state.phase) {
    case 'connecting':
      break
    case 'waiting':
      progress.text(
        `waiting for the master's save, ${formatDuration(performance.now() - startMs)} so far`,
      )
      break
    case 'transfer':
      progress.update({
        label: 'receiving',
        done: state.done,
        total: state.total,
        unit: 'bytes',
      })
      break
    case 'storing':
      progress.text(`bringing ${formatSize(state.done)} to disk`)
  }
}

async function renderResult(
  result: SyncResult,
  talk: Talk,
  stderr: NodeJS.WritableStream | undefined,
): Promise<void> {
  if (talk.json) {
    const line = jsonLine({
      event: 'synced',
      source: result.source,
      file: result.file ?? '-',
      bytes: result.bytes,
      fileBytes: result.fileBytes,
      replid: result.replid,
      replOffset: result.replOffset,
      rdbVersion: result.rdbVersion,
      serverVersion: result.serverVersion,
      transfer: result.transfer,
      checksum: result.checksum,
      waitMs: result.waitMs,
      transferMs: result.transferMs,
    })
    if (stderr === undefined) await talk.write(line)
    else stderr.write(line)
    return
  }
  talk.say(describeResult(result))
}

/** One line for people. */
export function describeResult(result: SyncResult): string {
  const { bytes, fileBytes, checksum } = result
  const size =
    fileBytes === bytes ? formatSize(bytes) : `${formatSize(fileBytes)} (${formatSize(bytes)} raw)`
  const rate = result.transferMs > 0 ? `, ${formatSize((bytes / result.transferMs) * 1000)}/s` : ''
  const parts = [
    `${result.source} → ${result.file ?? 'stdout'}: ${size}`,
    `RDB ${result.rdbVersion}${result.serverVersion === undefined ? '' : ` of ${result.serverVersion}`}`,
    checksum === 'ok' ? 'checksum ok' : 'checksum absent',
    result.replOffset === undefined ? 'no offset' : `offset ${result.replOffset}`,
    `waited ${formatDuration(result.waitMs)}, received in ${formatDuration(result.transferMs)}${rate}`,
  ]
  return parts.join(', ')
}

export function parseCompression(text: string): Compression {
  const found = /^(gzip|zstd)(?::(\d{1,2}))?$/.exec(text)
  const algorithm = found?.[1] as Compression['algorithm'] | undefined
  const level = found?.[2] === undefined ? undefined : Number(found[2])
  const highest = algorithm === 'gzip' ? 9 : 22
  if (algorithm === undefined || (level !== undefined && (level < 1 || level > highest))) {
    throw new UsageError(`not a compression: ${text}`, {
      hint: 'write gzip, gzip:1 to gzip:9, zstd, or zstd:1 to zstd:22',
    })
  }
  return { algorithm, level }
}
