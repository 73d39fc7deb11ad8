/**
 * `serve`: be the master, from a file, an archive or a live upstream, until aborted.
 */
import { join } from 'node:path'
import { readFileSync } from 'node:fs'
import { fileError } from '../../disk/file-error.js'
import { fetchSource, isFarArchive } from '../../source/fetched-archive.js'
import { makeTemporaryDir, removeTemporaryDir } from '../../disk/temporary-dir.js'
import { AbortedError, UsageError } from '../../errors.js'
import { announce, type Announcement } from '../../serving/announce/announcement.js'
import { checkExposure } from '../../serving/clients/access.js'
import { FrozenOrigin } from '../../serving/origin/frozen-origin.js'
import { DEFAULT_REPLICA_LIMITS } from '../../serving/limits.js'
import { Master } from '../../serving/master.js'
import type { Origin } from '../../serving/origin/origin.js'
import { RelayOrigin } from '../../serving/origin/relay-origin.js'
import { RelayDir } from '../../serving/origin/relay-state.js'
import { dumpOfClusterArchive, type ClusterDump } from '../export/cluster-dump.js'
import { openFrozenSource } from './files.js'
import { openReadyDump, type ReadyDump } from './ready-dump.js'
import {
  pathOf,
  readServer,
  readSource,
  refuseCluster,
  type SourceName,
} from '../../source/classify.js'
import type { FrozenFacts, ServeOptions, ServeResult } from './options.js'

export type { OnServeEvent, ServeEvent } from '../../serving/events.js'
export type { ReplicaLimits } from '../../serving/limits.js'
export type * from './options.js'

const DEFAULT_BACKLOG_BYTES = 256 << 20

/** Serves until `signal` is aborted; resolves after everything is put away. Rejects with LinkError
 * (upstream not reached, cannot listen), AuthError, ProtocolError, RdbError, AofError, FileError,
 * UsageError. */
export async function serve(name: SourceName, options: ServeOptions): Promise<ServeResult> {
  const { signal, listen, metrics } = options
  const source = refuseCluster(await readSource(name))
  checkExposure(listen.host, {
    password: options.password !== undefined,
    tls: options.tls !== undefined,
    unprotected: options.unprotected ?? false,
  })
  const onEvent = options.onEvent ?? (() => undefined)
  const temporaryDir = makeTemporaryDir('rrep-serve-', options.temporaryDir)
  let keepDir: RelayDir | undefined
  let dump: ClusterDump | undefined
  let origin: Origin | undefined
  let master: Master | undefined
  let announced: Announcement | undefined
  try {
    let frozen: FrozenFacts | undefined
    let relay: RelayOrigin | undefined
    let looking: (() => Promise<void>) | undefined
    if (source.kind !== 'server') {
      if (options.backlogDir !== undefined) {
        throw new UsageError('a source of files needs no backlog directory: the files are it')
      }
      const { until } = options
      let path = pathOf(source)
      if (isFarArchive(source)) {
        path = join(temporaryDir, 'archive')
        await fetchSource(source.path, until, path, signal)
      }
      dump = await dumpOfClusterArchive(source, { until, signal })
      const files = {
        path: dump?.source.path ?? path,
        until: dump === undefined ? until : undefined,
        stdin: options.stdin,
        identity: options.identity,
        temporaryDir,
        signal,
        onProgress: (done: number, total: number | undefined) =>
          options.onProgress?.({ phase: 'check', done, total, unit: 'bytes' }),
      }
      const ready = await openReadyDump(files)
      frozen = ready?.frozen ?? (await openFrozenSource(files))
      const frozenOrigin = await FrozenOrigin.open(frozen.source)
      origin = frozenOrigin
      if (ready !== undefined) looking = async () => await check(ready, frozenOrigin, onEvent)
    } else {
      if (options.backlogDir !== undefined) keepDir = new RelayDir(options.backlogDir)
      announced = await announce(source.server, {
        announce: options.announce,
        signal,
        onWarning: (message) => onEvent({ event: 'warning', message }),
      })
      relay = new RelayOrigin({
        server: announced.server,
        retries: options.retries ?? 5,
        backlogSizeBytes: options.backlogBytes ?? DEFAULT_BACKLOG_BYTES,
        temporaryDir,
        keepDir,
        onEvent,
        onWire: options.onWire,
      })
      origin = relay
      await relay.restore()
    }
    const running = new Master({
      origin,
      password: options.password,
      tls: options.tls === undefined ? undefined : readTls(options.tls),
      limits: { ...DEFAULT_REPLICA_LIMITS, ...options.limits },
      timeoutMs: options.replicaTimeoutMs ?? 60_000,
      maxConnections: options.maxConnections ?? 256,
      connectionsPerSecond: options.connectionsPerSecond ?? 100,
      probeReplicas: options.probeReplicas ?? true,
      assumedReplica: options.assumedReplica,
      onEvent,
    })
    master = running
    if (relay !== undefined) relay.retain = () => running.retainedReplOffset()
    const address = await running.listen(listen.host, listen.port)
    const metricsAddress =
      metrics === undefined ? undefined : await running.listenForMetrics(metrics.host, metrics.port)
    options.onReady?.({
      host: address.address,
      port: address.port,
      metricsPort: metricsAddress?.port,
      replid: origin.history.replid,
      frozen,
      follow: (server) => {
        if (relay === undefined) throw new UsageError('a source of files follows nobody')
        relay.follow(readServer(server))
      },
    })
    await looking?.()
    if (relay === undefined) await aborted(signal)
    else await relay.run(signal)
  } catch (error) {
    // Being aborted is how serving ends; what was being read first is an interruption.
    if (!(error instanceof AbortedError) || master === undefined) throw error
  } finally {
    try {
      await master?.close()
      await origin?.close()
      await announced?.close()
    } finally {
      // Also where a full disk has no room for the last state.
      keepDir?.unlock()
      dump?.remove()
      removeTemporaryDir(temporaryDir)
    }
  }
  const { full, partialGranted, cutOff } = master.stats
  return { fullResyncs: full, partialResyncs: partialGranted, cutOff }
}

/** While replicas load it already: none gets its end before it is known to be sound. */
async function check(
  ready: ReadyDump,
  origin: FrozenOrigin,
  onEvent: NonNullable<ServeOptions['onEvent']>,
): Promise<void> {
  try {
    const { keys, family, version, rdbBytes } = await ready.check(origin)
    onEvent({ event: 'source-checked', keys, rdbBytes, rdbVersion: version, rdbFamily: family })
  } catch (error) {
    origin.failed(error as Error)
    throw error
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await new Promise<void>((resolve) =>
    signal.addEventListener('abort', () => resolve(), { once: true }),
  )
}

function readTls(files: { certFile: string; keyFile: string; caFile?: string | undefined }): {
  cert: Buffer
  key: Buffer
  ca?: Buffer
  requestCert?: boolean
  rejectUnauthorized?: boolean
} {
  const pem = (path: string): Buffer => {
    try {
      return readFileSync(path)
    } catch (error) {
      throw fileError(path, 'read', error)
    }
  }
  return {
    cert: pem(files.certFile),
    key: pem(files.keyFile),
    ...(files.caFile === undefined
      ? {}
      : { ca: pem(files.caFile), requestCert: true, rejectUnauthorized: true }),
  }
}
