/** What time or place is meant, as verbs are asked for it and as the reader wants it. */

/** `timeMs`: the second it lies in is taken whole; and, where it is told, what came later up to
 * `leastReplOffset`. */
export type Moment =
  'end' | { timeMs: number; leastReplOffset?: number | undefined } | { replOffset: number }

/** As options of verbs have it: unix ms (and in any case up to an offset), or an offset of the stream
 * (of the bytes, where there is no stream). Undefined: the end. */
export type Until =
  { unixMs: number; leastOffset?: number | undefined } | { offset: number } | undefined

export function momentOf(until: Until): Moment {
  if (until === undefined) return 'end'
  if ('offset' in until) return { replOffset: until.offset }
  return { timeMs: until.unixMs, leastReplOffset: until.leastOffset }
}
