/**
 * In what pieces a snapshot is handed to its loader: what one piece comes to as commands is held in
 * memory before backpressure counts. Large pieces cost less; where values are unpacked to much more
 * than they take in the file, pieces stay small.
 */
import type { OutputBuffer } from '../bytes/output-buffer.js'

const SMALL_PIECE_BYTES = 128 << 10
export const LARGE_PIECE_BYTES = 256 << 10
/** So many bytes of commands for one of the file are usual. */
const USUAL_GROWTH = 3

export class PieceSize {
  /** Of the next piece. */
  bytes = SMALL_PIECE_BYTES
  readonly #out: OutputBuffer
  #written = 0

  /** @param out where the loader writes commands */
  constructor(out: OutputBuffer) {
    this.#out = out
    this.#written = out.totalBytes
  }

  /** A piece of so many bytes was loaded. */
  loaded(pieceBytes: number): void {
    const written = this.#out.totalBytes
    const isUsual = written - this.#written <= USUAL_GROWTH * pieceBytes
    this.bytes = isUsual ? LARGE_PIECE_BYTES : SMALL_PIECE_BYTES
    this.#written = written
  }
}
