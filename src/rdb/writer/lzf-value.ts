/**
 * A serialised value once more, its long strings and blobs compressed as servers with
 * `rdbcompression yes` do it. What is compressed already, or short, stays byte by byte, and so do types
 * without a row below.
 */
import type { Buffer } from 'node:buffer'
import { RdbInput, STORED } from '../io/input.js'
import { TYPE } from '../numbers.js'
import { MutableU64 } from '../values/u64.js'
import type { KeyHeader } from '../visitor.js'
import { COMPRESSED_FROM_BYTES, type RdbBytes } from './rdb-bytes.js'

/** What an element is made of: STR, LEN, or 8 bytes. */
type Part = 'str' | 'len' | 'eight'

interface Layout {
  /** 8 bytes stand in front. */
  readonly hasTime?: boolean
  /** Elements are counted in front; else there is one. */
  readonly isCounted?: boolean
  readonly element: readonly Part[]
}

const BLOB: Layout = { element: ['str'] }
const STRINGS: Layout = { isCounted: true, element: ['str'] }
const PAIRS: Layout = { isCounted: true, element: ['str', 'str'] }

/** Of streams the nodes, which is where their entries are. */
const BOTH: Readonly<Partial<Record<number, Layout>>> = {
  [TYPE.STRING]: BLOB,
  [TYPE.LIST]: STRINGS,
  [TYPE.SET]: STRINGS,
  [TYPE.HASH]: PAIRS,
  [TYPE.ZSET_2]: { isCounted: true, element: ['str', 'eight'] },
  [TYPE.HASH_ZIPMAP]: BLOB,
  [TYPE.LIST_ZIPLIST]: BLOB,
  [TYPE.SET_INTSET]: BLOB,
  [TYPE.ZSET_ZIPLIST]: BLOB,
  [TYPE.HASH_ZIPLIST]: BLOB,
  [TYPE.LIST_QUICKLIST]: STRINGS,
  [TYPE.STREAM]: PAIRS,
  [TYPE.HASH_LISTPACK]: BLOB,
  [TYPE.ZSET_LISTPACK]: BLOB,
  [TYPE.LIST_QUICKLIST_2]: { isCounted: true, element: ['len', 'str'] },
  [TYPE.STREAM_2]: PAIRS,
  [TYPE.SET_LISTPACK]: BLOB,
  [TYPE.STREAM_3]: PAIRS,
}
const LAYOUTS = {
  redis: {
    ...BOTH,
    [TYPE.HASH_METADATA]: { hasTime: true, isCounted: true, element: ['len', 'str', 'str'] },
    [TYPE.HASH_LISTPACK_EX]: { hasTime: true, element: ['str'] },
    [TYPE.STREAM_4]: PAIRS,
    [TYPE.STREAM_5]: PAIRS,
  },
  valkey: {
    ...BOTH,
    [TYPE.VALKEY_HASH_2]: { isCounted: true, element: ['str', 'str', 'eight'] },
  },
} as const satisfies Record<string, Readonly<Partial<Record<number, Layout>>>>

function layoutOf({ family, typeByte }: KeyHeader): Layout | undefined {
  const layouts: Readonly<Partial<Record<number, Layout>>> = LAYOUTS[family]
  return layouts[typeByte]
}

/** Whether values of this type have strings that can be compressed. */
export function isCompressible(header: KeyHeader): boolean {
  return layoutOf(header) !== undefined
}

export class LzfValues {
  readonly #to: RdbBytes
  readonly #length = new MutableU64()
  // The reader has walked the value: it holds together.
  readonly #input = new RdbInput((message) => new Error(message))

  constructor(to: RdbBytes) {
    this.#to = to
  }

  /** @param value all of it, without its type byte; not in the memory that is written to */
  write(header: KeyHeader, value: Buffer): void {
    const layout = layoutOf(header)
    let copiedTo = 0
    if (layout !== undefined) {
      this.#input.look(value, () => {
        copiedTo = this.#elements(layout, value)
        return false
      })
    }
    this.#to.out.write(value, copiedTo, value.length)
  }

  /** Returns up to where it has written. */
  #elements({ hasTime, isCounted, element }: Layout, value: Buffer): number {
    const input = this.#input
    let copiedTo = 0
    if (hasTime === true) input.skip(8)
    const count = isCounted === true ? input.readLength() : 1
    for (let i = 0; i < count; i += 1) {
      for (const part of element) {
        if (part === 'eight') input.skip(8)
        else if (part === 'len') input.readU64(this.#length)
        else {
          const from = input.pos
          const length = input.skipString(false)
          if (input.stored !== STORED.RAW || length < COMPRESSED_FROM_BYTES) continue
          this.#to.out.write(value, copiedTo, from)
          this.#to.plainString(value, input.pos - length, input.pos)
          copiedTo = input.pos
        }
      }
    }
    return copiedTo
  }
}
