/**
 * Bytes as JSON strings, written straight into an output buffer: as text, or as base64.
 *
 * As text they are what JSON.stringify makes of them read as UTF-8. What is not valid UTF-8 becomes
 * U+FFFD, and such strings are counted (`inexactStrings`): for exact bytes there is base64.
 * Short strings are escaped here, byte by byte; for long ones the call of the kernel pays.
 */
import { KERNEL_SLACK_BYTES, type ByteKernel } from '../kernels/kernel.js'
import type { OutputBuffer } from '../bytes/output-buffer.js'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const SMALL_U = 0x75
const DIGIT_0 = 0x30
const PAD = 0x3d
/** The longest form of one byte: `\u00XX`. */
const MAX_EXPANSION = 6
/** Long strings are written in pieces, so that room for them stays small. */
const PIECE_BYTES = 3 << 12
const LONGEST_CHAR_BYTES = 4
/** From here on copying into the kernel's memory and calling it is the faster way. */
const KERNEL_MIN_BYTES = 48
/** Making a view to copy from costs as much as so many stores. */
const COPY_LOOP_MAX_BYTES = 192

/** U+FFFD in UTF-8. */
const REPLACEMENT = Uint8Array.of(0xef, 0xbf, 0xbd)
const HEX = Uint8Array.from('0123456789abcdef', (char) => char.charCodeAt(0))
const BASE64 = Uint8Array.from(
  'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/',
  (char) => char.charCodeAt(0),
)

/** What a byte needs: 0 nothing, 1 `\u00XX`, 2 a look at the UTF-8 sequence it begins, else the
 * letter of its short escape. */
const PLAIN = 0
const HEX_ESCAPE = 1
const MULTIBYTE = 2
const KIND = kinds()

function kinds(): Uint8Array {
  const table = new Uint8Array(256)
  table.fill(HEX_ESCAPE, 0, 0x20)
  table.fill(MULTIBYTE, 0x80)
  const letters: Record<string, string> = { '\b': 'b', '\t': 't', '\n': 'n', '\f': 'f', '\r': 'r' }
  for (const [char, letter] of Object.entries(letters)) {
    table[char.charCodeAt(0)] = letter.charCodeAt(0)
  }
  table[QUOTE] = QUOTE
  table[BACKSLASH] = BACKSLASH
  return table
}

export class JsonText {
  /** Strings so far that were not valid UTF-8, and are therefore not exact. */
  inexactStrings = 0
  readonly #out: OutputBuffer
  readonly #kernel: ByteKernel
  #invalidPieces = 0

  /** @param kernel the one in whose memory the output buffer lies */
  constructor(out: OutputBuffer, kernel: ByteKernel) {
    this.#out = out
    this.#kernel = kernel
  }

  /** source[start, end) as a JSON string, quotes included. */
  text(source: Uint8Array, start: number, end: number): void {
    if (end - start >= KERNEL_MIN_BYTES) {
      this.begin()
      this.part(source, start, end)
      this.end()
      return
    }
    const out = this.#out
    out.room(2 + MAX_EXPANSION * KERNEL_MIN_BYTES)
    const { bytes } = out
    let at = out.pos
    let from = start
    bytes[at++] = QUOTE
    while (from < end) {
      const byte = source[from]!
      if (KIND[byte] !== PLAIN) break
      bytes[at++] = byte
      from += 1
    }
    out.pos = at
    if (from < end) {
      const before = this.#invalidPieces
      this.#escape(source, from, end)
      if (this.#invalidPieces !== before) this.inexactStrings += 1
    }
    bytes[out.pos++] = QUOTE
  }

  /** A string that comes in parts: `begin`, `part`…, `end`; parts end between characters. */
  begin(): void {
    const out = this.#out
    this.#invalidPieces = 0
    out.room(1)
    out.bytes[out.pos++] = QUOTE
  }

  part(source: Uint8Array, start: number, end: number): void {
    const out = this.#out
    if (end - start < KERNEL_MIN_BYTES) {
      out.room(MAX_EXPANSION * (end - start))
      this.#escape(source, start, end)
      return
    }
    let from = start
    while (from < end) {
      const until = end - from <= PIECE_BYTES ? end : characterBoundary(source, from + PIECE_BYTES)
      this.#escapeByKernel(source, from, until)
      from = until
    }
  }

  end(): void {
    const out = this.#out
    out.room(1)
    out.bytes[out.pos++] = QUOTE
    if (this.#invalidPieces > 0) this.inexactStrings += 1
  }

  /** source[start, end) as a JSON string of standard base64 with padding. */
  base64(source: Uint8Array, start: number, end: number): void {
    this.begin()
    this.base64Part(source, start, end)
    this.end()
  }

  /** All parts but the last are a whole number of groups of three bytes. */
  base64Part(source: Uint8Array, start: number, end: number): void {
    // A whole number of triples a piece: padding stands only at the very end.
    for (let from = start; from < end; from += PIECE_BYTES) {
      this.#base64Piece(source, from, Math.min(end, from + PIECE_BYTES))
    }
  }

  #base64Piece(source: Uint8Array, start: number, end: number): void {
    const out = this.#out
    const kernel = this.#kernel
    const length = end - start
    out.room(base64Length(length) + KERNEL_SLACK_BYTES)
    if (length < KERNEL_MIN_BYTES || out.bytes.buffer !== kernel.memory.buffer) {
      out.pos = encodeBase64(source, start, end, out.bytes, out.pos)
      return
    }
    const address = this.#addressOf(source, start, end)
    out.pos += kernel.exports.base64Encode(address, length, out.bytes.byteOffset + out.pos)
  }

  /** Of the bytes in the memory of the kernel, where they are copied to if they lie elsewhere. */
  #addressOf(source: Uint8Array, start: number, end: number): number {
    const { memory, stagingAddress } = this.#kernel
    if (source.buffer === memory.buffer) return source.byteOffset + start
    if (end - start < COPY_LOOP_MAX_BYTES) {
      let to = stagingAddress
      for (let from = start; from < end; from += 1) memory[to++] = source[from]!
    } else {
      memory.set(source.subarray(start, end), stagingAddress)
    }
    return stagingAddress
  }

  #escapeByKernel(source: Uint8Array, start: number, end: number): void {
    const out = this.#out
    const kernel = this.#kernel
    const length = end - start
    out.room(MAX_EXPANSION * length + KERNEL_SLACK_BYTES)
    if (out.bytes.buffer !== kernel.memory.buffer) {
      // The output buffer has grown out of the kernel's memory, for something that is held.
      this.#escape(source, start, end)
      return
    }
    const address = this.#addressOf(source, start, end)
    const outAddress = out.bytes.byteOffset + out.pos
    // Others use it too.
    const replacedBefore = kernel.exports.jsonReplaced()
    out.pos += kernel.exports.jsonEscape(address, length, outAddress)
    this.#invalidPieces += kernel.exports.jsonReplaced() - replacedBefore
  }

  /** Escapes source[start, end) into room that is there. */
  #escape(source: Uint8Array, start: number, end: number): void {
    const { bytes } = this.#out
    let at = this.#out.pos
    let from = start
    while (from < end) {
      const byte = source[from]!
      const kind = KIND[byte]!
      if (kind === PLAIN) {
        bytes[at++] = byte
        from += 1
      } else if (kind === MULTIBYTE) {
        let length = utf8Length(source, from, end)
        if (length > 0) {
          for (; length > 0; length -= 1) bytes[at++] = source[from++]!
        } else {
          bytes[at] = REPLACEMENT[0]!
          bytes[at + 1] = REPLACEMENT[1]!
          bytes[at + 2] = REPLACEMENT[2]!
          at += 3
          from -= length
          this.#invalidPieces += 1
        }
      } else if (kind === HEX_ESCAPE) {
        at = hexEscape(bytes, at, byte)
        from += 1
      } else {
        bytes[at] = BACKSLASH
        bytes[at + 1] = kind
        at += 2
        from += 1
      }
    }
    this.#out.pos = at
  }
}

function hexEscape(bytes: Uint8Array, at: number, value: number): number {
  bytes[at] = BACKSLASH
  bytes[at + 1] = SMALL_U
  bytes[at + 2] = DIGIT_0
  bytes[at + 3] = DIGIT_0
  bytes[at + 4] = HEX[value >> 4]!
  bytes[at + 5] = HEX[value & 15]!
  return at + 6
}

/**
 * Bytes of the UTF-8 character that begins at `at` with a byte ≥ 0x80; where none does, minus the
 * bytes that one U+FFFD stands for: the longest beginning of a character (Unicode, table 3-8).
 */
function utf8Length(source: Uint8Array, at: number, limit: number): number {
  const lead = source[at]!
  if (lead < 0xc2 || lead > 0xf4) return -1
  const second = at + 1 < limit ? source[at + 1]! : 0
  if ((second & 0xc0) !== 0x80) return -1
  if (lead < 0xe0) return 2
  // Overlong forms, surrogates, and what lies beyond U+10FFFF.
  if (lead === 0xe0 && second < 0xa0) return -1
  if (lead === 0xed && second > 0x9f) return -1
  if (lead === 0xf0 && second < 0x90) return -1
  if (lead === 0xf4 && second > 0x8f) return -1
  if (at + 2 >= limit || (source[at + 2]! & 0xc0) !== 0x80) return -2
  if (lead < 0xf0) return 3
  return at + 3 < limit && (source[at + 3]! & 0xc0) === 0x80 ? 4 : -3
}

/** `at`, or a little before it where it would cut a character in two. */
export function characterBoundary(source: Uint8Array, at: number): number {
  for (let back = 1; back < LONGEST_CHAR_BYTES && back <= at; back += 1) {
    const byte = source[at - back]!
    if ((byte & 0xc0) === 0x80) continue
    return byte >= 0xc2 && utf8Length(source, at - back, at) < 0 ? at - back : at
  }
  return at
}

function base64Length(byteCount: number): number {
  return 4 * Math.ceil(byteCount / 3)
}

function encodeBase64(
  source: Uint8Array,
  start: number,
  end: number,
  bytes: Uint8Array,
  position: number,
): number {
  let at = position
  let from = start
  for (const whole = end - ((end - start) % 3); from < whole; from += 3) {
    const triple = (source[from]! << 16) | (source[from + 1]! << 8) | source[from + 2]!
    bytes[at] = BASE64[triple >> 18]!
    bytes[at + 1] = BASE64[(triple >> 12) & 63]!
    bytes[at + 2] = BASE64[(triple >> 6) & 63]!
    bytes[at + 3] = BASE64[triple & 63]!
    at += 4
  }
  if (from === end) return at
  const first = source[from]!
  const second = from + 1 < end ? source[from + 1]! : 0
  bytes[at] = BASE64[first >> 2]!
  bytes[at + 1] = BASE64[((first & 3) << 4) | (second >> 4)]!
  bytes[at + 2] = from + 1 < end ? BASE64[(second & 15) << 2]! : PAD
  bytes[at + 3] = PAD
  return at + 4
}
