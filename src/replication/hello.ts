/**
 * The answer to HELLO without arguments (6.0+): what kind of server this is, told to every user,
 * whatever its ACL. In RESP2 it is a flat array of names and values, one of them nested:
 *
 *   *14  server redis  version 8.6.3  proto 2  id 12  mode cluster  role master  modules *1 …
 *
 * Pure. The names and values at the top become one line, as other replies of the handshake are
 * one; what is nested is skipped.
 */

/** Such an answer is some hundred bytes; each module adds its path and arguments. */
export const MAX_HELLO_BYTES = 256 << 10

const ASTERISK = 0x2a
const DOLLAR = 0x24
const LF = 10
const CR = 13

/** The whole answer in `bytes[start..end)` as a line, with the place behind it. Undefined while
 * bytes are missing; `line` is undefined where this is no answer to HELLO. */
export function readHello(
  bytes: Buffer,
  start: number,
  end: number,
): { end: number; line: string | undefined } | undefined {
  const fields: string[] = []
  /** Elements still to come, outermost first. */
  const pending: number[] = []
  let at = start
  do {
    const found = bytes.subarray(0, end).indexOf(LF, at)
    if (found < 0) return undefined
    const first = bytes[at]
    const text = bytes.toString('latin1', at + 1, bytes[found - 1] === CR ? found - 1 : found)
    at = found + 1
    if (first === ASTERISK && /^\d{1,4}$/.test(text)) {
      pending.push(Number(text))
    } else {
      let value = text
      if (first === DOLLAR && /^\d{1,6}$/.test(text)) {
        const next = at + Number(text) + 2
        if (next > end) return undefined
        value = bytes.toString('latin1', at, next - 2)
        at = next
      } else if (pending.length === 0) {
        return { end: at, line: undefined }
      }
      if (pending.length === 1) fields.push(value)
      pending[pending.length - 1]! -= 1
    }
    while (pending.at(-1) === 0) {
      pending.pop()
      if (pending.length > 0) pending[pending.length - 1]! -= 1
    }
  } while (pending.length > 0)
  return { end: at, line: `*${fields.join(' ')}` }
}

/** From the line that `readHello` makes: `mode cluster` among the pairs. */
export function isClusterMode(line: string): boolean {
  return / mode cluster(?: |$)/.test(line)
}
