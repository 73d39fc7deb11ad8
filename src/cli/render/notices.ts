/** Things odd in a file but readable, in words. */
import { countOf, formatCount } from '../units.js'

export function describeFileNotice(code: string, count: number): string {
  switch (code) {
    case 'empty-value':
      return `${countOf(count, 'key')} without elements (servers skip such)`
    case 'expiry-twice':
      return `${countOf(count, 'key')} with two expiries (the later counts)`
    case 'attribute-without-key':
      return `${countOf(count, 'expiry or idle time', 'expiries or idle times')} with no key behind`
    case 'duplicate-key':
      return `${countOf(count, 'key')} there twice (servers stop on it)`
    case 'stream-length':
      return `${countOf(count, 'stream')} whose length is not that of the entries`
    case 'skipped-opcode':
      return `${countOf(count, 'record')} of a kind that was stepped over`
    case 'duplicates-sampled':
      // Each time half of those that are remembered were let go.
      return `duplicates were looked for among one key in ${formatCount(2 ** count)}`
    default:
      return `${formatCount(count)} × ${code}`
  }
}
