/** What the reader of archives says: the files that come to a moment, and stretches without a gap. */
import { existsSync } from 'node:fs'
import { MomentError } from '../errors.js'
import type { Moment } from './moment.js'
import { statOf } from '../disk/stat.js'

export interface ArchiveBase {
  path: string
  /** Contains the stream up to here; undefined in a server's own directory. */
  replOffset: number | undefined
  /** When it was made, unix ms, as far as it is known. */
  unixMs: number | undefined
}

export interface ArchiveIncrement {
  path: string
  /** Last stream byte before it; undefined in a server's own directory. */
  startReplOffset: number | undefined
  /** Bytes of the files before it, its base included: what offsets count where there is no
   * stream. */
  startByteOffset: number
  /** It belongs to another history than the one before: between them stream bytes are missing. */
  isBehindGap: boolean
}

/** What comes to the state of one moment: load the base, then the increments in order. */
export interface ArchiveState {
  moment: Moment
  /** Undefined: the state before the first increment is empty. */
  base: ArchiveBase | undefined
  increments: readonly ArchiveIncrement[]
}

/** A stretch without a gap: every moment in it can be restored. */
export interface ArchiveWindow {
  replid: string | undefined
  fromReplOffset: number | undefined
  /** Undefined: it goes on (the newest), or nobody knows without reading it. */
  toReplOffset: number | undefined
  fromMs: number | undefined
  toMs: number | undefined
  bases: number
  /** Nothing but increments: no state can be made of it, its commands can be read. */
  isWithoutBase: boolean
}

/** Counts the bytes of files that stand one behind the other. */
export class Places {
  byteOffset = 0

  /** Where this file begins; it is the last so far. */
  next(path: string): number {
    const at = this.byteOffset
    this.byteOffset += statOf(path)?.size ?? 0
    return at
  }
}

export function missingOf(state: Pick<ArchiveState, 'base' | 'increments'>): string[] {
  const paths = state.increments.map((increment) => increment.path)
  if (state.base !== undefined) paths.unshift(state.base.path)
  return paths.filter((path) => !existsSync(path))
}

export function endOfSecond(timeMs: number): number {
  return Math.floor(timeMs / 1000) * 1000 + 999
}

export function timeText(unixMs: number): string {
  return new Date(unixMs).toISOString()
}

/** @param text the moment asked for, in words */
export function beforeFirst(
  text: string,
  dir: string,
  fromMs: number | undefined,
  fromReplOffset?: number,
): MomentError {
  const from = fromMs === undefined ? 'later' : `at ${timeText(fromMs)}`
  const offset = fromReplOffset === undefined ? '' : `, offset ${fromReplOffset}`
  return new MomentError(
    'before-first-base',
    `${text} is before the first snapshot in ${dir}: it begins ${from}${offset}`,
    { details: { fromMs, fromReplOffset } },
  )
}
