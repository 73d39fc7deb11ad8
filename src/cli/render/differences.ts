/** Kinds of difference between two sources, in words. */
import type { Difference } from '../../verbs/diff/options.js'
import { formatCount } from '../units.js'

/** What stands in front of a key. */
export const DIFFERENCE_TEXT: Record<Difference['kind'], string> = {
  'missing-in-a': 'only in B',
  'missing-in-b': 'only in A',
  type: 'type',
  ttl: 'ttl',
  value: 'value',
  'field-ttl': 'field ttl',
  'stream-counters': 'stream counters',
}

/** `3 only in B`, `1 field ttl`. */
export function describeDifferences(kind: string, count: number): string {
  const text = Object.hasOwn(DIFFERENCE_TEXT, kind)
    ? DIFFERENCE_TEXT[kind as Difference['kind']]
    : kind
  return `${formatCount(count)} ${text}`
}
