/**
 * The tree of prefixes as the page gets it: a row for each node, parents first, largest first,
 * until the bytes for it are used up. What is left out of a node is what its figures have above
 * those of its rows: the page shows it as "other". So a page is never large, whatever the dump.
 */
import { Buffer } from 'node:buffer'
import { printable } from '../bytes/printable.js'
import type { PrefixNode } from '../analyze/distributions/prefix-figures.js'
import { dataText } from './html.js'
import type { TreeRow } from './tree-row.js'

const MAX_BYTES = 1_500_000
const MAX_ROWS = 32_768

export function treeRows(root: PrefixNode): TreeRow[] {
  const rows: TreeRow[] = []
  // Breadth by memory: a heap would do, but a sorted list of what is open is short enough.
  const open: { node: PrefixNode; parent: number; from: number }[] = [
    { node: root, parent: -1, from: 0 },
  ]
  let bytes = 0
  while (open.length > 0 && rows.length < MAX_ROWS) {
    const wave = open.splice(0).sort((a, b) => b.node.memory - a.node.memory)
    for (const { node, parent, from } of wave) {
      const row: TreeRow = [
        parent,
        printable(node.prefix, from),
        node.keys,
        node.memory,
        node.lastingKeys,
        node.lastingMemory,
        node.soonKeys,
        node.largest,
        node.own.keys,
        node.own.largest,
        node.merged,
      ]
      bytes += Buffer.byteLength(dataText(row)) + 1
      if (bytes > MAX_BYTES || rows.length >= MAX_ROWS) return rows
      const at = rows.push(row) - 1
      for (const child of node.children) {
        open.push({ node: child, parent: at, from: node.prefix.length })
      }
    }
  }
  return rows
}

/** The nodes with most memory below the root, the deeper behind what holds it. */
export function largestNodes(root: PrefixNode, limit: number): PrefixNode[] {
  const found: PrefixNode[] = []
  const walk = (node: PrefixNode): void => {
    for (const child of node.children) {
      found.push(child)
      walk(child)
    }
  }
  walk(root)
  return found.sort((a, b) => b.memory - a.memory).slice(0, limit)
}
