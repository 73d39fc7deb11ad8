/**
 * What a server's own directory in multi-part form comes to: its manifest is all there is, and
 * offsets count the bytes of its files, one behind the other, the base included.
 */
import { join } from 'node:path'
import { MomentError } from '../errors.js'
import { savedAtMs, type ManifestSet } from './manifest-set.js'
import type { Moment } from './moment.js'
import {
  beforeFirst,
  endOfSecond,
  missingOf,
  Places,
  timeText,
  type ArchiveState,
  type ArchiveWindow,
} from './state.js'
import { refuseWithoutTimes } from './times.js'

export function serverWindow({ dir, manifest }: ManifestSet): ArchiveWindow {
  const { base, incrs } = manifest
  return {
    replid: undefined,
    fromReplOffset: undefined,
    toReplOffset: undefined,
    fromMs: base && savedAtMs(join(dir, base.name)),
    toMs: undefined,
    bases: base === undefined ? 0 : 1,
    isWithoutBase: base === undefined && incrs.length === 0,
  }
}

/** Throws MomentError where that moment is not in it. */
export function serverState({ dir, manifest }: ManifestSet, moment: Moment): ArchiveState {
  const places = new Places()
  const path = manifest.base && join(dir, manifest.base.name)
  if (path !== undefined) places.next(path)
  const baseBytes = places.byteOffset
  const increments = manifest.incrs.map((incr) => ({
    path: join(dir, incr.name),
    startReplOffset: undefined,
    startByteOffset: places.next(join(dir, incr.name)),
    isBehindGap: false,
  }))
  const unixMs = path === undefined ? undefined : savedAtMs(path)
  const base = path === undefined ? undefined : { path, replOffset: undefined, unixMs }
  const state = { moment, base, increments }
  // Without one of them nothing can be said of places.
  if (moment === 'end' || missingOf(state).length > 0) return state
  if ('timeMs' in moment) {
    if (unixMs !== undefined && unixMs > endOfSecond(moment.timeMs)) {
      throw beforeFirst(timeText(moment.timeMs), dir, unixMs)
    }
    const paths = increments.map((increment) => increment.path)
    refuseWithoutTimes(paths, moment, dir)
    return state
  }
  const { replOffset } = moment
  if (replOffset < baseBytes) throw beforeFirst(`offset ${replOffset}`, dir, undefined)
  if (replOffset > places.byteOffset) {
    throw new MomentError(
      'after-end',
      `${dir} holds ${places.byteOffset} bytes, and offset ${replOffset} is behind them`,
      { details: { endReplOffset: places.byteOffset } },
    )
  }
  return state
}
