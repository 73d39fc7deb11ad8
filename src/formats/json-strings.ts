/**
 * The strings of an export: as text or as base64, whole or in parts as the parser hands them out.
 * A part may end inside a character or a base64 group: those bytes wait for the next one.
 */
import { Buffer } from 'node:buffer'
import { characterBoundary, type JsonText } from './json-text.js'
import type { Slice } from '../rdb/visitor.js'

export class JsonStrings {
  readonly #json: JsonText
  readonly #base64: boolean
  readonly #carry = Buffer.alloc(8)
  #carried = 0

  constructor(json: JsonText, base64: boolean) {
    this.#json = json
    this.#base64 = base64
  }

  write(bytes: Uint8Array, start: number, end: number): void {
    if (this.#base64) this.#json.base64(bytes, start, end)
    else this.#json.text(bytes, start, end)
  }

  begin(): void {
    this.#json.begin()
    this.#carried = 0
  }

  part(part: Slice): void {
    const { bytes, end } = part
    let { start } = part
    // Bytes that wait are joined with as many as make them whole.
    while (this.#carried > 0 && start < end) {
      this.#carry[this.#carried++] = bytes[start++]!
      const whole = this.#wholeUnits(this.#carry, 0, this.#carried)
      if (whole === 0 && this.#carried < 4) continue
      const until = whole === 0 ? this.#carried : whole
      this.#writePart(this.#carry, 0, until)
      this.#carry.copyWithin(0, until, this.#carried)
      this.#carried -= until
    }
    if (start === end) return
    const whole = this.#wholeUnits(bytes, start, end)
    this.#writePart(bytes, start, whole)
    this.#carried = bytes.copy(this.#carry, 0, whole, end)
  }

  end(): void {
    this.#writePart(this.#carry, 0, this.#carried)
    this.#carried = 0
    this.#json.end()
  }

  /** How far bytes[start, end) consists of whole characters or groups. */
  #wholeUnits(bytes: Uint8Array, start: number, end: number): number {
    if (this.#base64) return end - ((end - start) % 3)
    return Math.max(start, characterBoundary(bytes, end))
  }

  #writePart(bytes: Uint8Array, start: number, end: number): void {
    if (this.#base64) this.#json.base64Part(bytes, start, end)
    else this.#json.part(bytes, start, end)
  }
}
