/**
 * `sync --cluster --moment`: all shards of a cluster at one moment. Their saves are not of one; so all are
 * followed from their snapshots on, all are asked at once where they are, and each is taken up to there.
 *
 * Asked at once, the answers lie parts of a millisecond apart, and what one client wrote to two shards one
 * after the other may be cut between them. With `strict` the writes of all are held meanwhile.
 */
import { join } from 'node:path'
import { readClusterRecord } from '../../archive/cluster-record.js'
import { openArchive } from '../../archive/reader.js'
import { writeFileAtomic } from '../../disk/atomic-file.js'
import { endingOf } from '../../disk/compression.js'
import { makeTemporaryDir, removeTemporaryDir } from '../../disk/temporary-dir.js'
import { WholeDirectory } from '../../disk/whole-directory.js'
import { AbortedError, ProtocolError } from '../../errors.js'
import { ControlClient } from '../../net/control.js'
import type { ServerSettings } from '../../net/server-settings.js'
import { sleep } from '../../net/waiting.js'
import { NODES_FILE, nodesText } from '../../source/nodes-file.js'
import { isSameTopology, mastersOf, type ClusterNode } from '../../topology/cluster-nodes.js'
import {
  clusterSeeds,
  nameOfCluster,
  readCluster,
  refuseHoles,
  settingsAt,
  type ClusterSeeds,
} from '../../topology/cluster.js'
import { exportKeys } from '../export/run.js'
import { archiveCluster } from '../tail/archive-cluster.js'
import { alwaysChanges, DEFAULT_ATTEMPTS, fileNameOf } from './cluster.js'
import type { MomentShard, SyncMomentOptions, SyncMomentResult } from './options.js'

/** If we die, writes go on by themselves after it. */
const HOLD_MS = 500
const LOOK_MS = 100

interface Cut {
  /** By the id of the master. */
  readonly replOffsets: ReadonlyMap<string, number>
  readonly fromMs: number
  readonly toMs: number
  readonly heldMs: number | undefined
}

/** Rejects as `syncCluster` and `exportKeys` do. Nothing is left then. */
export async function syncMoment(
  source: string | ClusterSeeds,
  options: SyncMomentOptions,
): Promise<SyncMomentResult> {
  const seeds = typeof source === 'string' ? clusterSeeds(source) : source
  const directory = new WholeDirectory(options.output)
  const temporary = makeTemporaryDir('rrep-moment-')
  try {
    for (let attempt = 1; ; attempt += 1) {
      const kept = join(temporary, String(attempt))
      const found = await follow(seeds, kept, options)
      if (found === undefined) {
        if (attempt >= DEFAULT_ATTEMPTS) throw alwaysChanges(seeds)
        const message = 'slots or masters moved meanwhile: once more'
        options.onEvent?.({ event: 'warning', message })
        continue
      }
      const { masters, text, cut } = found
      const shards: MomentShard[] = []
      for (const master of masters) {
        shards.push(await write(master, cut, kept, directory.temporaryPath, options))
      }
      writeFileAtomic(join(directory.temporaryPath, NODES_FILE), text)
      directory.commit()
      const { fromMs, toMs, heldMs } = cut
      const name = nameOfCluster(seeds)
      return { source: name, directory: options.output, fromMs, toMs, heldMs, shards }
    }
  } finally {
    directory.discard()
    removeTemporaryDir(temporary)
  }
}

/** Undefined: the cluster was not the same all the time. */
async function follow(
  seeds: ClusterSeeds,
  dir: string,
  options: SyncMomentOptions,
): Promise<{ masters: readonly ClusterNode[]; text: string; cut: Cut } | undefined> {
  const { signal, retries, onEvent, onWire } = options
  const before = await readCluster(seeds, signal)
  const masters = mastersOf(before)
  refuseHoles(seeds, masters, 'single nodes can be saved as servers')
  const halt = new AbortController()
  const end = signal === undefined ? halt.signal : AbortSignal.any([halt.signal, signal])
  const kept = new Set<string>()
  let replOffsets: Readonly<Record<string, number>> = {}
  let failure: { error: unknown } | undefined
  const running = archiveCluster(seeds, {
    dir,
    retries,
    fsync: 'no',
    signal: end,
    onWire,
    onEvent: (event) => {
      if (event.event === 'snapshot') kept.add(event.shard)
      if (event.event === 'warning') onEvent?.({ event: 'warning', message: event.message })
    },
    onProgress: (progress) => {
      replOffsets = progress.replOffsets
      const { done, total, unit } = progress
      options.onProgress?.({ phase: 'follow', done, total, unit })
    },
  }).catch((error: unknown) => {
    if (!halt.signal.aborted) failure = { error }
  })
  const until = async (holds: () => boolean): Promise<void> => {
    while (!holds()) {
      if (failure !== undefined) throw failure.error
      await sleep(LOOK_MS, signal)
    }
  }
  try {
    await until(() => kept.size >= masters.length)
    const cut = await cutOf(masters, before.via, options)
    await until(() => [...cut.replOffsets].every(([id, at]) => (replOffsets[id] ?? -1) >= at))
    const after = await readCluster(seeds, signal)
    halt.abort()
    await running
    const moved = (readClusterRecord(dir)?.handovers.length ?? 0) > 0
    if (moved || !isSameTopology(before, after)) return undefined
    return { masters, text: nodesText(before), cut }
  } finally {
    halt.abort()
    await running
  }
}

/** Where all of them are, asked at once. */
async function cutOf(
  masters: readonly ClusterNode[],
  via: ServerSettings,
  { strict, signal }: SyncMomentOptions,
): Promise<Cut> {
  const clients = await Promise.all(
    masters.map(async ({ place }) => await ControlClient.open(settingsAt(via, place), signal)),
  )
  const isStrict = strict === true
  try {
    const startMs = performance.now()
    const answers = await Promise.all(
      clients.map(async (client) => {
        const held = isStrict ? client.call('CLIENT', 'PAUSE', HOLD_MS, 'WRITE') : undefined
        // Around the answer, so that it lies between the two whatever the server does meanwhile.
        const before = client.call('TIME')
        const info = client.info('replication')
        const after = client.call('TIME')
        await held
        const replOffset = Number((await info).get('master_repl_offset'))
        return { fromMs: unixMsOf(await before), toMs: unixMsOf(await after), replOffset }
      }),
    )
    const takenMs = performance.now() - startMs
    if (isStrict)
      await Promise.all(clients.map(async (each) => await each.call('CLIENT', 'UNPAUSE')))
    const heldMs = isStrict ? performance.now() - startMs : undefined
    // The first of them has gone on before the last was held.
    if (isStrict && takenMs >= HOLD_MS) throw tooSlow(takenMs)
    return {
      replOffsets: new Map(masters.map(({ id }, i) => [id, answers[i]!.replOffset])),
      fromMs: Math.min(...answers.map(({ fromMs }) => fromMs)),
      toMs: Math.max(...answers.map(({ toMs }) => toMs)),
      heldMs,
    }
  } finally {
    for (const client of clients) client.close()
  }
}

/** Of the reply to TIME. */
function unixMsOf(reply: unknown): number {
  const [seconds, micros] = reply as [string, string]
  return Number(seconds) * 1000 + Number(micros) / 1000
}

async function write(
  master: ClusterNode,
  cut: Cut,
  kept: string,
  output: string,
  { compress, withServer, signal, onEvent, onProgress }: SyncMomentOptions,
): Promise<MomentShard> {
  if (signal?.aborted === true) throw new AbortedError()
  const { id, place, slots } = master
  const replOffset = cut.replOffsets.get(id)!
  const archive = readClusterRecord(kept)!.shards.find((shard) => shard.id === id)!
  const path = join(kept, archive.directory)
  // Behind the last command a master may have said only that it lives, which is not kept.
  const end = openArchive(path).endReplOffset() ?? replOffset
  const file = fileNameOf(master, endingOf(compress))
  const result = await exportKeys(
    { kind: 'directory', path },
    {
      output: join(output, file),
      compress,
      format: 'rdb',
      until: { offset: Math.min(replOffset, end) },
      withServer,
      signal,
      onEvent,
      onProgress: ({ phase, done, total, unit }) => {
        if (phase === 'build') onProgress?.({ phase, done, total, unit })
      },
    },
  )
  return {
    source: `${place.host}:${place.port}`,
    node: id,
    slots,
    file,
    replOffset,
    keys: result.keysWritten,
    fileBytes: result.writtenBytes,
  }
}

function tooSlow(takenMs: number): ProtocolError {
  return new ProtocolError(
    'ERR_CLUSTER_CHANGES',
    `the masters took ${Math.round(takenMs)} ms to say where they are, and writes are held for ${HOLD_MS}`,
    { retriable: true, hint: 'again, or without `strict`' },
  )
}
