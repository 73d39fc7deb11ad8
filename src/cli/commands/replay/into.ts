/** A replay into a server or a cluster, as `replay` and `restore` run it: target, question, ledger. */
import { UsageError } from '../../../errors.js'
import { formatServerAddress, type ServerSettings } from '../../../net/make-server-settings.js'
import type { Source } from '../../../source/classify.js'
import { isClusterAddress, nameOfCluster, type ClusterSeeds } from '../../../topology/cluster.js'
import { ledgerOfFailure, replay, type ReplayOptions } from '../../../verbs/replay/run.js'
import { readClusterSeeds, readServerSettings, type ConnectValues } from '../../connect-options.js'
import { EXIT } from '../../exit-codes.js'
import type { Io } from '../../io.js'
import { prompt } from '../../password.js'
import { describeOutcome, describePart, tellLedger } from '../../render/ledger.js'
import { describeLost, lostObject } from '../../render/lost-regions.js'
import type { Talk } from '../../talk.js'
import { describeVerified, showEvent, showProgress } from './tell.js'

export async function runReplay(
  source: Source,
  target: ServerSettings | ClusterSeeds,
  call: ReplayOptions,
  talk: Talk,
): Promise<number> {
  const progress = talk.progress(`connecting to ${nameOfTarget(target)}`)
  try {
    const result = await replay(source, target, {
      ...call,
      onProgress: (state) => showProgress(progress, state),
      onEvent: (event) => showEvent(event, talk, call.dryRun),
      onWire: (direction, line) => talk.trace(`${direction === 'sent' ? '>' : '<'} ${line}`),
    })
    progress.stop()
    const { verified, salvaged } = result
    if (talk.json) {
      await talk.event({
        event: 'replayed',
        complete: result.complete,
        ...(result.replOffset === undefined ? {} : { replOffset: result.replOffset }),
        stopped: result.stopped,
        durationMs: Math.round(result.durationMs),
        ...(verified === undefined ? {} : { verified }),
        ...(salvaged === undefined ? {} : lostObject(salvaged)),
        ...result.ledger,
      })
    } else {
      tellLedger(result.ledger, talk)
      if (call.dryRun === true) talk.say('a dry run: nothing was written')
      const tell = result.complete ? talk.say : talk.problem
      tell(describeOutcome(result))
      if (verified !== undefined) {
        const tellVerified = verified.same ? talk.say : talk.problem
        tellVerified(describeVerified(verified))
      }
    }
    if (!talk.json && salvaged !== undefined) {
      for (const line of describeLost(salvaged)) talk.problem(line)
    }
    if (salvaged?.error !== undefined) throw salvaged.error
    return result.complete && verified?.same !== false ? EXIT.OK : EXIT.DIFFERENT
  } catch (error) {
    progress.stop()
    const ledger = ledgerOfFailure(error)
    if (ledger !== undefined && ledger.keys.read + ledger.commands.read > 0) {
      if (talk.json) {
        await talk.event({ event: 'failed', complete: false, ...ledger })
      } else {
        tellLedger(ledger, talk)
        const part = describePart(ledger)
        if (part !== undefined) talk.say(part)
      }
    }
    throw error
  } finally {
    progress.stop()
  }
}

/** A server, or all masters of a cluster: as redis-cluster://…, or where `isCluster` says so. */
export async function readTarget(
  text: string,
  values: ConnectValues,
  isCluster: boolean,
  io: Io,
  talk: Talk,
  which: 'source' | 'target' = 'target',
): Promise<ServerSettings | ClusterSeeds> {
  if (isCluster || isClusterAddress(text))
    return await readClusterSeeds(text, values, io, talk, which)
  const server = await readServerSettings(text, values, io, talk, which)
  const { db } = server.address
  if (db === 0) return server
  throw new UsageError('the target is a server, not one of its databases', {
    hint: `leave out the /${db}; rrep replay --map-db 0:${db} writes there`,
  })
}

export function nameOfTarget(target: ServerSettings | ClusterSeeds): string {
  if (isSeeds(target)) return `all masters of the cluster at ${nameOfCluster(target)}`
  return formatServerAddress(target.address)
}

export function isSeeds(target: ServerSettings | ClusterSeeds): target is ClusterSeeds {
  return Array.isArray(target)
}

export async function confirmEmpty(name: string, io: Io): Promise<void> {
  if (!io.stdinIsTty) {
    throw new UsageError(
      '--empty-target deletes everything in the target, and nobody can be asked',
      {
        hint: 'add --yes if that is meant',
      },
    )
  }
  const answer = await prompt(io, `Delete ALL keys in ${name}? Type yes: `, true)
  if (answer.trim().toLowerCase() !== 'yes') throw new UsageError('nothing was deleted or written')
}
