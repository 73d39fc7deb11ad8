/** From sums by number to rows by name. */
import type { PrefixPlace } from '../../analyze/growth/prefix-marks.js'
import { addRows, type GrowthRow, type GrowthSums } from '../../analyze/growth/sums.js'
import type { PrefixGrowth } from './options.js'

/** By how much memory it changed, up or down. */
export function changeOf({ before, now }: GrowthRow): number {
  return now.memory - before.memory
}

/** Those that changed most first; without rows that have nothing on either side. */
export function byChange<T>(
  entries: readonly (readonly [T, number])[],
  row: (index: number) => GrowthRow,
): [T, GrowthRow][] {
  return entries
    .map(([name, index]): [T, GrowthRow] => [name, row(index)])
    .filter(([, { before, now }]) => before.keys + now.keys > 0)
    .sort(([, a], [, b]) => Math.abs(changeOf(b)) - Math.abs(changeOf(a)))
}

/**
 * The tree of prefixes: it adds up, a node has what its children and its own keys have. A node that
 * holds nothing but one child is left out in favour of that child.
 */
export function prefixGrowth(places: readonly PrefixPlace[], sums: GrowthSums): PrefixGrowth {
  const children = new Map<number, PrefixGrowth[]>()
  // Children before their parents: what is below a node is whole when its turn comes.
  for (const { node, parent, prefix, merged } of places.toReversed()) {
    const own = sums.prefix(node)
    const below = children.get(node) ?? []
    children.delete(node)
    below.sort(
      (a, b) => Math.abs(changeOf(b)) - Math.abs(changeOf(a)) || Buffer.compare(a.prefix, b.prefix),
    )
    let whole = own
    for (const child of below) whole = addRows(whole, child)
    const [only] = below
    const isOnlyChild = only !== undefined && below.length === 1 && isEmpty(own)
    const built: PrefixGrowth =
      isOnlyChild && prefix.length > 0 ? only : { ...whole, prefix, merged, own, children: below }
    if (prefix.length === 0) return built
    const beside = children.get(parent)
    if (beside === undefined) children.set(parent, [built])
    else beside.push(built)
  }
  throw new RangeError('a tree without a root')
}

function isEmpty({ before, now }: GrowthRow): boolean {
  return before.keys + now.keys === 0
}
