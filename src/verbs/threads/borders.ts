/**
 * Cuts a dump into pieces at borders of records, as it is read: a visitor that looks into nothing, and a
 * lane that steps over records by their lengths alone, 5 GB/s of them. What is wrong in a record is for who
 * reads its piece. Where something comes up that a reader of one piece would not know of, no piece ends
 * behind it: the rest is left open.
 */
import type { RdbParser, RdbPlace } from '../../rdb/parser.js'
import type { RdbLane, Stretch } from '../../rdb/lane/lane.js'
import { DEPTH, type Depth, type RdbVisitor, type Slice } from '../../rdb/visitor.js'
import type { Piece } from './options.js'

const AUX = 0xfa
const SCRIPT = 'lua'
/** Large enough that to hand one out costs nothing beside what is done with it. */
export const PIECE_BYTES = 2 << 20

export class Borders implements RdbVisitor {
  readonly lane: RdbLane
  /** Where the record begins that is in no piece yet; undefined before magic and AUX fields are read. */
  open: RdbPlace | undefined
  /** Magic and AUX fields. */
  headBytes = 0
  /** To be set before anything is read. */
  parser!: RdbParser
  #isClosed = false
  readonly #pieceBytes: number
  readonly #onPiece: (piece: Piece) => void

  constructor(onPiece: (piece: Piece) => void, pieceBytes = PIECE_BYTES) {
    this.#onPiece = onPiece
    this.#pieceBytes = pieceBytes
    this.lane = { anyRecords: (stretch, dbnum) => this.#step(stretch, dbnum) }
  }

  /** No further piece ends: what is open stays so. */
  close(): void {
    this.#isClosed = true
  }

  key(): Depth {
    return DEPTH.SKIP
  }

  /** In front of keys they are part of the head; elsewhere readers of other pieces would miss them. A script
   * becomes a command in front of all others. */
  aux(name: Slice): void {
    const isScript = name.bytes.toString('latin1', name.start, name.end) === SCRIPT
    if (this.open !== undefined || isScript) this.close()
  }

  functionLibrary(): void {
    this.#closeBehindKeys()
  }

  functionPreGa(): void {
    this.#closeBehindKeys()
  }

  updateCommand(): void {
    this.close()
  }

  hashTemplate(): void {
    this.close()
  }

  notice(): void {
    this.close()
  }

  /** What becomes commands stands in front of keys. */
  #closeBehindKeys(): void {
    if (this.parser.keysRead > 0) this.close()
  }

  #step(stretch: Stretch, dbnum: number): number {
    const { kernel, start, end } = stretch
    if (this.open === undefined && kernel.memory[start] === AUX) return 0
    this.#pass(dbnum)
    const records = kernel.exports.skipRecords(start, end)
    stretch.takenTo = kernel.exports.skippedTo()
    return records
  }

  /** A record begins here. */
  #pass(dbnum: number): void {
    const { byteOffset, family, version, keysRead } = this.parser
    const { open } = this
    if (open !== undefined) {
      if (this.#isClosed || byteOffset - open.byteOffset < this.#pieceBytes) return
      this.#onPiece({ from: open, to: byteOffset })
    } else {
      this.headBytes = byteOffset
    }
    this.open = { family, version, byteOffset, dbnum, keysRead }
  }
}
