/** The tree of prefixes in the page, from the rows that the report carries. */
import type { TreeRow } from '../tree-row.js'

export interface Node {
  /** Behind the parent's. */
  readonly name: string
  /** From the root on. */
  readonly path: string
  readonly parent: Node | undefined
  readonly keys: number
  readonly memory: number
  readonly lastingKeys: number
  readonly lastingMemory: number
  readonly soonKeys: number
  readonly largest: number
  readonly ownKeys: number
  readonly ownLargest: number
  readonly merged: number
  readonly children: Node[]
}

export interface PageData {
  readonly prefixes: readonly TreeRow[]
  readonly keys: readonly string[]
}

export interface Tree {
  readonly root: Node
  readonly nodes: readonly Node[]
  readonly byPath: ReadonlyMap<string, Node>
}

export function readTree(rows: readonly TreeRow[]): Tree {
  const nodes: Node[] = []
  const byPath = new Map<string, Node>()
  for (const row of rows) {
    const parent = nodes[row[0]]
    const node: Node = {
      name: row[1],
      path: (parent?.path ?? '') + row[1],
      parent,
      keys: row[2],
      memory: row[3],
      lastingKeys: row[4],
      lastingMemory: row[5],
      soonKeys: row[6],
      largest: row[7],
      ownKeys: row[8],
      ownLargest: row[9],
      merged: row[10],
      children: [],
    }
    nodes.push(node)
    parent?.children.push(node)
    if (!byPath.has(node.path)) byPath.set(node.path, node)
  }
  return { root: nodes[0]!, nodes, byPath }
}

/** Where a key is in the tree: the deepest prefix that it begins with. */
export function placeOf(tree: Tree, key: string): Node {
  let node = tree.root
  for (;;) {
    const next = node.children.find(({ path }) => key.startsWith(path))
    if (next === undefined) return node
    node = next
  }
}
