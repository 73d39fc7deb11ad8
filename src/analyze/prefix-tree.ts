/**
 * Where the memory goes by the names of keys: a tree over the pieces between separators, with keys
 * and bytes below each prefix. `user:1:cart` counts for `user:` and `user:1:` (a key for its own
 * last piece counts nowhere: it is no prefix).
 *
 * Bounded: a prefix with more than `maxChildren` different continuations is most likely followed by
 * an id. Its children are then merged into one, shown as `*` (`user:*:`), and what lies below them
 * is merged by name; those that hold a good part of the prefix' memory stay apart. Counts stay
 * exact, only their names are lost. The same happens, with ever lower limits, when there are more
 * than `maxNodes` prefixes in all. So 100 million keys take no more room than 100,000.
 *
 * Nodes are rows of typed arrays, found by a hash table of (parent, piece): nothing is allocated
 * for a key.
 */
import { Buffer } from 'node:buffer'
import type { StringBatch } from '../rdb/lane/lane.js'
import { PieceStore } from './piece-store.js'

export interface PrefixOptions {
  /** One byte or more. Default `:`. */
  separator?: Uint8Array
  /** How many pieces deep. Default 3. */
  depth?: number
  /** More different continuations of one prefix are merged. Default 1024. */
  maxChildren?: number
  /** Most prefixes kept. Default 32768. */
  maxNodes?: number
  /** What a caller keeps for each node beside its keys and memory, as told by `add`. */
  columns?: NodeColumns | undefined
}

/** Figures by node, of the keys for which `add` returned it. */
export interface NodeColumns {
  /** The node is a new one. */
  clear(node: number): void
  /** `from` is gone: what it had belongs to `to`. */
  merge(from: number, to: number): void
}

/** Where `addRows` notes for each row what is kept `of` its deepest node. */
export interface RowMarks {
  /** By node. */
  readonly of: Uint32Array
  /** By row. */
  readonly rows: Uint32Array
}

export interface PrefixNodeRow {
  readonly node: number
  readonly parent: number
  readonly piece: Uint8Array
  readonly keys: number
  readonly memory: number
  /** Different continuations that became this one; 0: exact. */
  readonly merged: number
}

/** A prefix with its separator at the end; merged pieces are `*`. */
export interface PrefixTotals {
  readonly prefix: Buffer
  readonly depth: number
  readonly keys: number
  readonly memory: number
  /** Different continuations that were merged into this prefix or one before it; 0: exact. */
  readonly merged: number
}

/** What a tree has counted. */
export interface PrefixState {
  readonly ends: readonly {
    readonly pieces: readonly (Uint8Array | undefined)[]
    readonly keys: number
    readonly memory: number
    readonly merged: number
  }[]
  readonly mergedPrefixes: number
}

/** What stands for pieces that were merged. */
const REST = Uint8Array.of(0x2a)
const NONE = -1
const ROOT = 0
const DEFAULT_SEPARATOR = Uint8Array.of(0x3a)
/** A longer piece is data, not a name: the key counts for the prefix before it only. */
const MAX_PIECE_BYTES = 128
/** `StringBatch.separators` tells of so many. */
const MARKED_BYTES = 32
/** On merging, a child with at least this share of its parent's memory keeps its name. */
const KEEP_SHARE = 0.05

export class PrefixTree {
  readonly depth: number
  /** How many different prefixes lost their own row. */
  mergedPrefixes = 0
  readonly #separator: Uint8Array
  readonly #firstSeparatorByte: number
  #maxChildren: number
  readonly #maxNodes: number

  readonly #parent: Int32Array
  readonly #firstChild: Int32Array
  readonly #nextSibling: Int32Array
  readonly #childCount: Int32Array
  /** The child that takes what is not apart, or NONE. */
  readonly #wildcard: Int32Array
  readonly #merged: Float64Array
  /** The child that was found last, or NONE. */
  readonly #recent: Int32Array
  readonly #level: Uint8Array
  readonly #keys: Float64Array
  readonly #memory: Float64Array
  readonly #hash: Int32Array
  readonly #pieces: PieceStore
  readonly #columns: NodeColumns | undefined
  #nodeCount = 1
  #freeNode = NONE
  #liveNodes = 1
  /** Node by hash of (parent, piece); a power of two, at most half full; NONE: free. */
  readonly #slots: Int32Array

  constructor(options: PrefixOptions = {}) {
    this.#separator = options.separator ?? DEFAULT_SEPARATOR
    this.#firstSeparatorByte = this.#separator[0] ?? 0x3a
    this.depth = Math.min(255, options.depth ?? 3)
    this.#maxChildren = options.maxChildren ?? 1024
    this.#maxNodes = Math.max(16, options.maxNodes ?? 32768)
    const rows = this.#maxNodes
    this.#parent = new Int32Array(rows).fill(NONE)
    this.#firstChild = new Int32Array(rows).fill(NONE)
    this.#nextSibling = new Int32Array(rows).fill(NONE)
    this.#childCount = new Int32Array(rows)
    this.#wildcard = new Int32Array(rows).fill(NONE)
    this.#merged = new Float64Array(rows)
    this.#recent = new Int32Array(rows).fill(NONE)
    this.#level = new Uint8Array(rows)
    this.#keys = new Float64Array(rows)
    this.#memory = new Float64Array(rows)
    this.#hash = new Int32Array(rows)
    this.#pieces = new PieceStore(rows)
    this.#columns = options.columns
    this.#slots = new Int32Array(2 ** Math.ceil(Math.log2(rows * 2))).fill(NONE)
  }

  /** Counts the key bytes[start, end) with so many bytes of memory. Returns its deepest node. */
  add(bytes: Uint8Array, start: number, end: number, memoryBytes: number): number {
    // Beforehand: no node of the way down may vanish in the middle of it.
    if (this.#liveNodes + this.depth >= this.#maxNodes) this.#makeRoom()
    const separatorBytes = this.#separator.length
    let node = ROOT
    let from = start
    this.#count(node, 1, memoryBytes)
    for (let level = 0; level < this.depth; level += 1) {
      const at = this.#pieceEnd(bytes, from, end)
      if (at < 0 || at - from > MAX_PIECE_BYTES) return node
      node = this.#next(node, bytes, from, at - from)
      from = at + separatorBytes
      this.#count(node, 1, memoryBytes)
    }
    return node
  }

  /**
   * The same for many, as `StringBatch` has them, with `memory` by row. Neighbours mostly have
   * their prefixes in common: those are counted together.
   */
  addRows(rows: StringBatch, memory: Float64Array, noted?: RowMarks): void {
    const { bytes, count } = rows
    const { depth } = this
    const parent = this.#parent
    const childCount = this.#childCount
    const wildcard = this.#wildcard
    const recent = this.#recent
    const { start: pieceStart, length: pieceLength } = this.#pieces
    let pieces = this.#pieces.bytes
    const isPlain = this.#separator.length === 1
    // The prefix that the last keys had, and what they add up to.
    let last = ROOT
    let keys = 0
    let sum = 0
    // Where the first piece of the key before led; NONE: not known.
    let lastFirst = NONE
    for (let row = 0; row < count; row += 1) {
      const start = rows.keyStart(row)
      const isShort = rows.keyEnd(row) - start <= MARKED_BYTES
      let marks = rows.separators(row)
      let isKnown = isPlain && (isShort || marks !== 0)
      let node = ROOT
      let from = start
      let level = 0
      for (; isKnown && marks !== 0 && level < depth; level += 1) {
        const at = start + 31 - Math.clz32(marks & -marks)
        marks &= marks - 1
        const length = at - from
        if (level === 0 && lastFirst !== NONE && rows.commonBytes(row) > length) {
          // The same piece, and the separator behind it.
          node = lastFirst
          from = at + 1
          continue
        }
        const child = recent[node]!
        // Nodes are used again: it may be another's child by now.
        isKnown = child !== NONE && parent[child] === node
        if (!isKnown) break
        if (wildcard[node] === child) {
          // With nothing beside it, it takes every name.
          isKnown = childCount[node] === 1
        } else if (pieceLength[child] === length) {
          const own = pieceStart[child]!
          let index = 0
          while (index < length && pieces[own + index] === bytes[from + index]) index += 1
          isKnown = index === length
        } else {
          isKnown = false
        }
        node = child
        from = at + 1
        if (level === 0) lastFirst = child
      }
      if (!isKnown || (level < depth && !isShort)) {
        this.#countUp(last, keys, sum)
        last = ROOT
        keys = 0
        sum = 0
        const deepest = this.add(bytes, start, rows.keyEnd(row), memory[row]!)
        if (noted !== undefined) noted.rows[row] = noted.of[deepest]!
        pieces = this.#pieces.bytes
        lastFirst = NONE
        continue
      }
      if (noted !== undefined) noted.rows[row] = noted.of[node]!
      if (level === 0) lastFirst = NONE
      if (node !== last) {
        this.#countUp(last, keys, sum)
        last = node
        keys = 0
        sum = 0
      }
      keys += 1
      sum += memory[row]!
    }
    this.#countUp(last, keys, sum)
  }

  /** Counted at the nodes where keys end, each by the pieces that lead there; `undefined`: merged ones. */
  state(): PrefixState {
    const own = new Map<number, { keys: number; memory: number }>()
    for (const { node, parent, keys, memory } of this.outline()) {
      own.set(node, { keys, memory })
      const above = own.get(parent)
      if (above === undefined) continue
      above.keys -= keys
      above.memory -= memory
    }
    const { mergedPrefixes } = this
    const ends = [...own].map(([node, sums]) => {
      return { ...sums, pieces: this.#way(node), merged: this.#merged[node]! }
    })
    return { ends: ends.filter(({ keys, merged }) => keys > 0 || merged > 0), mergedPrefixes }
  }

  /** What another tree has counted. Where either has merged prefixes, so has this, and which ones are merged
   * may be others than if all had come here. */
  addState({ ends, mergedPrefixes }: PrefixState): void {
    for (const { pieces, keys, memory, merged } of ends) {
      if (this.#liveNodes + this.depth >= this.#maxNodes) this.#makeRoom()
      let node = ROOT
      this.#count(node, keys, memory)
      for (const piece of pieces) {
        node = piece === undefined ? this.#rest(node) : this.#next(node, piece, 0, piece.length)
        this.#count(node, keys, memory)
      }
      this.#merged[node]! += merged
    }
    this.mergedPrefixes += mergedPrefixes
  }

  #way(node: number): (Uint8Array | undefined)[] {
    const way: (Uint8Array | undefined)[] = []
    for (let each = node; each !== ROOT; each = this.#parent[each]!) {
      const isRest = this.#wildcard[this.#parent[each]!] === each
      way.unshift(isRest ? undefined : this.#pieces.of(each))
    }
    return way
  }

  /** The child that takes what is not apart. */
  #rest(parent: number): number {
    let node = this.#wildcard[parent]!
    if (node !== NONE) return node
    node = this.#newNode(parent, 0)
    this.#pieces.set(node, REST, 0, REST.length, () => this.#live())
    this.#wildcard[parent] = node
    return node
  }

  #count(node: number, keys: number, memory: number): void {
    this.#keys[node]! += keys
    this.#memory[node]! += memory
  }

  /** For the node and all above it. */
  #countUp(from: number, keys: number, memory: number): void {
    if (keys === 0) return
    for (let node = from; node !== NONE; node = this.#parent[node]!) this.#count(node, keys, memory)
  }

  /** Where a piece leads from a node. */
  #next(node: number, bytes: Uint8Array, from: number, length: number): number {
    let next = this.#wildcard[node]!
    // With nothing else beside it every name leads there.
    if (next === NONE || this.#childCount[node] !== 1) next = this.#child(node, bytes, from, length)
    this.#recent[node] = next
    return next
  }

  /** The prefixes with most memory, at most `limit`, largest first. */
  largest(limit: number, maxDepth = this.depth): PrefixTotals[] {
    const nodes: number[] = []
    for (const node of this.#live()) if (this.#level[node]! <= maxDepth) nodes.push(node)
    const memory = this.#memory
    const level = this.#level
    const order = (a: number, b: number): number => memory[b]! - memory[a]! || level[a]! - level[b]!
    nodes.sort(order)
    // Of equal ones the first by name: only where that decides are names made.
    const last = nodes[Math.min(limit, nodes.length) - 1]
    const beyond = nodes.findIndex((node) => last === undefined || order(node, last) > 0)
    const among = beyond < 0 ? nodes : nodes.slice(0, beyond)
    const names = new Map(among.map((node) => [node, this.#name(node)]))
    among.sort((a, b) => order(a, b) || Buffer.compare(names.get(a)!, names.get(b)!))
    return among.slice(0, limit).map((node) => this.#totals(node))
  }

  /** All nodes, each behind its parent; the root, which stands for all keys, is 0. */
  outline(): PrefixNodeRow[] {
    const nodes = [ROOT, ...this.#live()].sort((a, b) => this.#level[a]! - this.#level[b]!)
    return nodes.map((node) => ({
      node,
      parent: this.#parent[node]!,
      piece: this.#pieces.of(node),
      keys: this.#keys[node]!,
      memory: this.#memory[node]!,
      merged: this.#merged[node]!,
    }))
  }

  /** Prefixes known at present. */
  get size(): number {
    return this.#liveNodes - 1
  }

  /** With its separators. */
  #name(node: number): Buffer {
    const parts: Uint8Array[] = []
    for (let each = node; each !== ROOT; each = this.#parent[each]!) {
      parts.unshift(this.#pieces.of(each), this.#separator)
    }
    return Buffer.concat(parts)
  }

  #totals(node: number): PrefixTotals {
    let merged = 0
    for (let each = node; each !== ROOT; each = this.#parent[each]!) merged += this.#merged[each]!
    return {
      prefix: this.#name(node),
      depth: this.#level[node]!,
      keys: this.#keys[node]!,
      memory: Math.round(this.#memory[node]!),
      merged,
    }
  }

  #pieceEnd(bytes: Uint8Array, start: number, end: number): number {
    const first = this.#firstSeparatorByte
    for (let at = start; at < end; at += 1) {
      if (bytes[at] === first && this.#separatorAt(bytes, at, end)) return at
    }
    return NONE
  }

  #separatorAt(bytes: Uint8Array, at: number, end: number): boolean {
    const separator = this.#separator
    if (separator.length === 1) return true
    if (at + separator.length > end) return false
    for (let index = 1; index < separator.length; index += 1) {
      if (bytes[at + index] !== separator[index]) return false
    }
    return true
  }

  #child(parent: number, bytes: Uint8Array, start: number, length: number): number {
    const hash = pieceHash(parent, bytes, start, start + length)
    const mask = this.#slots.length - 1
    let slot = hash & mask
    for (let node = this.#slots[slot]!; node !== NONE; node = this.#slots[slot]!) {
      if (
        this.#hash[node] === hash &&
        this.#parent[node] === parent &&
        this.#pieces.equals(node, bytes, start, length)
      ) {
        return node
      }
      slot = (slot + 1) & mask
    }
    const wildcard = this.#wildcard[parent]!
    if (wildcard !== NONE) return wildcard
    if (this.#childCount[parent]! >= this.#maxChildren) {
      this.#mergeChildren(parent)
      return this.#wildcard[parent]!
    }
    const node = this.#newNode(parent, hash)
    this.#pieces.set(node, bytes, start, length, () => this.#live())
    this.#slots[slot] = node
    return node
  }

  #newNode(parent: number, hash: number): number {
    let node = this.#freeNode
    if (node === NONE) {
      node = this.#nodeCount
      this.#nodeCount += 1
    } else {
      this.#freeNode = this.#nextSibling[node]!
    }
    this.#liveNodes += 1
    this.#keys[node] = 0
    this.#memory[node] = 0
    this.#merged[node] = 0
    this.#firstChild[node] = NONE
    this.#childCount[node] = 0
    this.#wildcard[node] = NONE
    this.#recent[node] = NONE
    this.#columns?.clear(node)
    this.#hash[node] = hash
    this.#attach(node, parent)
    return node
  }

  #attach(node: number, parent: number): void {
    this.#parent[node] = parent
    this.#level[node] = this.#level[parent]! + 1
    this.#nextSibling[node] = this.#firstChild[parent]!
    this.#firstChild[parent] = node
    this.#childCount[parent]! += 1
  }

  // ── merging ─────────────────────────────────────────────────────────────────────────────────

  #isLive(node: number): boolean {
    return node === ROOT || this.#parent[node] !== NONE
  }

  *#live(): Generator<number> {
    for (let node = 1; node < this.#nodeCount; node += 1) if (this.#isLive(node)) yield node
  }

  /** Too many prefixes: the widest are merged, until a quarter of the room is free. */
  #makeRoom(): void {
    while (this.#liveNodes > this.#maxNodes * 0.75) {
      this.#maxChildren = Math.max(1, this.#maxChildren >> 1)
      for (let node = 0; node < this.#nodeCount; node += 1) {
        if (this.#isLive(node) && this.#childCount[node]! > this.#maxChildren)
          this.#mergeChildren(node)
      }
      // One child each and still too many: the tree is deep. Nothing more can be merged by width.
      if (this.#maxChildren === 1 && this.#liveNodes > this.#maxNodes * 0.75) this.#cutDeepest()
    }
  }

  /** Removes the deepest level there is: its counts are in the level above. */
  #cutDeepest(): void {
    let deepest = 0
    for (const node of this.#live()) deepest = Math.max(deepest, this.#level[node]!)
    const doomed = [...this.#live()].filter((node) => this.#level[node] === deepest)
    for (const node of doomed) {
      const parent = this.#parent[node]!
      this.#firstChild[parent] = NONE
      this.#childCount[parent] = 0
      this.#wildcard[parent] = NONE
      this.#columns?.merge(node, parent)
      this.#release(node)
      this.mergedPrefixes += 1
    }
    this.#rebuild()
  }

  /** All children of the node but the large ones become one. */
  #mergeChildren(node: number): void {
    const children: number[] = []
    for (let each = this.#firstChild[node]!; each !== NONE; each = this.#nextSibling[each]!) {
      children.push(each)
    }
    children.sort((a, b) => this.#memory[b]! - this.#memory[a]!)
    if (this.#wildcard[node] === NONE) this.#makeWildcard(children.at(-1)!)
    const target = this.#wildcard[node]!
    const keepFrom = this.#memory[node]! * KEEP_SHARE
    this.#firstChild[node] = NONE
    this.#childCount[node] = 0
    for (const child of children) {
      if (child === target || this.#memory[child]! >= keepFrom) this.#attach(child, node)
      else this.#mergeInto(child, target)
    }
    this.#rebuild()
  }

  /** From now on this node stands for all continuations of its parent that have no own one. */
  #makeWildcard(node: number): void {
    this.#pieces.set(node, REST, 0, REST.length, () => this.#live())
    this.#wildcard[this.#parent[node]!] = node
    this.#merged[node]! += 1
    this.mergedPrefixes += 1
  }

  /** Adds `from` and everything below it to `to`; `from` is gone afterwards. */
  #mergeInto(from: number, to: number): void {
    this.#keys[to]! += this.#keys[from]!
    this.#memory[to]! += this.#memory[from]!
    this.#columns?.merge(from, to)
    this.#merged[to]! += 1 + this.#merged[from]!
    this.mergedPrefixes += 1
    let child = this.#firstChild[from]!
    while (child !== NONE) {
      const next = this.#nextSibling[child]!
      const twin = this.#wildcard[from] === child ? this.#wildcard[to]! : this.#twin(to, child)
      if (twin !== NONE) {
        this.#mergeInto(child, twin)
      } else if (this.#wildcard[to] !== NONE && this.#wildcard[from] !== child) {
        this.#mergeInto(child, this.#wildcard[to]!)
      } else {
        const isWildcard = this.#wildcard[from] === child
        this.#attach(child, to)
        if (isWildcard) this.#wildcard[to] = child
        else if (this.#childCount[to]! >= this.#maxChildren) this.#makeWildcard(child)
      }
      child = next
    }
    this.#release(from)
  }

  #twin(parent: number, child: number): number {
    const { bytes, start: starts, length: lengths } = this.#pieces
    const start = starts[child]!
    const length = lengths[child]!
    for (let each = this.#firstChild[parent]!; each !== NONE; each = this.#nextSibling[each]!) {
      if (each !== this.#wildcard[parent] && this.#pieces.equals(each, bytes, start, length)) {
        return each
      }
    }
    return NONE
  }

  #release(node: number): void {
    this.#parent[node] = NONE
    this.#nextSibling[node] = this.#freeNode
    this.#freeNode = node
    this.#liveNodes -= 1
  }

  /** Hashes depend on the parent, and rows have moved: the table is filled anew. */
  #rebuild(): void {
    this.#slots.fill(NONE)
    const mask = this.#slots.length - 1
    for (const node of this.#live()) {
      const parent = this.#parent[node]!
      if (this.#wildcard[parent] === node) continue
      const piece = this.#pieces.of(node)
      const hash = pieceHash(parent, piece, 0, piece.length)
      this.#hash[node] = hash
      let slot = hash & mask
      while (this.#slots[slot] !== NONE) slot = (slot + 1) & mask
      this.#slots[slot] = node
    }
  }
}

function pieceHash(parent: number, bytes: Uint8Array, start: number, end: number): number {
  let hash = Math.imul(parent + 1, 0x9e3779b1)
  for (let at = start; at < end; at += 1) hash = Math.imul(hash ^ bytes[at]!, 0x01000193)
  return hash ^ (hash >>> 15)
}
