/** The table of a comparison over time: from sums by number to rows by name. */
import { Buffer } from 'node:buffer'
import type { PrefixPlace } from './prefix-marks.js'
import { addRows, EMPTY_ROW, type GrowthRow, type GrowthSums, type KeySum } from './sums.js'

/** A key that is told by name. */
export interface GrownKey {
  readonly db: number
  readonly key: Buffer
  readonly type: string
  /** Bytes of memory; 0 where it was not there, or is not any more. */
  readonly before: number
  readonly now: number
}

export interface PrefixGrowth extends GrowthRow {
  /** Whole, with the separator at its end; empty for all keys. Merged pieces are `*`. */
  readonly prefix: Buffer
  /** Different continuations that were merged on the way here; 0: exact. */
  readonly merged: number
  /** Of keys with no deeper prefix. */
  readonly own: GrowthRow
  /** Those that changed most in memory first. */
  readonly children: readonly PrefixGrowth[]
}

/** Exact, whatever the number of keys: each is compared with itself, by a hash of 96 bits of its db
 * and name. */
export interface GrowthTable {
  readonly total: GrowthRow
  /** Names, not figures, are lost where there are more than some ten thousand prefixes. */
  readonly prefixes: PrefixGrowth
  /** Those that changed most first; undefined: all types behind some 250. */
  readonly types: readonly (readonly [string | undefined, GrowthRow])[]
  /** By number; undefined: all behind a million. */
  readonly databases: readonly (readonly [number | undefined, GrowthRow])[]
  /** By time left, each side as of its own moment. */
  readonly ttl: readonly { name: string; before: KeySum; now: KeySum }[]
  /** Keys whose type is another now: by type they are told as gone and created. */
  readonly retyped: number
  readonly grown: readonly GrownKey[]
  readonly shrunk: readonly GrownKey[]
  readonly created: readonly GrownKey[]
  readonly gone: readonly GrownKey[]
}

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

/** A prefix within another has a line of its own where it did at least this share of the change. */
const WORTH_SHARE = 0.02

/** A line of a table of prefixes that adds up: those of depth 0 come to all there is. */
export interface GrowthLine {
  readonly kind: 'prefix' | 'others' | 'no-prefix'
  /** Of `others`: what they are in. */
  readonly prefix: Buffer
  /** How many prefixes it stands for. */
  readonly prefixes: number
  readonly depth: number
  readonly merged: number
  readonly row: GrowthRow
}

/** The `limit` prefixes that changed most, each behind what it is in, and what is left of both. */
export function growthLines(root: PrefixGrowth, limit: number): GrowthLine[] {
  const kept = new Set(mostChanged(root, limit))
  const lines: GrowthLine[] = []
  const walk = (node: PrefixGrowth, depth: number): void => {
    const left: PrefixGrowth[] = []
    for (const child of node.children) {
      if (!kept.has(child)) {
        left.push(child)
        continue
      }
      const { prefix, merged } = child
      lines.push({ kind: 'prefix', prefix, prefixes: 1, depth, merged, row: child })
      walk(child, depth + 1)
    }
    // Below a prefix that is shown what is left of it can be seen from its own figures.
    if (left.length > 0 && depth === 0) {
      lines.push({
        kind: 'others',
        prefix: node.prefix,
        prefixes: left.length,
        depth,
        merged: 0,
        row: left.reduce<GrowthRow>(addRows, EMPTY_ROW),
      })
    }
  }
  walk(root, 0)
  if (!isEmpty(root.own)) {
    const { prefix, own } = root
    lines.push({ kind: 'no-prefix', prefix, prefixes: 0, depth: 0, merged: 0, row: own })
  }
  return lines
}

/** A node is never without what it is in: that has changed in keys or memory, or holds it. */
function mostChanged(root: PrefixGrowth, limit: number): PrefixGrowth[] {
  const found: { node: PrefixGrowth; above: PrefixGrowth | undefined }[] = []
  const walk = (node: PrefixGrowth, above: PrefixGrowth | undefined): void => {
    for (const child of node.children) {
      found.push({ node: child, above })
      walk(child, child)
    }
  }
  walk(root, undefined)
  found.sort((a, b) => sizeOfChange(b.node) - sizeOfChange(a.node))
  const above = new Map(found.map((each) => [each.node, each.above]))
  const kept = new Set<PrefixGrowth>()
  const least = sizeOfChange(root) * WORTH_SHARE
  for (const { node, above: outer } of found) {
    if (kept.size >= limit) break
    const size = sizeOfChange(node)
    if (size === 0 || (outer !== undefined && size < least)) continue
    for (let each: PrefixGrowth | undefined = node; each !== undefined; each = above.get(each)) {
      kept.add(each)
    }
  }
  return [...kept]
}

/** In bytes that came, went, grew or shrank: what only moves around has changed, too. */
function sizeOfChange({ created, gone, grown, shrunk }: GrowthRow): number {
  return created.memory + gone.memory + grown.memory + shrunk.memory
}
