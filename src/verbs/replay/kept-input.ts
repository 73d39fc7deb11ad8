/** What can be read once only, kept in a file for a replay that reads it twice. */
import { createReadStream, rmSync } from 'node:fs'
import { join } from 'node:path'
import { makeTemporaryDir } from '../../disk/temporary-dir.js'
import { storePipe } from '../../source/stored-pipe.js'
import type { ReplaySource } from './options.js'

export interface KeptInput {
  readonly path: string
  /** What it was read from. */
  readonly name: string
  remove(): void
}

export async function keepInput(
  source: Exclude<ReplaySource, { kind: 'server' | 'directory' }>,
  signal: AbortSignal | undefined,
): Promise<KeptInput> {
  const dir = makeTemporaryDir('rrep-replay-')
  const path = join(dir, 'input')
  const remove = (): void => rmSync(dir, { recursive: true, force: true })
  const input = source.kind === 'stdin' ? source.stream : createReadStream(source.path)
  const name = source.kind === 'stdin' ? 'stdin' : source.path
  try {
    await storePipe(input, path, name, signal)
  } catch (error) {
    remove()
    throw error
  }
  return { path, name, remove }
}
