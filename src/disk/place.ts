/**
 * What a path leads to, for whoever writes there. Only a plain file is ever replaced. Links are
 * followed, also one that leads to nothing yet; a device or a named pipe is written to.
 */
import { lstatSync, readlinkSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { FileError } from '../errors.js'
import { errnoOf, fileError } from './file-error.js'

export type Place =
  /** Where the file is or will be, behind all links. */
  | { kind: 'file'; path: string }
  | { kind: 'fifo'; path: string }
  | { kind: 'device'; path: string }
  /** One of this process, by a name such as /dev/stdout. */
  | { kind: 'descriptor'; fd: number }

const MAX_LINKS = 40
const OWN_DESCRIPTOR =
  /^\/proc\/(?:self|thread-self|\d+)\/(?:task\/\d+\/)?fd\/(\d+)$|^\/dev\/fd\/(\d+)$/

/** Throws FileError: links in a circle, a socket, a path that cannot be. */
export function placeOf(path: string): Place {
  let at = path
  for (let links = 0; links <= MAX_LINKS; links += 1) {
    const own = OWN_DESCRIPTOR.exec(at)
    if (own !== null) return { kind: 'descriptor', fd: Number(own[1] ?? own[2]) }
    let stat
    try {
      stat = lstatSync(at)
    } catch (error) {
      // What is wrong with its directory shows when the file is made.
      if (errnoOf(error) === 'ENOENT') return { kind: 'file', path: at }
      throw fileError(path, 'write', error)
    }
    if (!stat.isSymbolicLink()) return placeAt(at, stat)
    at = resolve(dirname(at), readlinkSync(at))
  }
  throw fileError(path, 'write', Object.assign(new Error('too many links'), { code: 'ELOOP' }))
}

function placeAt(path: string, stat: NonNullable<ReturnType<typeof lstatSync>>): Place {
  if (stat.isFIFO()) return { kind: 'fifo', path }
  if (stat.isCharacterDevice() || stat.isBlockDevice()) return { kind: 'device', path }
  if (!stat.isSocket()) return { kind: 'file', path }
  throw new FileError('ERR_CANNOT_WRITE', `cannot write ${path}: it is a socket`, {
    hint: 'name a file, or write to - and pipe it to what talks to the socket',
    details: { file: path },
  })
}
