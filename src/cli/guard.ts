/**
 * What may leave for a terminal. Errors, names in files and answers of servers hold whatever their
 * makers liked: escape sequences that drive a terminal, characters that turn a line around, line
 * breaks that forge another line. All text of the command line passes here, so that nobody who
 * writes a message has to think of it.
 */
import { Writable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'
import { unicodeEscape } from '../bytes/key-text.js'

export { jsonLine } from '../bytes/key-text.js'

/** Controls, format characters (bidi, zero width), surrogates, private use, line separators. */
const UNSAFE = /[\p{C}\p{Zl}\p{Zp}]/gu
const ESC = String.fromCharCode(27)
/** The same, or a colour: it may be one that rrep itself put in. */
const UNSAFE_IN_TEXT = new RegExp(`${ESC}\\[[0-9]{1,2}m|[\\p{C}\\p{Zl}\\p{Zp}]`, 'gu')
const OUR_COLOURS = new Set(['1', '2', '22', '31', '32', '33', '35', '36', '39'])

/** One line: nothing in it breaks the line or is more than a character. */
export function safeLine(text: string): string {
  return text.replace(UNSAFE, hexEscape)
}

/** Lines of our own making, with line breaks and, where `colours`, with our own colours. */
export function safeText(text: string, colours: boolean, escape = hexEscape): string {
  return text.replace(UNSAFE_IN_TEXT, (found) => {
    if (found === '\n' || found === '\t') return found
    if (found.length === 1 || !found.startsWith(ESC)) return escape(found)
    if (colours && OUR_COLOURS.has(found.slice(2, -1))) return found
    return escape(found[0]!) + found.slice(1)
  })
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
