/**
 * Nodes of a stream from their entries: as they were, each with its id, but for what became of fields and
 * values, and without what was deleted from them. Types of node are read by types/stream-node.ts.
 */
import { Buffer } from 'node:buffer'
import type { BacklenHabit } from '../../servers/capabilities.js'
import { MutableStreamId, u64ToBigInt } from '../values/u64.js'
import type { Slice, StreamId } from '../visitor.js'
import { ListpackWriter } from './listpack-writer.js'

const SAME_FIELDS = 2n
/** Flags and what is added to both halves of the id. */
const ITEM_HEAD = 3

export class StreamNodes {
  /** Of the node at hand. */
  readonly masterId = new MutableStreamId()
  #entries = 0
  #masterFields: readonly Buffer[] = []
  #fieldsLeft = 0
  #fields: Buffer[] = []
  #values: Buffer[] = []
  readonly #id = new MutableStreamId()
  readonly #items: ListpackWriter
  readonly #node: ListpackWriter

  constructor(backlen: BacklenHabit) {
    this.#items = new ListpackWriter(backlen)
    this.#node = new ListpackWriter(backlen)
  }

  begin(masterId: StreamId): void {
    this.masterId.copyFrom(masterId)
    this.#entries = 0
    this.#masterFields = []
    this.#items.clear()
  }

  entry(id: StreamId, fieldCount: number): void {
    this.#id.copyFrom(id)
    this.#fieldsLeft = fieldCount
    this.#fields = []
    this.#values = []
    if (fieldCount === 0) this.#endEntry()
  }

  field(field: Slice, value: Slice): void {
    this.#fields.push(copyOf(field))
    this.#values.push(copyOf(value))
    this.#fieldsLeft -= 1
    if (this.#fieldsLeft === 0) this.#endEntry()
  }

  /** The listpack; valid until the next begins. */
  end(): Buffer {
    const node = this.#node
    node.clear()
    node.integer(BigInt(this.#entries))
    // None is there that was deleted.
    node.integer(0n)
    node.integer(BigInt(this.#masterFields.length))
    for (const field of this.#masterFields) node.text(field)
    node.integer(0n)
    node.append(this.#items)
    return node.finish()
  }

  #endEntry(): void {
    const items = this.#items
    if (this.#entries === 0) this.#masterFields = this.#fields
    const count = this.#fields.length
    const isSame =
      count === this.#masterFields.length &&
      this.#fields.every((field, index) => field.equals(this.#masterFields[index]!))
    items.integer(isSame ? SAME_FIELDS : 0n)
    items.integer(difference(this.#id.ms, this.masterId.ms))
    items.integer(difference(this.#id.seq, this.masterId.seq))
    if (!isSame) items.integer(BigInt(count))
    for (const [index, value] of this.#values.entries()) {
      if (!isSame) items.text(this.#fields[index]!)
      items.text(value)
    }
    items.integer(BigInt(ITEM_HEAD + (isSame ? count : 1 + 2 * count)))
    this.#entries += 1
  }
}

function difference(a: StreamId['ms'], b: StreamId['ms']): bigint {
  return BigInt.asIntN(64, u64ToBigInt(a) - u64ToBigInt(b))
}

function copyOf({ bytes, start, end }: Slice): Buffer {
  return Buffer.from(bytes.subarray(start, end))
}
