/** The process around `main`: real streams, signals, and the one place that sets an exit code. */
import { isatty } from 'node:tty'
import type { Interruption, Io } from './io.js'
import { main } from './main.js'

/** Runs the command line of this process; resolves with its exit code. */
export async function run(): Promise<number> {
  const controller = new AbortController()
  const interrupt = (reason: Interruption): void => controller.abort(reason)
  process.once('SIGINT', () => interrupt('SIGINT'))
  process.once('SIGTERM', () => interrupt('SIGTERM'))
  // A reader that goes away (`| head`) ends the command without noise.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error
      interrupt('EPIPE')
    })
  }
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
    signal: controller.signal,
    onHangup: (callback) => {
      process.on('SIGHUP', callback)
      return () => process.off('SIGHUP', callback)
    },
  }
  return await main(process.argv.slice(2), io)
}
