/** Times in what is read up to a time: are there any? Without one all of it would be read. */
import { closeSync, openSync, readSync } from 'node:fs'
import { AofParser } from '../aof/aof-parser.js'
import { errnoOf, fileError } from '../disk/file-error.js'
import { AofError, MomentError, RdbError } from '../errors.js'
import { rdbMagicOf } from '../rdb/head.js'
import { RdbParser } from '../rdb/parser.js'
import { DEPTH } from '../rdb/visitor.js'
import type { Moment } from './moment.js'

const READ_BYTES = 64 << 10

/**
 * Throws MomentError where a time is asked for, and there are commands in the files and not one
 * `#TS:` line. Reads them up to the first, over an RDB in front.
 *
 * @param name what to call them in the error
 */
export function refuseWithoutTimes(paths: readonly string[], moment: Moment, name: string): void {
  if (moment === 'end' || !('timeMs' in moment)) return
  let hasCommands = false
  for (const path of paths) {
    const found = firstTimestamp(path)
    if (found === 'some') return
    if (found === 'none') hasCommands = true
  }
  if (hasCommands) throw noTimes(name)
}

export function noTimes(name: string, which = 'the commands'): MomentError {
  return new MomentError('no-times', `${which} in ${name} have no times`, {
    hint: 'servers write them with aof-timestamp-enabled yes; an offset can be named instead',
  })
}

/** `empty`: no commands, or a file that is missing or none. */
function firstTimestamp(path: string): 'some' | 'none' | 'empty' {
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
    let preamble: RdbParser | undefined
    for (let at = 0; !found;) {
      const count = readSync(fd, buffer, 0, READ_BYTES, at)
      if (count === 0) break
      let bytes = buffer.subarray(0, count)
      if (at === 0 && rdbMagicOf(bytes) !== undefined) preamble = skipper()
      if (preamble !== undefined) bytes = bytes.subarray(preamble.push(bytes))
      parser.push(bytes)
      at += count
    }
  } catch (error) {
    // Whoever reads it for what it holds says what is wrong with it.
    const isDamage = error instanceof AofError || error instanceof RdbError
    if (!isDamage) throw fileError(path, 'read', error)
  } finally {
    closeSync(fd)
  }
  if (found) return 'some'
  return parser.commands === 0 ? 'empty' : 'none'
}

function skipper(): RdbParser {
  return new RdbParser({ key: () => DEPTH.SKIP }, { checkOnly: true, checksum: 'ignore' })
}
