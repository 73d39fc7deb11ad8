/** The process around `main`: real streams, signals, and what becomes of a stream that fails. */
import { isatty } from 'node:tty'
import { fileError } from '../disk/file-error.js'
import type { FileError } from '../errors.js'
import type { Interruption, Io } from './io.js'
import { main } from './main.js'
import { watchSignals } from './signals.js'

/** Runs the command line of this process; resolves with its exit code. */
export async function run(): Promise<number> {
  const watch = watchSignals(() => {
    if (process.stderr.isTTY) {
      process.stderr.write('rrep: tidying up; once more ends it at once, whatever is left behind\n')
    }
  })
  process.stdout.on('error', (error: NodeJS.ErrnoException) => watch.interrupt(outputEnd(error)))
  // Whoever read the talk went away, or its terminal did: the work goes on.
  process.stderr.on('error', () => undefined)
  const io: Io = {
    // Opened when somebody reads it.
    get stdin() {
      return process.stdin
    },
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    stdinIsTty: isatty(0),
    stdoutIsTty: process.stdout.isTTY,
    stderrIsTty: process.stderr.isTTY,
    // 0: a terminal that does not know.
    columns:
      process.stdout.isTTY && process.stdout.columns > 0 ? process.stdout.columns : undefined,
    signal: watch.signal,
    onHangup: (callback) => watch.onHangup(callback),
  }
  const code = await Promise.race([main(process.argv.slice(2), io), watch.insisted])
  watch.stop()
  return code
}

/** A reader that goes away (`| head`) ends the command without noise; a full disk does not. */
function outputEnd(error: NodeJS.ErrnoException): Interruption | FileError {
  if (error.code === 'EPIPE') return 'EPIPE'
  // The terminal is gone; if its SIGHUP is not for us, as in the background, this is it.
  if (error.code === 'EIO' && process.stdout.isTTY) return 'SIGHUP'
  return fileError('the output', 'write', error)
}
