/** Do the commands of an append-only file have times? */
import { closeSync, openSync, readSync } from 'node:fs'
import { AofParser } from '../aof/aof-parser.js'
import { errnoOf, fileError } from '../disk/file-error.js'
import { AofError } from '../errors.js'

const READ_BYTES = 64 << 10

/** Reads up to the first `#TS:` line. `empty`: no commands, or a file that is missing or none. */
export function firstTimestamp(path: string): 'some' | 'none' | 'empty' {
  let found = false as boolean
  const parser: AofParser = new AofParser({
    command: () => undefined,
    timestamp: () => {
      found = true
      parser.stop()
    },
  })
  let fd: number
  try {
    fd = openSync(path, 'r')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return 'empty'
    throw fileError(path, 'open', error)
  }
  try {
    const buffer = Buffer.allocUnsafe(READ_BYTES)
    for (let at = 0; !found;) {
      const count = readSync(fd, buffer, 0, READ_BYTES, at)
      if (count === 0) break
      parser.push(buffer, 0, count)
      at += count
    }
  } catch (error) {
    // Whoever reads it for its commands says what is wrong with it.
    if (!(error instanceof AofError)) throw fileError(path, 'read', error)
  } finally {
    closeSync(fd)
  }
  if (found) return 'some'
  return parser.commands === 0 ? 'empty' : 'none'
}
