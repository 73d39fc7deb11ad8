/**
 * What an archive's increments hold beyond an append-only file: which stream byte lies where. They
 * carry annotations, which servers skip:
 *
 *   #RREP:@<replOffset> <dbnum> <replid>   at the head of a part, behind a changed replid, and
 *       beside each #TS: everything up to this stream byte stands before the line; the database
 *       selected there; the history the offset belongs to. At the head of a part the next
 *       command is a SELECT of that database, which is not part of the stream.
 *   #RREP:+<n>  #RREP:-<n>                 directly before a command: so many more (fewer) stream
 *       bytes than file bytes lie between the command before and the end of this one, for what
 *       was left out (PING) or is written in another form.
 *   #RREP:trim <replOffset> 0-9,20-29      at this stream byte the keys of these slots were deleted, by a
 *       command that names none of them and that only a node of a cluster can load.
 *
 * So a reader that adds up the bytes of commands always knows the replication offset, also of a
 * file that ends anywhere.
 */
import { Buffer } from 'node:buffer'
import type { SlotRanges } from '../topology/cluster-nodes.js'
import { rangesOf } from '../topology/slot-signs.js'

const PREFIX = '#RREP:'

export interface ReplMark {
  replOffset: number
  dbnum: number
  replid: string
}

export type ArchiveAnnotation =
  | ({ kind: 'at' } & ReplMark)
  /** Stream bytes minus file bytes. */
  | { kind: 'skew'; bytes: number }
  | { kind: 'trim'; replOffset: number; slots: SlotRanges }

export function formatMark(mark: ReplMark): string {
  return `${PREFIX}@${mark.replOffset} ${mark.dbnum} ${mark.replid}\r\n`
}

export function formatSkew(bytes: number): string {
  return `${PREFIX}${bytes < 0 ? '-' : '+'}${Math.abs(bytes)}\r\n`
}

/** Servers refuse a line above 1,024 bytes. */
const MOST_RANGES = 60

export function formatTrim(replOffset: number, slots: SlotRanges): string {
  let lines = ''
  for (let i = 0; i < slots.length; i += MOST_RANGES) {
    const some = slots.slice(i, i + MOST_RANGES).map(([first, last]) => `${first}-${last}`)
    lines += `${PREFIX}trim ${replOffset} ${some.join(',')}\r\n`
  }
  return lines
}

/** Parses an annotation line (with or without its line end); undefined for foreign ones. */
export function parseAnnotation(line: Uint8Array): ArchiveAnnotation | undefined {
  if (line.length > 1024 || line[1] !== 0x52) return undefined
  const text = Buffer.from(line.buffer, line.byteOffset, line.length).toString('latin1').trimEnd()
  const at = /^#RREP:@(\d{1,16}) (\d{1,9}) ([0-9a-f]{40})$/.exec(text)
  if (at !== null) {
    return { kind: 'at', replOffset: Number(at[1]), dbnum: Number(at[2]), replid: at[3]! }
  }
  const trim = /^#RREP:trim (\d{1,16}) ([\d,-]+)$/.exec(text)
  if (trim !== null) {
    return { kind: 'trim', replOffset: Number(trim[1]), slots: rangesOf(trim[2]!) }
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
  #atHead = false

  command(byteLength: number): void {
    if (this.replOffset < 0) return
    if (this.#atHead) {
      this.#atHead = false
      return
    }
    this.replOffset += byteLength + this.skewBytes
    this.skewBytes = 0
  }

  /** @param byteOffset of the line in its part */
  annotation(line: Uint8Array, byteOffset: number): ArchiveAnnotation | undefined {
    const parsed = parseAnnotation(line)
    if (parsed === undefined) return undefined
    if (parsed.kind === 'skew') {
      this.skewBytes += parsed.bytes
    } else if (parsed.kind === 'at') {
      this.replOffset = parsed.replOffset
      this.replid = parsed.replid
      this.skewBytes = 0
      if (byteOffset === 0) this.#atHead = true
    }
    return parsed
  }
}
