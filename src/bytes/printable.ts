/**
 * Bytes made safe to show. Keys and values are hostile: they may hold escape sequences that
 * drive a terminal, characters that turn the line around, or no text at all. Whatever rrep
 * prints for people, in tables, logs or errors, goes through one of these two.
 */
import { Buffer } from 'node:buffer'

const HEX = '0123456789abcdef'
/** Controls, format characters (bidi, zero width), surrogates, private use, line separators. */
const UNSAFE = /[\p{C}\p{Zl}\p{Zp}\\]/gu

/**
 * Text for people: valid UTF-8 stays as it is, all else becomes `\xHH` (`\n`, `\r`, `\t`, `\\`
 * where these exist). The result holds no control character and no line break.
 *
 * @param maxChars cut behind so many characters, with `…` at the end
 */
export function printable(
  bytes: Uint8Array,
  start = 0,
  end = bytes.length,
  maxChars = Number.POSITIVE_INFINITY,
): string {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start)
  // Four bytes are the longest character of UTF-8; a cut through one is shown as bytes.
  const shown = view.length > maxChars * 4 ? view.subarray(0, maxChars * 4) : view
  const text = shown.toString('utf8')
  const safe = text.includes('\ufffd') ? escapeInvalid(shown) : text.replace(UNSAFE, escapeChar)
  if (safe.length <= maxChars && shown.length === view.length) return safe
  return `${Array.from(safe)
    .slice(0, Math.max(0, maxChars - 1))
    .join('')}…`
}

/** A name as `printable` shows it, back to its bytes. A shell that passes raw bytes is right too. */
export function bytesOfPrintable(name: string): Buffer {
  if (!name.includes('\\')) return Buffer.from(name === '""' ? '' : name, 'utf8')
  const parts = name.split(/(\\x[0-9a-f]{2}|\\[nrtab\\])/i).map((part, index) => {
    if (index % 2 === 0) return Buffer.from(part, 'utf8')
    const letter = part[1]!.toLowerCase()
    if (letter === 'x') return Buffer.from(part.slice(2), 'hex')
    return Buffer.from({ n: '\n', r: '\r', t: '\t', a: '\x07', b: '\b' }[letter] ?? '\\', 'latin1')
  })
  return Buffer.concat(parts)
}

/**
 * Text quoted as MONITOR quotes an argument (`sdscatrepr` of redis): double quotes around,
 * `\\ \" \n \r \t \a \b`, and `\xHH` for each byte that is not printable ASCII. Lossless.
 */
export function quoteBytes(bytes: Uint8Array, start = 0, end = bytes.length): string {
  let text = '"'
  for (let at = start; at < end; at += 1) text += quoteByte(bytes[at]!)
  return `${text}"`
}

function quoteByte(byte: number): string {
  switch (byte) {
    case 0x5c:
      return '\\\\'
    case 0x22:
      return '\\"'
    case 0x0a:
      return '\\n'
    case 0x0d:
      return '\\r'
    case 0x09:
      return '\\t'
    case 0x07:
      return '\\a'
    case 0x08:
      return '\\b'
    default:
      return byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : hexByte(byte)
  }
}

function hexByte(byte: number): string {
  return `\\x${HEX[byte >> 4]!}${HEX[byte & 15]!}`
}

function escapeChar(char: string): string {
  if (char === '\\') return '\\\\'
  if (char === '\n') return '\\n'
  if (char === '\r') return '\\r'
  if (char === '\t') return '\\t'
  let text = ''
  for (const byte of Buffer.from(char, 'utf8')) text += hexByte(byte)
  return text
}

/** Not (or perhaps not) UTF-8: shown byte by byte, so that different bytes look different. */
function escapeInvalid(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) text += byte === 0x22 ? '"' : quoteByte(byte)
  return text
}
