/**
 * The tree of prefixes with all that the report says of each. It adds up: what a node has is what
 * its children have and what its own keys have, those without a deeper prefix; of all keys that is
 * "no prefix". A node that holds nothing but one child is left out in favour of that child.
 */
import { Buffer } from 'node:buffer'
import { KIND_NAMES, type Kind, type Slice } from '../../rdb/visitor.js'
import { PrefixTree, type NodeColumns, type PrefixOptions } from '../prefix-tree.js'

export interface PrefixSums {
  readonly keys: number
  readonly memory: number
  /** Without an expiry. */
  readonly lastingKeys: number
  readonly lastingMemory: number
  /** Expire within a day of the report's moment. */
  readonly soonKeys: number
  readonly soonMemory: number
  /** Memory of the largest key. */
  readonly largest: number
  /** Keys by type, modules as one; types without keys are left out. */
  readonly types: Readonly<Record<string, number>>
}

export interface PrefixNode extends PrefixSums {
  /** Whole, with the separator at its end; empty for all keys. Merged pieces are `*`. */
  readonly prefix: Buffer
  /** Different continuations that were merged on the way here; 0: exact. */
  readonly merged: number
  /** Keys with no deeper prefix. */
  readonly own: PrefixSums
  /** Most memory first. */
  readonly children: readonly PrefixNode[]
}

const KINDS = KIND_NAMES.length
/** Columns of a row: the sums as above, then keys by kind. */
const LASTING_KEYS = 0
const LASTING_MEMORY = 1
const SOON_KEYS = 2
const SOON_MEMORY = 3
const LARGEST = 4
const KEYS = 5
const MEMORY = 6
const BY_KIND = 7
const WIDTH = BY_KIND + KINDS

const DEFAULT_DEPTH = 8
const MAX_NODES = 32768

class Columns implements NodeColumns {
  readonly rows = new Float64Array(MAX_NODES * WIDTH)

  clear(node: number): void {
    this.rows.fill(0, node * WIDTH, (node + 1) * WIDTH)
  }

  merge(from: number, to: number): void {
    addRow(this.rows, to * WIDTH, this.rows, from * WIDTH)
  }
}

export class PrefixFigures {
  readonly #columns = new Columns()
  readonly #separator: Uint8Array
  readonly #tree: PrefixTree

  constructor(options: Pick<PrefixOptions, 'separator' | 'depth'>) {
    this.#separator = options.separator ?? Uint8Array.of(0x3a)
    this.#tree = new PrefixTree({
      separator: this.#separator,
      depth: options.depth ?? DEFAULT_DEPTH,
      maxNodes: MAX_NODES,
      columns: this.#columns,
    })
  }

  add(key: Slice, kind: Kind, memory: number, isLasting: boolean, isSoon: boolean): void {
    const at = this.#tree.add(key.bytes, key.start, key.end, memory) * WIDTH
    const { rows } = this.#columns
    rows[at + KEYS]! += 1
    rows[at + MEMORY]! += memory
    rows[at + BY_KIND + kind]! += 1
    if (memory > rows[at + LARGEST]!) rows[at + LARGEST] = memory
    if (isLasting) {
      rows[at + LASTING_KEYS]! += 1
      rows[at + LASTING_MEMORY]! += memory
    } else if (isSoon) {
      rows[at + SOON_KEYS]! += 1
      rows[at + SOON_MEMORY]! += memory
    }
  }

  /** All of it, to be called once. */
  root(): PrefixNode {
    const outline = this.#tree.outline()
    const own = this.#columns.rows
    const sums = new Float64Array(own)
    const building = new Map<number, BuiltNode>()
    for (const { node, parent, piece, merged } of outline) {
      const above = building.get(parent)
      building.set(node, {
        prefix:
          above === undefined
            ? Buffer.alloc(0)
            : Buffer.concat([above.prefix, piece, this.#separator]),
        merged: merged + (above?.merged ?? 0),
        children: [],
      })
    }
    // Children before their parents: what is below a node is whole when its turn comes.
    for (const { node, parent } of outline.reverse()) {
      const built = building.get(node)!
      built.children.sort((a, b) => b.memory - a.memory || Buffer.compare(a.prefix, b.prefix))
      const whole: PrefixNode = {
        ...sumsOf(sums, node * WIDTH),
        prefix: built.prefix,
        merged: built.merged,
        own: sumsOf(own, node * WIDTH),
        children: built.children,
      }
      const above = building.get(parent)
      if (above === undefined) return whole
      addRow(sums, parent * WIDTH, sums, node * WIDTH)
      const [only] = whole.children
      above.children.push(only?.keys === whole.keys ? only : whole)
    }
    throw new RangeError('a tree without a root')
  }
}

interface BuiltNode {
  readonly prefix: Buffer
  readonly merged: number
  readonly children: PrefixNode[]
}

function addRow(to: Float64Array, at: number, from: Float64Array, fromAt: number): void {
  for (let column = 0; column < WIDTH; column += 1) {
    const value = from[fromAt + column]!
    if (column !== LARGEST) to[at + column]! += value
    else if (value > to[at + column]!) to[at + column] = value
  }
}

function sumsOf(rows: Float64Array, at: number): PrefixSums {
  const types: [string, number][] = []
  for (let kind = 0; kind < KINDS; kind += 1) {
    const keys = rows[at + BY_KIND + kind]!
    if (keys > 0) types.push([KIND_NAMES[kind]!, keys])
  }
  return {
    keys: rows[at + KEYS]!,
    memory: rows[at + MEMORY]!,
    lastingKeys: rows[at + LASTING_KEYS]!,
    lastingMemory: rows[at + LASTING_MEMORY]!,
    soonKeys: rows[at + SOON_KEYS]!,
    soonMemory: rows[at + SOON_MEMORY]!,
    largest: rows[at + LARGEST]!,
    types: Object.fromEntries(types),
  }
}
