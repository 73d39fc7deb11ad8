/**
 * Commands as lines: text quoted as MONITOR quotes, JSON, or the bytes as they came.
 *
 * Written byte by byte into one buffer, without an object or a string per command: runs of plain
 * characters are copied, the rest goes through tables. `flush` hands the buffer over.
 */
import { Buffer } from 'node:buffer'
import { base64Encode, base64Room, jsonEscape, jsonEscapeRoom } from '../kernels/json-escape.js'
import { ByteKernel } from '../kernels/kernel.js'
import type { CommandDecoder } from '../resp/decoder.js'

export type CommandFormat = 'text' | 'json' | 'resp'
export type StringForm = 'text' | 'base64'

/** Where a command stands in the stream. */
export interface CommandPlace {
  /** Last stream byte of the command. */
  replOffset: number
  /** -1: not known before the next SELECT. */
  dbnum: number
  /** Reception, unix ms; -1: not known. */
  unixMs: number
  /** Of a cluster: the master it came from. */
  shard?: string | undefined
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const SPACE = 0x20
const LF = 0x0a
const HEX = Buffer.from('0123456789abcdef')
/** Printable ASCII but quote and backslash: the same in text and JSON. */
const PLAIN = new Uint8Array(256)
for (let byte = 0x20; byte < 0x7f; byte++) PLAIN[byte] = 1
PLAIN[QUOTE] = PLAIN[BACKSLASH] = 0
/** Letters behind the backslash, as sdscatrepr of redis has them. */
const ESCAPE = new Uint8Array(256)
for (const [byte, letter] of [
  [QUOTE, '"'],
  [BACKSLASH, '\\'],
  [0x0a, 'n'],
  [0x0d, 'r'],
  [0x09, 't'],
  [0x07, 'a'],
  [0x08, 'b'],
] as const) {
  ESCAPE[byte] = letter.charCodeAt(0)
}

const BUFFER_BYTES = 4 << 20
/** The buffer is handed over above this. */
const FLUSH_BYTES = 1 << 20
/** Arguments above this go through in pieces of this size. */
const PIECE_BYTES = 64 << 10

export class CommandFormatter {
  readonly #format: CommandFormat
  readonly #strings: StringForm
  readonly #emit: (bytes: Buffer, start: number, end: number) => void
  readonly #out: Buffer
  #length = 0
  /** What stands between the offset and the command, made anew when time or db change. */
  #placeMs = -2
  #placeDbnum = -2
  #placeShard: string | undefined
  #beforeOffset: Buffer = Buffer.alloc(0)
  #behindOffset: Buffer = Buffer.alloc(0)

  constructor(
    format: CommandFormat,
    strings: StringForm,
    emit: (bytes: Buffer, start: number, end: number) => void,
  ) {
    this.#format = format
    this.#strings = strings
    this.#emit = emit
    // In the kernel's memory, so that it escapes in place.
    this.#out = new ByteKernel(BUFFER_BYTES).allocate(BUFFER_BYTES)
  }

  /** A whole command. */
  command(command: CommandDecoder, place: CommandPlace): void {
    if (this.#format === 'resp') {
      this.raw(command.bytes, command.start, command.end)
      return
    }
    this.#begin(place)
    const { bytes, args, argc } = command
    const isJson = this.#format === 'json'
    for (let i = 0; i < argc; i++) {
      const start = args[2 * i]!
      const end = args[2 * i + 1]!
      if (isJson) {
        if (i > 0) this.#out[this.#length++] = COMMA
        this.#out[this.#length++] = QUOTE
        this.#jsonString(bytes, start, end)
        this.#out[this.#length++] = QUOTE
      } else {
        this.#out[this.#length++] = SPACE
        if (i === 0 && isWord(bytes, start, end)) this.#copy(bytes, start, end)
        else this.#quoted(bytes, start, end)
      }
    }
    if (isJson) {
      this.#out[this.#length] = 0x5d
      this.#out[this.#length + 1] = 0x7d
      this.#length += 2
    }
    this.#out[this.#length++] = LF
    if (this.#length > FLUSH_BYTES) this.flush()
  }

  /** A command too large to be held: its name and its size. */
  tooLarge(name: Uint8Array, bytes: number, place: CommandPlace): void {
    if (this.#format === 'resp') return
    this.#begin(place)
    if (this.#format === 'json') {
      this.#out[this.#length++] = QUOTE
      this.#jsonString(name, 0, name.length)
      this.#ascii(`"],"notShownBytes":${bytes}}\n`)
    } else {
      this.#out[this.#length++] = SPACE
      this.#quoted(name, 0, name.length)
      this.#ascii(` … (a command of ${bytes} bytes, not shown)\n`)
    }
  }

  /** Bytes as they are. */
  raw(bytes: Uint8Array, start: number, end: number): void {
    for (let from = start; from < end;) {
      const take = Math.min(end - from, FLUSH_BYTES)
      this.#out.set(bytes.subarray(from, from + take), this.#length)
      this.#length += take
      from += take
      if (this.#length > FLUSH_BYTES) this.flush()
    }
  }

  flush(): void {
    if (this.#length > 0) this.#emit(this.#out, 0, this.#length)
    this.#length = 0
  }

  #begin(place: CommandPlace): void {
    const { unixMs, dbnum, shard } = place
    const isElsewhere = dbnum !== this.#placeDbnum || shard !== this.#placeShard
    if (unixMs !== this.#placeMs || isElsewhere) {
      this.#placeMs = unixMs
      this.#placeDbnum = dbnum
      this.#placeShard = shard
      const time = unixMs < 0 ? undefined : new Date(unixMs).toISOString()
      const isJson = this.#format === 'json'
      const db = dbnum >= 0 ? String(dbnum) : isJson ? 'null' : '?'
      const of = isJson ? `"shard":${JSON.stringify(shard)},` : `${shard} `
      const where = shard === undefined ? '' : of
      this.#beforeOffset = Buffer.from(isJson ? `{${where}"offset":` : `${time ?? '-'} ${where}`)
      this.#behindOffset = Buffer.from(
        isJson ? `,"time":${JSON.stringify(time ?? null)},"db":${db},"command":[` : ` db${db}`,
      )
    }
    this.#copy(this.#beforeOffset, 0, this.#beforeOffset.length)
    this.#integer(place.replOffset)
    this.#copy(this.#behindOffset, 0, this.#behindOffset.length)
  }

  #jsonString(bytes: Uint8Array, start: number, end: number): void {
    if (this.#strings === 'base64') {
      if (end - start <= SHORT_BASE64_BYTES) {
        this.#room(base64Room(end - start))
        this.#length = shortBase64(bytes, start, end, this.#out, this.#length)
        return
      }
      // Pieces of whole triples join without padding.
      for (let from = start; from < end;) {
        const take = Math.min(end - from, 3 * (PIECE_BYTES >> 2))
        this.#room(base64Room(take))
        this.#length = base64Encode(bytes, from, from + take, this.#out, this.#length)
        from += take
      }
      return
    }
    if (this.#plain(bytes, start, end)) return
    for (let from = start; from < end;) {
      const to = wholeUtf8(bytes, from, Math.min(end, from + PIECE_BYTES), end)
      this.#room(jsonEscapeRoom(to - from))
      this.#length = jsonEscape(bytes, from, to, this.#out, this.#length)
      from = to
    }
  }

  #quoted(bytes: Uint8Array, start: number, end: number): void {
    this.#out[this.#length++] = QUOTE
    if (!this.#plain(bytes, start, end)) {
      for (let from = start; from < end; from += PIECE_BYTES) {
        this.#escape(bytes, from, Math.min(end, from + PIECE_BYTES))
      }
    }
    this.#out[this.#length++] = QUOTE
  }

  /** Copies bytes that need no escape; false (and nothing copied) if some do. */
  #plain(bytes: Uint8Array, start: number, end: number): boolean {
    if (end - start > PIECE_BYTES) return false
    this.#room(end - start)
    const out = this.#out
    let at = this.#length
    for (let from = start; from < end; from++) {
      const byte = bytes[from]!
      if (PLAIN[byte] === 0) return false
      out[at++] = byte
    }
    this.#length = at
    return true
  }

  #escape(bytes: Uint8Array, start: number, end: number): void {
    this.#room(4 * (end - start))
    const out = this.#out
    let at = this.#length
    for (let from = start; from < end; from++) {
      const byte = bytes[from]!
      if (PLAIN[byte] === 1) {
        out[at++] = byte
        continue
      }
      out[at++] = BACKSLASH
      const letter = ESCAPE[byte]!
      if (letter !== 0) {
        out[at++] = letter
      } else {
        out[at] = 0x78
        out[at + 1] = HEX[byte >> 4]!
        out[at + 2] = HEX[byte & 15]!
        at += 3
      }
    }
    this.#length = at
  }

  #copy(bytes: Uint8Array, start: number, end: number): void {
    const out = this.#out
    let at = this.#length
    for (let from = start; from < end; from++) out[at++] = bytes[from]!
    this.#length = at
  }

  #ascii(text: string): void {
    this.#length += this.#out.write(text, this.#length, 'utf8')
  }

  #integer(value: number): void {
    const out = this.#out
    let digits = 1
    for (let limit = 10; value >= limit; limit *= 10) digits += 1
    const end = this.#length + digits
    let rest = value
    if (value < 0x40000000) {
      for (let at = end - 1; at >= this.#length; at--) {
        const tenth = (rest / 10) | 0
        out[at] = 48 + rest - 10 * tenth
        rest = tenth
      }
    } else {
      for (let at = end - 1; at >= this.#length; at--) {
        const tenth = Math.floor(rest / 10)
        out[at] = 48 + rest - 10 * tenth
        rest = tenth
      }
    }
    this.#length = end
  }

  /** Room for so many bytes and what follows an argument. */
  #room(bytes: number): void {
    if (this.#length + bytes + 256 > BUFFER_BYTES) this.flush()
  }
}

/** Below this a call of anything native costs more than the work. */
const SHORT_BASE64_BYTES = 512
const BASE64 = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/')

function shortBase64(
  bytes: Uint8Array,
  start: number,
  end: number,
  out: Uint8Array,
  outStart: number,
): number {
  let at = outStart
  let from = start
  for (; from + 2 < end; from += 3) {
    const triple = (bytes[from]! << 16) | (bytes[from + 1]! << 8) | bytes[from + 2]!
    out[at] = BASE64[triple >> 18]!
    out[at + 1] = BASE64[(triple >> 12) & 63]!
    out[at + 2] = BASE64[(triple >> 6) & 63]!
    out[at + 3] = BASE64[triple & 63]!
    at += 4
  }
  if (from === end) return at
  const isPair = from + 1 < end
  const rest = (bytes[from]! << 8) | (isPair ? bytes[from + 1]! : 0)
  out[at] = BASE64[rest >> 10]!
  out[at + 1] = BASE64[(rest >> 4) & 63]!
  out[at + 2] = isPair ? BASE64[(rest & 15) << 2]! : 0x3d
  out[at + 3] = 0x3d
  return at + 4
}

/** Letters, digits and `.-_`, not too long: shown without quotes as a command's name. */
function isWord(bytes: Uint8Array, start: number, end: number): boolean {
  if (end === start || end - start > 32) return false
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!
    const lower = byte | 32
    if ((lower < 97 || lower > 122) && (byte < 48 || byte > 57) && byte !== 46 && byte !== 45) {
      if (byte !== 95) return false
    }
  }
  return true
}

/** The last place up to `to` that does not cut a character of UTF-8. */
function wholeUtf8(bytes: Uint8Array, from: number, to: number, end: number): number {
  if (to === end) return to
  for (let at = to; at > to - 4 && at > from; at--) {
    if ((bytes[at]! & 0xc0) !== 0x80) return at
  }
  return to
}
