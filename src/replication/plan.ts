/**
 * Where to begin: what INFO says about a master's history and backlog, and what may therefore be
 * asked of it. Pure; the rules are those of `masterTryPartialResynchronization`.
 */
import type { ResumePoint } from './consumer.js'

export interface ReplicationInfo {
  replid: string
  replOffset: number
  /** Undefined where the server has none (40 zeros). */
  replid2: string | undefined
  secondReplOffset: number
  backlogActive: boolean
  /** Stream bytes that the backlog still holds. */
  backlogFirstReplOffset: number
  backlogBytes: number
}

/** From INFO; undefined for masters without PSYNC (< 2.8), which tell nothing of all this. 2.8 to
 * 3.2 name their history by the id of their process. */
export function parseReplicationInfo(
  fields: ReadonlyMap<string, string>,
): ReplicationInfo | undefined {
  const replid = fields.get('master_replid') ?? fields.get('run_id')
  const replOffset = Number(fields.get('master_repl_offset') ?? Number.NaN)
  if (replid === undefined || !Number.isSafeInteger(replOffset)) return undefined
  const replid2 = fields.get('master_replid2')
  return {
    replid,
    replOffset,
    replid2: replid2 === undefined || /^0+$/.test(replid2) ? undefined : replid2,
    secondReplOffset: Number(fields.get('second_repl_offset') ?? -1),
    backlogActive: fields.get('repl_backlog_active') === '1',
    backlogFirstReplOffset: Number(fields.get('repl_backlog_first_byte_offset') ?? 0),
    backlogBytes: Number(fields.get('repl_backlog_histlen') ?? 0),
  }
}

/** The next write, if the master can go on from there. */
export function pointOfNow(info: ReplicationInfo): ResumePoint | undefined {
  if (!info.backlogActive) return undefined
  return { replid: info.replid, nextReplOffset: info.replOffset + 1 }
}

/** Why a partial resync from here would be refused; undefined where it would be granted. */
export function resumeObstacle(info: ReplicationInfo, point: ResumePoint): string | undefined {
  const { replid, nextReplOffset } = point
  const wanted = replid.toLowerCase()
  const current = wanted === info.replid.toLowerCase()
  const previous = wanted === info.replid2?.toLowerCase() && nextReplOffset <= info.secondReplOffset
  if (!current && !previous) {
    return 'its history is another one: the server was restarted, replaced or failed over'
  }
  if (!info.backlogActive) return 'it keeps no backlog'
  const first = info.backlogFirstReplOffset
  const last = first + info.backlogBytes
  if (nextReplOffset < first) {
    return `its backlog begins at offset ${first}, behind ${nextReplOffset}: repl-backlog-size is too small for the pause`
  }
  if (nextReplOffset > last)
    return `its stream ends at offset ${last - 1}, before ${nextReplOffset}`
  return undefined
}

/**
 * Where to go on in what this server has, if it was promoted since and had not got all that we have: the
 * bytes of the old history from there on never happened for anybody else. Undefined where we are not
 * ahead.
 */
export function pointBehindFailover(
  info: ReplicationInfo,
  { replid, nextReplOffset }: ResumePoint,
): ResumePoint | undefined {
  const isFormer = replid.toLowerCase() === info.replid2?.toLowerCase()
  if (!isFormer || info.secondReplOffset < 1 || nextReplOffset <= info.secondReplOffset) {
    return undefined
  }
  return { replid, nextReplOffset: info.secondReplOffset }
}
