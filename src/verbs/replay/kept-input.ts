/** What can be read once only, kept in a file for a replay that reads it twice. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { makeTemporaryDir } from '../../disk/temporary-dir.js'
import { storePipe, storeSource } from '../../source/stored-pipe.js'
import type { OpenInputOptions } from '../../source/source.js'
import { nameOfSource, type Source } from '../../source/classify.js'
import { UsageError } from '../../errors.js'

export interface KeptInput {
  readonly path: string
  /** What it was read from. */
  readonly name: string
  remove(): void
}

export async function keepInput(
  source: Exclude<Source, { kind: 'server' | 'cluster' | 'directory' }>,
  { stdin, ...options }: OpenInputOptions,
): Promise<KeptInput> {
  const dir = makeTemporaryDir('rrep-replay-')
  const path = join(dir, 'input')
  const remove = (): void => rmSync(dir, { recursive: true, force: true })
  if (source.kind === 'stdin' && stdin === undefined) {
    throw new UsageError('there is no standard input to read')
  }
  const name = nameOfSource(source)
  try {
    if (source.kind === 'stdin') await storePipe(stdin!, path, name, options.signal)
    else await storeSource(source.path, path, name, options)
  } catch (error) {
    remove()
    throw error
  }
  return { path, name, remove }
}
