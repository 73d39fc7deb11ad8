/** What time or place is meant, as verbs are asked for it and as the reader wants it. */

/** `timeMs`: the second it lies in is taken whole. */
export type Moment = 'end' | { timeMs: number } | { replOffset: number }

/** As options of verbs have it: unix ms, or an offset of the stream (of the bytes, where there is
 * no stream). Undefined: the end. */
export type Until = { unixMs: number } | { offset: number } | undefined

export function momentOf(until: Until): Moment {
  if (until === undefined) return 'end'
  return 'unixMs' in until ? { timeMs: until.unixMs } : { replOffset: until.offset }
}
