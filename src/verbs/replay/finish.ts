/**
 * `replay --finish`: puts right what a live migration left in its target that was interrupted and
 * is not to go on: expiries that are still moved to the far future, Valkey's import-mode, the
 * checkpoint and the marks of a load; and what a load by replication left as a replica. Does only what there is to do, so that it may be called at
 * any time and again; what keys the target holds it does not change.
 */
import { TargetError } from '../../errors.js'
import { readServer, type ServerName } from '../../source/classify.js'
import type { Progress } from '../../source/progress.js'
import { DEFAULT_RETRIES } from '../../net/server-settings.js'
import { untilOpen } from '../../net/waiting.js'
import { printable } from '../../bytes/printable.js'
import {
  CHECKPOINT_DB,
  DEFAULT_CHECKPOINT_KEY,
  deleteCheckpoint,
  readCheckpoint,
  type Checkpoint,
  type CheckpointPhase,
} from '../../target/checkpoint.js'
import { defaultStateDir, forgetRecords } from '../../target/replica/load-record.js'
import { putRight, type PutRight } from '../../target/replica/put-right.js'
import { findMarks } from '../../target/load/load-marks.js'
import { replyText, ReplyError } from '../../target/server/reply-reader.js'
import { TargetConnection } from '../../target/server/target-connection.js'
import { probeTarget, setImportMode, type TargetFacts } from '../../target/server/target-probe.js'
import { shiftTtls } from '../../target/stream/ttl-shift.js'
import { streamClientName } from './client-names.js'
import { finishCluster } from './into-cluster/finish.js'

export interface FinishOptions {
  /** Default `rrep:checkpoint`. */
  checkpointKey?: string | undefined
  retries?: number | undefined
  /** As of `replay`. */
  stateDir?: string | undefined
  signal?: AbortSignal | undefined
  /** Keys whose expiry was put right, of those that have one. */
  onProgress?: ((progress: Progress<'finish'>) => void) | undefined
}

export interface FinishResult {
  /** What stood in the target of the replay that is over; undefined: nothing did. */
  checkpoint: { source: string; phase: CheckpointPhase; nextReplOffset: number } | undefined
  /** Keys and fields whose expiry was put right; of these, keys past their time now. */
  expiries: number
  expired: number
  importModeEnded: boolean
  /** A load by replication had left it as a replica, or with other settings; undefined: none had. */
  replica: PutRight | undefined
}

/** Rejects with LinkError, AuthError, ProtocolError, TargetError or AbortedError. */
export async function finishReplay(
  name: ServerName,
  options: FinishOptions = {},
): Promise<FinishResult> {
  const target = readServer(name)
  const { signal } = options
  const key = Buffer.from(options.checkpointKey ?? DEFAULT_CHECKPOINT_KEY)
  const retries = options.retries ?? DEFAULT_RETRIES
  const probe = async (): Promise<TargetFacts> =>
    await untilOpen(async () => await probeTarget(target), retries, signal)
  let facts = await probe()
  let replica: PutRight | undefined
  const stateDir = options.stateDir ?? defaultStateDir()
  if (facts.isLeftReplica) {
    replica = await putRight(target, { stateDir, signal })
    facts = await probe()
  } else forgetRecords(stateDir, facts.name)
  if (facts.isReplica) {
    throw new TargetError('ERR_TARGET_REPLICA', `${facts.name} is a replica and takes no writes`, {
      hint: 'name its master',
    })
  }
  if (facts.isCluster) {
    const { found, keys, expired, importModeEnded } = await finishCluster(target, {
      checkpointKey: key,
      facts,
      retries,
      signal,
      refuseAtWork: async (connection) =>
        await refuseAtWork(connection, streamClientName(key), facts.name),
      onProgress: (done, total) =>
        options.onProgress?.({ phase: 'finish', done, total, unit: 'keys' }),
    })
    return { checkpoint: told(found), expiries: keys, expired, importModeEnded, replica }
  }
  const connection = await TargetConnection.open(target, { clientName: 'rrep-finish', signal })
  const onAbort = (): void => connection.close()
  signal?.addEventListener('abort', onAbort, { once: true })
  try {
    await refuseAtWork(connection, streamClientName(key), facts.name)
    const found = await readCheckpoint(connection, key)
    const shifted =
      facts.capabilities.version >= 20800
        ? await shiftTtls(connection, {
            direction: 'off',
            fields: true,
            target: facts.capabilities,
            signal,
            onProgress: (done, total) =>
              options.onProgress?.({ phase: 'finish', done, total, unit: 'keys' }),
          })
        : { keys: 0, expired: 0 }
    const importModeEnded = facts.importMode === 'yes'
    if (importModeEnded) await setImportMode(target, false)
    await connection.expect('SELECT', String(CHECKPOINT_DB))
    const marks = await findMarks(connection, key)
    if (marks.length > 0) await connection.expect('DEL', ...marks)
    if (found !== undefined) await deleteCheckpoint(connection, key)
    return {
      checkpoint: told(found),
      expiries: shifted.keys,
      expired: shifted.expired,
      importModeEnded,
      replica,
    }
  } finally {
    signal?.removeEventListener('abort', onAbort)
    connection.close()
  }
}

function told(found: Checkpoint | undefined): FinishResult['checkpoint'] {
  if (found === undefined) return undefined
  const { source, phase, nextReplOffset } = found
  return { source: printable(Buffer.from(source)), phase, nextReplOffset }
}

/** What is at work would go on as if expiries were moved, and write the checkpoint again. */
async function refuseAtWork(
  connection: TargetConnection,
  clientName: string,
  server: string,
): Promise<void> {
  const list = await connection.call('CLIENT', 'LIST')
  if (list instanceof ReplyError || !replyText(list).includes(` name=${clientName} `)) return
  throw new TargetError('ERR_TARGET_IN_USE', `a replay into ${server} is at work`, {
    hint: 'stop it first: a clean stop puts everything right by itself',
  })
}
