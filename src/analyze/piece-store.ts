/** The names of a prefix tree's nodes, one behind the other in one buffer. Rows are nodes. */
import { Buffer } from 'node:buffer'

export class PieceStore {
  bytes = Buffer.allocUnsafeSlow(1 << 16)
  readonly start: Int32Array
  readonly length: Int32Array
  #end = 0

  constructor(rows: number) {
    this.start = new Int32Array(rows)
    this.length = new Int32Array(rows)
  }

  /** Of bytes[start, start + length). `live`: the nodes whose names must last. */
  set(
    node: number,
    bytes: Uint8Array,
    start: number,
    length: number,
    live: () => Iterable<number>,
  ): void {
    if (this.#end + length > this.bytes.length) this.#compact([...live()], length)
    this.bytes.set(bytes.subarray(start, start + length), this.#end)
    this.start[node] = this.#end
    this.length[node] = length
    this.#end += length
  }

  of(node: number): Buffer {
    const start = this.start[node]!
    return this.bytes.subarray(start, start + this.length[node]!)
  }

  equals(node: number, bytes: Uint8Array, start: number, length: number): boolean {
    if (this.length[node] !== length) return false
    const own = this.start[node]!
    const pieces = this.bytes
    for (let index = 0; index < length; index += 1) {
      if (pieces[own + index] !== bytes[start + index]) return false
    }
    return true
  }

  /** Pieces of nodes that are gone give their room back; doubles what is still too small. */
  #compact(live: readonly number[], more: number): void {
    let used = more
    for (const node of live) used += this.length[node]!
    const next = Buffer.allocUnsafeSlow(Math.max(this.bytes.length, used * 2))
    let end = 0
    for (const node of live) {
      next.set(this.of(node), end)
      this.start[node] = end
      end += this.length[node]!
    }
    this.bytes = next
    this.#end = end
  }
}
