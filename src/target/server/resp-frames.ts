/**
 * Looks into frames that we wrote ourselves: only when something went wrong with one of them, to
 * name it or to send it again. The bytes are well-formed by construction.
 */
import { printable } from '../../bytes/printable.js'

const LF = 10

/** Where argument `index` of the frame at `at` lies, or undefined if it has fewer. */
export function frameArgument(
  bytes: Uint8Array,
  at: number,
  index: number,
): { start: number; end: number } | undefined {
  let [argc, next] = lineNumber(bytes, at)
  if (index >= argc) return undefined
  for (let i = 0; ; i += 1) {
    let length: number
    ;[length, next] = lineNumber(bytes, next)
    if (i === index) return { start: next, end: next + length }
    next += length + 2
    argc -= 1
  }
}

/** The byte behind the frame at `at`. */
export function frameEnd(bytes: Uint8Array, at: number): number {
  let [argc, next] = lineNumber(bytes, at)
  for (; argc > 0; argc -= 1) {
    let length: number
    ;[length, next] = lineNumber(bytes, next)
    next += length + 2
  }
  return next
}

/** Printable text of an argument, cut at `maxChars`; '' where there is none. */
export function argumentText(bytes: Uint8Array, at: number, index: number, maxChars = 200): string {
  const found = frameArgument(bytes, at, index)
  return found === undefined ? '' : printable(bytes, found.start, found.end, maxChars)
}

/** The number on the line at `at`, behind its first byte, and where the next line begins. */
function lineNumber(bytes: Uint8Array, at: number): [value: number, next: number] {
  let value = 0
  let i = at + 1
  for (; bytes[i] !== LF && i < bytes.length; i += 1) {
    const digit = bytes[i]! - 48
    if (digit >= 0 && digit <= 9) value = value * 10 + digit
  }
  return [value, i + 1]
}
