/**
 * What is no plain file, opened for writing: devices, named pipes, descriptors of this process.
 *
 * A named pipe has to wait until somebody reads it. To open it would hold the whole process up,
 * signals too; opened without blocking it says whether there is a reader, and is asked again.
 */
import { constants, createWriteStream, fstatSync, openSync } from 'node:fs'
import { Socket } from 'node:net'
import type { Writable } from 'node:stream'
import { AbortedError } from '../../errors.js'
import { errnoOf, fileError } from '../file-error.js'
import type { Place } from '../place.js'

const POLL_MS = 25

export interface OpenNode {
  stream: Writable
  /** Where bytes can be written past the stream, waiting for whoever is at the other end. */
  fd: number | undefined
}

/** The stream is its caller's to destroy. Rejects with FileError, or AbortedError while nobody
 * reads the pipe. */
export async function openNode(
  place: Exclude<Place, { kind: 'file' }>,
  name: string,
  options: { neverWaits?: boolean | undefined; signal?: AbortSignal | undefined },
): Promise<OpenNode> {
  try {
    if (place.kind === 'fifo') {
      const fd = await openPipe(place.path, options.signal)
      return { stream: socketOf(fd), fd: undefined }
    }
    if (place.kind === 'descriptor') return openDescriptor(place.fd)
    const fd = openSync(place.path, constants.O_WRONLY)
    const stream = createWriteStream('', { fd })
    return { stream, fd: options.neverWaits === true ? undefined : fd }
  } catch (error) {
    throw error instanceof AbortedError ? error : fileError(name, 'write', error)
  }
}

function openDescriptor(fd: number): OpenNode {
  // Never truncated and never begun anew: another process may be writing to it too.
  if (fstatSync(fd).isFIFO()) {
    const opened = openSync(`/dev/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK)
    return { stream: socketOf(opened), fd: undefined }
  }
  return { stream: createWriteStream('', { fd, autoClose: false }), fd: undefined }
}

async function openPipe(path: string, signal: AbortSignal | undefined): Promise<number> {
  for (;;) {
    if (signal?.aborted === true) throw new AbortedError()
    try {
      return openSync(path, constants.O_WRONLY | constants.O_NONBLOCK)
    } catch (error) {
      // Nobody has opened it for reading.
      if (errnoOf(error) !== 'ENXIO') throw error
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

/**
 * A pipe that can be written without standing still: the stream to write to in place of `stream`;
 * `stream` itself where it is no pipe. Destroy the answer when done, if it is another one.
 *
 * Node writes to a pipe on its own stdout synchronously: a reader that does not read stops the
 * whole process, and with it the link to a master. Opened anew, without blocking, the same pipe is
 * an ordinary asynchronous stream.
 */
export function withoutBlocking(stream: Writable): Writable {
  const { fd } = stream as { fd?: unknown }
  if (typeof fd !== 'number') return stream
  try {
    if (!fstatSync(fd).isFIFO()) return stream
    return socketOf(openSync(`/dev/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK))
  } catch {
    // Not on this system: then it blocks.
    return stream
  }
}

function socketOf(fd: number): Socket {
  return new Socket({ fd, readable: false, writable: true })
}
