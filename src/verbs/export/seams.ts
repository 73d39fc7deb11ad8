/** What the begin of a piece has that is not wanted where others were written in front of it. */
import type { ExportTally } from '../threads/options.js'

export interface Seam {
  /** Of commands. */
  readonly commandsLeftOut: number
  /** So many bytes of what a piece begins with are not wanted. */
  leaveOut(bytes: Uint8Array, start: number): number
  /** The next piece stands behind this one. */
  behind(tally: ExportTally): void
  /** The piece at hand is written once more, by one that goes on in `dbnum`: so many bytes of it that were left
   * out will not come again. */
  undo(): number
  /** Of the last piece; undefined: it has none. */
  readonly dbnum: number | undefined
}

const COMMA = 0x2c

/** A comma stands before every key: in an array the first has none. */
export class CommaSeam implements Seam {
  readonly commandsLeftOut = 0
  readonly dbnum = undefined
  #isFirst = true

  leaveOut(bytes: Uint8Array, start: number): number {
    const isLeft = this.#isFirst && bytes[start] === COMMA
    this.#isFirst = false
    return isLeft ? 1 : 0
  }

  behind(): void {
    // One is like another.
  }

  undo(): number {
    return 0
  }
}

/** Each piece selects its db: again where the one before has ended in it. Rows have no such begin. */
export class SelectSeam implements Seam {
  commandsLeftOut = 0
  dbnum: number | undefined
  #select: Uint8Array | undefined
  /** Of the piece at hand. */
  #leftBytes = 0

  leaveOut(bytes: Uint8Array, start: number): number {
    const select = this.#select
    if (select?.every((byte, index) => bytes[start + index] === byte) !== true) return 0
    this.commandsLeftOut += 1
    this.#leftBytes = select.length
    return select.length
  }

  behind({ selectedDb = -1 }: ExportTally): void {
    this.#leftBytes = 0
    if (selectedDb < 0) return
    this.dbnum = selectedDb
    const db = String(selectedDb)
    this.#select = new TextEncoder().encode(`*2\r\n$6\r\nSELECT\r\n$${db.length}\r\n${db}\r\n`)
  }

  undo(): number {
    const bytes = this.#leftBytes
    if (bytes > 0) this.commandsLeftOut -= 1
    this.#leftBytes = 0
    return bytes
  }
}
