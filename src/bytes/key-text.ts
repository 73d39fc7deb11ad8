/** Keys and other bytes of a file as text that may be shown or put into JSON. */
import { Buffer, isUtf8 } from 'node:buffer'
import { printable } from './printable.js'

/** Safe for terminals, tables and logs: printable characters, all else as `\xHH`. */
export function printableText(text: Uint8Array | string, maxChars?: number): string {
  const bytes = typeof text === 'string' ? Buffer.from(text, 'utf8') : text
  return printable(bytes, 0, bytes.length, maxChars)
}

/**
 * A property for JSON: text where the bytes are UTF-8; else a readable form of them and, under
 * `<name>Base64`, the bytes themselves.
 */
export function textOrBase64(name: string, bytes: Buffer): Record<string, string> {
  if (isUtf8(bytes)) return { [name]: bytes.toString('utf8') }
  return { [name]: printable(bytes), [`${name}Base64`]: bytes.toString('base64') }
}

/** Controls, format characters (bidi, zero width), surrogates, private use, line separators. */
const UNSAFE = /[\p{C}\p{Zl}\p{Zp}]/gu

/** An object as one line of JSON that is safe on a terminal too, and means the same. */
export function jsonLine(value: object): string {
  return `${JSON.stringify(value).replace(UNSAFE, unicodeEscape)}\n`
}

/** As JSON writes a character by its number. */
export function unicodeEscape(char: string): string {
  let text = ''
  for (let at = 0; at < char.length; at += 1) {
    text += `\\u${char.charCodeAt(at).toString(16).padStart(4, '0')}`
  }
  return text
}
