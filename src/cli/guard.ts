/**
 * What may leave for a terminal. Errors, names in files and answers of servers hold whatever their
 * makers liked: escape sequences that drive a terminal, characters that turn a line around, line
 * breaks that forge another line. All text of the command line passes here, so that nobody who
 * writes a message has to think of it.
 */
import { Writable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'

/** Controls, format characters (bidi, zero width), surrogates, private use, line separators. */
const UNSAFE = /[\p{C}\p{Zl}\p{Zp}]/gu
/** The same without line break and tab, and with the colours that rrep itself puts in. */
const UNSAFE_IN_TEXT = /\u001b\[(?:[0-9]{1,2})m|[\p{C}\p{Zl}\p{Zp}]/gu
const OUR_COLOURS = new Set(['1', '2', '22', '31', '32', '33', '35', '36', '39'])

/** One line: nothing in it breaks the line or is more than a character. */
export function safeLine(text: string): string {
  return text.replace(UNSAFE, hexEscape)
}

/** Lines of our own making, with line breaks and, where `colours`, with our own colours. */
export function safeText(text: string, colours: boolean, escape = hexEscape): string {
  return text.replace(UNSAFE_IN_TEXT, (found) => {
    if (found === '\n' || found === '\t') return found
    if (found.length === 1 || !found.startsWith('\u001b')) return escape(found)
    if (colours && OUR_COLOURS.has(found.slice(2, -1))) return found
    return escape(found[0]!) + found.slice(1)
  })
}

/** An object as one line of JSON that is safe on a terminal too, and means the same. */
export function jsonLine(value: object): string {
  return `${JSON.stringify(value).replace(UNSAFE, unicodeEscape)}\n`
}

/**
 * Stdout where it is a terminal: data that a pipe gets byte for byte is shown with what drives a
 * terminal escaped; in JSON so that it stays the same JSON.
 */
export class TerminalGuard extends Writable {
  readonly #out: Writable
  readonly #escape: (char: string) => string
  readonly #decoder = new StringDecoder('utf8')

  constructor(out: Writable, isJson: boolean) {
    super()
    this.#out = out
    this.#escape = isJson ? unicodeEscape : hexEscape
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    const text = this.#decoder.write(chunk)
    this.#out.write(safeText(text, true, this.#escape), () => done())
  }
}

function hexEscape(char: string): string {
  if (char === '\n') return '\\n'
  if (char === '\r') return '\\r'
  if (char === '\t') return '\\t'
  let text = ''
  for (const byte of Buffer.from(char, 'utf8')) text += `\\x${byte.toString(16).padStart(2, '0')}`
  return text
}

function unicodeEscape(char: string): string {
  let text = ''
  for (let at = 0; at < char.length; at += 1) {
    text += `\\u${char.charCodeAt(at).toString(16).padStart(4, '0')}`
  }
  return text
}
