/**
 * A pipe that can be written without standing still.
 *
 * Node writes to a pipe on its own stdout synchronously: a reader that does not read stops the
 * whole process, and with it the link to a master. Opened anew, without blocking, the same pipe is
 * an ordinary asynchronous stream.
 */
import { constants, fstatSync, openSync } from 'node:fs'
import { Socket } from 'node:net'
import type { Writable } from 'node:stream'

/** The stream to write to in place of `stream`; `stream` itself where it is no pipe. Destroy the
 * answer when done, if it is another one. */
export function withoutBlocking(stream: Writable): Writable {
  const { fd } = stream as { fd?: unknown }
  if (typeof fd !== 'number') return stream
  try {
    if (!fstatSync(fd).isFIFO()) return stream
    const opened = openSync(`/dev/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK)
    return new Socket({ fd: opened, readable: false, writable: true })
  } catch {
    // Not on this system: then it blocks.
    return stream
  }
}
