/**
 * Looks for `REPLCONF GETACK *` in the stream without decoding it, also across two reads. A value
 * that holds the word costs one ACK too many, which harms nobody.
 */

const GETACK = Buffer.from('\r\nGETACK\r\n')
const SEAM_BYTES = GETACK.length - 1

export class GetAckWatch {
  /** The last bytes of what came before. */
  #tail: Buffer = Buffer.alloc(0)

  /** True where the request ends in these bytes. */
  sees(bytes: Buffer, start: number, end: number): boolean {
    const region = bytes.subarray(start, end)
    const across =
      this.#tail.length > 0 &&
      Buffer.concat([this.#tail, region.subarray(0, SEAM_BYTES)]).includes(GETACK)
    const found = across || region.includes(GETACK)
    // Behind a find nothing is kept: it must not be found twice.
    if (found) this.#tail = Buffer.alloc(0)
    else if (region.length >= SEAM_BYTES) this.#tail = Buffer.from(region.subarray(-SEAM_BYTES))
    else this.#tail = Buffer.concat([this.#tail, region]).subarray(-SEAM_BYTES)
    return found
  }
}
