/**
 * In what pieces a snapshot is handed to who writes it out in another form: what one piece comes to is
 * held in memory before backpressure counts. Large pieces cost less; where values are unpacked to much more
 * than they take in the file, pieces stay small.
 */
import type { OutputBuffer } from './output-buffer.js'

const SMALL_PIECE_BYTES = 128 << 10
export const LARGE_PIECE_BYTES = 256 << 10
/** So many bytes of output for one of the file are usual. */
const USUAL_GROWTH = 3

export class PieceSize {
  /** Of the next piece. */
  bytes = SMALL_PIECE_BYTES
  readonly #out: OutputBuffer
  readonly #largeBytes: number
  #written = 0

  /** @param out where it is written */
  constructor(out: OutputBuffer, largeBytes = LARGE_PIECE_BYTES) {
    this.#largeBytes = largeBytes
    this.#out = out
    this.#written = out.totalBytes
  }

  /** A piece of so many bytes was loaded. */
  loaded(pieceBytes: number): void {
    const written = this.#out.totalBytes
    const isUsual = written - this.#written <= USUAL_GROWTH * pieceBytes
    this.bytes = isUsual ? this.#largeBytes : SMALL_PIECE_BYTES
    this.#written = written
  }
}
