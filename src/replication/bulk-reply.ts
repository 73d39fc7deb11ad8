/**
 * A bulk string in place of a line of the handshake: what INFO is answered with. Pure.
 *
 *   $412 # Replication role:master …
 */

/** Lists of replicas and modules included, such an answer is some kilobytes. */
export const MAX_BULK_BYTES = 4 << 20

const LF = 10

/** The whole of `bytes[start..end)`, `$` in front, with the place behind it. Undefined while bytes are
 * missing; `line` is undefined where this is no bulk string. */
export function readBulk(
  bytes: Buffer,
  start: number,
  end: number,
): { end: number; line: string | undefined } | undefined {
  const found = bytes.subarray(0, end).indexOf(LF, start)
  if (found < 0) return undefined
  const length = /^\$(\d{1,7})\r?$/.exec(bytes.toString('latin1', start, found))?.[1]
  const behind = found + 1 + Number(length) + 2
  if (length === undefined || Number(length) > MAX_BULK_BYTES) {
    return { end: found + 1, line: undefined }
  }
  if (behind > end) return undefined
  return { end: behind, line: `$${bytes.toString('latin1', found + 1, behind - 2)}` }
}
