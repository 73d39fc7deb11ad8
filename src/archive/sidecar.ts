/**
 * The sidecar `rrep.json`: every base, increment and gap of an archive in the order in which to
 * read them, and what a later run needs to go on. It is a convenience: where it is lost or damaged
 * the manifests and the marks in the increments tell nearly the same. Its last field is the hash of its
 * text.
 */
import { sealJson } from '../storage/sealed-json.js'
import { isPlainName } from './layout.js'

/** A base: a snapshot that contains the stream up to `replOffset`. */
export interface BaseRecord {
  kind: 'base'
  file: string
  seq: number
  replid: string
  replOffset: number
  /** When it was asked for, unix ms. */
  unixMs: number
  bytes: number
  rdbVersion: number
}

/** An increment: the stream from `startReplOffset` + 1 on. */
export interface IncrRecord {
  kind: 'incr'
  file: string
  seq: number
  replid: string
  startReplOffset: number
  /** Last stream byte contained; undefined for the part being written. */
  endReplOffset?: number | undefined
  /** When it was begun, unix ms. */
  unixMs: number
}

/** Stream bytes that no part holds: the master no longer had them. */
export interface GapRecord {
  kind: 'gap'
  replid: string
  /** First byte missing; the history before the gap ends in front of it. */
  fromReplOffset: number
  /** What the next base starts from, in its own history. */
  toReplid: string
  toReplOffset: number
  unixMs: number
}

/** What a file holds that does not change any more, or its first bytes. */
export interface FileHash {
  bytes: number
  /** Hex. */
  sha256: string
}

/** An archive without a directory of its own: it is written through a spool, by one run after the other. */
export interface Spooled {
  /** Of the spool that it is written through. */
  by: string
  /** All of it has arrived, and that spool is gone: another one may go on. */
  ended: boolean
}

export type TimelineEntry = BaseRecord | IncrRecord | GapRecord

export interface Sidecar {
  format: 1
  /** Address of the master, for people. */
  source: string
  replid: string
  /** In the order in which to read: a base stands before the first increment behind it. */
  timeline: TimelineEntry[]
  /** Files of the timeline that lie in the repository only. */
  away?: string[]
  spooled?: Spooled
  /** A place in the last increment up to which everything is fsynced. */
  mark?: {
    file: string
    filePosition: number
    /** Last stream byte contained in the file up to there. */
    replOffset: number
    /** Stream bytes received behind it that are not stored (PING). */
    unstoredBytes: number
    dbnum: number
    replid: string
  }
  /** The master sends relative expiries (up to 6.2). */
  relativeTimes: boolean
  /** Last `#TS:` written, unix seconds. */
  unixSeconds: number
  highestDbnum: number
  /** Commands left out that had an effect, by name. */
  dropped: Record<string, number>
  /** By name: of increments that are complete; in a copy that was shipped, of all its files. */
  hashes?: Record<string, FileHash>
}

export function formatSidecar(sidecar: Sidecar): string {
  return sealJson(sidecar)
}

/** Parses a sidecar; a text that says what is wrong where it is not one of this format. */
export function parseSidecar(text: string): Sidecar | string {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return 'it is cut off, or no JSON'
  }
  if (!isObject(value) || value['format'] !== 1) return 'it is of no format that is known here'
  const { replid, timeline, mark, dropped, hashes, away, spooled } = value
  if (typeof replid !== 'string') return 'it has no replid'
  if (!Array.isArray(timeline)) return 'it has no timeline'
  for (const entry of timeline) {
    const problem = problemOf(entry)
    if (problem !== undefined) return problem
  }
  return {
    format: 1,
    source: typeof value['source'] === 'string' ? value['source'] : '',
    replid,
    timeline: timeline as TimelineEntry[],
    ...(isMark(mark) ? { mark } : {}),
    ...(Array.isArray(away) ? { away: away.filter((name) => typeof name === 'string') } : {}),
    ...(isSpooled(spooled) ? { spooled } : {}),
    relativeTimes: value['relativeTimes'] === true,
    unixSeconds: numberOr0(value['unixSeconds']),
    highestDbnum: numberOr0(value['highestDbnum']),
    dropped: isObject(dropped) ? countsOf(dropped) : {},
    ...(isObject(hashes) ? { hashes: hashesOf(hashes) } : {}),
  }
}

function problemOf(entry: unknown): string | undefined {
  if (!isObject(entry)) return 'its timeline has an entry that is none'
  const { kind } = entry
  if (kind !== 'base' && kind !== 'incr' && kind !== 'gap') {
    return 'its timeline has an entry of unknown kind'
  }
  if (typeof entry['replid'] !== 'string' || !isCount(entry['unixMs'])) {
    return `its timeline has a ${kind} without replid or time`
  }
  if (kind === 'gap') {
    const whole = isCount(entry['fromReplOffset']) && isCount(entry['toReplOffset'])
    return whole ? undefined : 'its timeline has a gap without offsets'
  }
  const { file, seq } = entry
  if (typeof file !== 'string' || !isPlainName(file)) {
    return 'its timeline names a file by a path'
  }
  const offset = kind === 'base' ? entry['replOffset'] : entry['startReplOffset']
  if (!isCount(seq) || seq === 0 || !isCount(offset)) {
    return `its timeline has a ${kind} without number or offset`
  }
  const end = entry['endReplOffset']
  return end === undefined || isCount(end) ? undefined : 'its timeline has an offset that is none'
}

function isMark(value: unknown): value is NonNullable<Sidecar['mark']> {
  return (
    isObject(value) &&
    typeof value['file'] === 'string' &&
    typeof value['replid'] === 'string' &&
    ['filePosition', 'replOffset', 'unstoredBytes', 'dbnum'].every((name) => isCount(value[name]))
  )
}

function isSpooled(value: unknown): value is Spooled {
  return isObject(value) && typeof value['by'] === 'string' && typeof value['ended'] === 'boolean'
}

function countsOf(value: Record<string, unknown>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(value).filter((entry): entry is [string, number] => isCount(entry[1])),
  )
}

function hashesOf(value: Record<string, unknown>): Record<string, FileHash> {
  return Object.fromEntries(
    Object.entries(value).filter(
      (entry): entry is [string, FileHash] =>
        isObject(entry[1]) && isCount(entry[1]['bytes']) && typeof entry[1]['sha256'] === 'string',
    ),
  )
}

function numberOr0(value: unknown): number {
  return isCount(value) ? value : 0
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
