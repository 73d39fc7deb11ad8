/** `--threads N`, of commands that read a dump in pieces where that helps. */
import type { Command } from 'commander'
import { UsageError } from '../../errors.js'

/** More than any machine gains by. */
const MOST_THREADS = 64

export interface ThreadsOption {
  threads?: number
}

export function addThreadsOption(command: Command, what: string): void {
  command.option('--threads <n>', `${what} (default 1)`, parseThreads)
}

function parseThreads(text: string): number {
  const threads = /^\d+$/.test(text.trim()) ? Number(text) : 0
  if (threads < 1 || threads > MOST_THREADS) {
    throw new UsageError(`threads are 1 to ${MOST_THREADS}, not ${text}`)
  }
  return threads
}
