/**
 * What a capture holds beyond an append-only file: which stream byte lies where.
 *
 * A capture's increments carry annotations, which servers skip:
 *
 *   #RREP:@<replOffset> <dbnum> <replid>   at the head of a part, behind a changed replid, and
 *       beside each #TS: everything up to this stream byte stands before the line; the database
 *       selected there; the history the offset belongs to. At the head of a part the next
 *       command is a SELECT of that database, which is not part of the stream.
 *   #RREP:+<n>  #RREP:-<n>                 directly before a command: so many more (fewer) stream
 *       bytes than file bytes lie between the command before and the end of this one, for what
 *       was left out (PING) or is written in another form.
 *
 * So a reader that adds up the bytes of commands always knows the replication offset, also of a
 * file that ends anywhere. The sidecar `rrep.json` beside the manifest lists parts and gaps.
 */
import { Buffer } from 'node:buffer'

const PREFIX = '#RREP:'

export interface CaptureMark {
  replOffset: number
  dbnum: number
  replid: string
}

export type CaptureAnnotation =
  | ({ kind: 'at' } & CaptureMark)
  /** Stream bytes minus file bytes. */
  | { kind: 'skew'; bytes: number }

export function formatMark(mark: CaptureMark): string {
  return `${PREFIX}@${mark.replOffset} ${mark.dbnum} ${mark.replid}\r\n`
}

export function formatSkew(bytes: number): string {
  return `${PREFIX}${bytes < 0 ? '-' : '+'}${Math.abs(bytes)}\r\n`
}

/** Parses an annotation line (with or without its line end); undefined for foreign ones. */
export function parseCaptureAnnotation(line: Uint8Array): CaptureAnnotation | undefined {
  if (line.length > 100 || line[1] !== 0x52) return undefined
  const text = Buffer.from(line.buffer, line.byteOffset, line.length).toString('latin1').trimEnd()
  const at = /^#RREP:@(\d{1,16}) (\d{1,9}) ([0-9a-f]{40})$/.exec(text)
  if (at !== null) {
    return { kind: 'at', replOffset: Number(at[1]), dbnum: Number(at[2]), replid: at[3]! }
  }
  const skew = /^#RREP:([+-]\d{1,16})$/.exec(text)
  return skew === null ? undefined : { kind: 'skew', bytes: Number(skew[1]) }
}

/**
 * Follows the replication offset through a part. Feed it what an AofParser reports; `replOffset`
 * is then the last stream byte contained up to there, -1 as long as no mark was met.
 */
export class ReplOffsetTracker {
  replOffset = -1
  replid: string | undefined
  /** From annotations whose command has not come yet: a part must not end here. */
  skewBytes = 0
  /** The next command is the SELECT at the head of a part. */
  private atHead = false

  command(byteLength: number): void {
    if (this.replOffset < 0) return
    if (this.atHead) {
      this.atHead = false
      return
    }
    this.replOffset += byteLength + this.skewBytes
    this.skewBytes = 0
  }

  /** @param byteOffset of the line in its part */
  annotation(line: Uint8Array, byteOffset: number): CaptureAnnotation | undefined {
    const parsed = parseCaptureAnnotation(line)
    if (parsed === undefined) return undefined
    if (parsed.kind === 'skew') {
      this.skewBytes += parsed.bytes
    } else {
      this.replOffset = parsed.replOffset
      this.replid = parsed.replid
      this.skewBytes = 0
      if (byteOffset === 0) this.atHead = true
    }
    return parsed
  }
}

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

export type TimelineEntry = BaseRecord | IncrRecord | GapRecord

export interface Sidecar {
  format: 1
  /** Address of the master, for people. */
  source: string
  replid: string
  /** In the order in which to read: a base stands before the first increment behind it. */
  timeline: TimelineEntry[]
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
}

export function formatSidecar(sidecar: Sidecar): string {
  return `${JSON.stringify(sidecar, undefined, 2)}\n`
}

/** Parses a sidecar; undefined where it is not one of this format. */
export function parseSidecar(text: string): Sidecar | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null) return undefined
    const sidecar = value as Partial<Sidecar>
    if (sidecar.format !== 1 || typeof sidecar.replid !== 'string') return undefined
    if (!Array.isArray(sidecar.timeline)) return undefined
    return {
      format: 1,
      source: sidecar.source ?? '',
      replid: sidecar.replid,
      timeline: sidecar.timeline,
      ...(sidecar.mark === undefined ? {} : { mark: sidecar.mark }),
      relativeTimes: sidecar.relativeTimes ?? false,
      unixSeconds: sidecar.unixSeconds ?? 0,
      highestDbnum: sidecar.highestDbnum ?? 0,
      dropped: sidecar.dropped ?? {},
    }
  } catch {
    return undefined
  }
}
