/**
 * Prefixes that keys of both sides are counted for, while the tree of them still changes: a node has
 * a mark for as long as it lives, and where it becomes part of another, its mark leads there. So a
 * key's mark says at the end which prefix it belongs to.
 */
import { Buffer } from 'node:buffer'
import { PrefixTree, type NodeColumns, type PrefixOptions, type RowMarks } from '../prefix-tree.js'
import type { StringBatch } from '../../rdb/lane/lane.js'

const MAX_NODES = 32768

class Marks implements NodeColumns {
  /** By node. */
  readonly of = new Uint32Array(MAX_NODES)
  /** By mark: the mark that it leads to; itself where its node lives. */
  leadsTo = new Uint32Array(MAX_NODES)
  /** The root has the first one. */
  #count = 1

  clear(node: number): void {
    const mark = this.#count
    this.#count += 1
    if (mark === this.leadsTo.length) {
      const wider = new Uint32Array(mark * 2)
      wider.set(this.leadsTo)
      this.leadsTo = wider
    }
    this.leadsTo[mark] = mark
    this.of[node] = mark
  }

  merge(from: number, to: number): void {
    this.leadsTo[this.of[from]!] = this.of[to]!
  }

  /** By mark: the node that it stands for now. */
  nodes(outline: readonly { readonly node: number }[]): Int32Array {
    const nodes = new Int32Array(this.#count)
    for (const { node } of outline) nodes[this.of[node]!] = node
    // A mark may lead to an older one or to a newer one: chains are followed to their ends.
    for (let mark = 0; mark < this.#count; mark += 1) {
      let last = mark
      while (this.leadsTo[last] !== last) last = this.leadsTo[last]!
      nodes[mark] = nodes[last]!
      this.leadsTo[mark] = last
    }
    return nodes
  }
}

export interface PrefixPlace {
  readonly node: number
  readonly parent: number
  /** Whole, with the separator at its end; empty for all keys. Merged pieces are `*`. */
  readonly prefix: Buffer
  readonly merged: number
}

export class PrefixMarks {
  readonly #marks = new Marks()
  readonly #tree: PrefixTree
  readonly #separator: Uint8Array
  #rows: { of: Uint32Array; rows: Uint32Array }

  constructor(options: Pick<PrefixOptions, 'separator' | 'depth'>) {
    this.#separator = options.separator ?? Uint8Array.of(0x3a)
    this.#tree = new PrefixTree({
      ...options,
      maxNodes: MAX_NODES,
      columns: this.#marks,
    })
    this.#rows = { of: this.#marks.of, rows: new Uint32Array(0) }
  }

  /** The mark of the key's deepest prefix. */
  add(bytes: Uint8Array, start: number, end: number, memory: number): number {
    return this.#marks.of[this.#tree.add(bytes, start, end, memory)]!
  }

  /** The marks by row; valid until the next call. */
  addRows(batch: StringBatch, memory: Float64Array): Uint32Array {
    if (this.#rows.rows.length < batch.count) {
      this.#rows = { of: this.#marks.of, rows: new Uint32Array(batch.count) }
    }
    const marks: RowMarks = this.#rows
    this.#tree.addRows(batch, memory, marks)
    return marks.rows
  }

  /** All prefixes, each behind its parent, and by mark the node that it stands for. */
  finish(): { places: PrefixPlace[]; nodes: Int32Array } {
    const outline = this.#tree.outline()
    const prefixes = new Map<number, { prefix: Buffer; merged: number }>()
    const places = outline.map(({ node, parent, piece, merged }): PrefixPlace => {
      const above = prefixes.get(parent)
      const own =
        above === undefined
          ? { prefix: Buffer.alloc(0), merged }
          : {
              prefix: Buffer.concat([above.prefix, piece, this.#separator]),
              merged: merged + above.merged,
            }
      prefixes.set(node, own)
      return { node, parent, ...own }
    })
    return { places, nodes: this.#marks.nodes(outline) }
  }
}
