/** The archive of a cluster at a moment, as one dump: for verbs that read a dump's bytes. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { isClusterArchive } from '../../archive/cluster-record.js'
import { makeTemporaryDir } from '../../disk/temporary-dir.js'
import type { Source } from '../../source/classify.js'
import type { OpenKeysOptions } from '../keys/open.js'
import { exportKeys } from './run.js'

export interface ClusterDump {
  readonly source: { readonly kind: 'file'; readonly path: string }
  readonly keys: number
  remove(): void
}

/** Undefined: it is something else. Rejects as `exportKeys` does. */
export async function dumpOfClusterArchive(
  source: Source,
  options: Pick<OpenKeysOptions, 'until' | 'withServer' | 'signal' | 'onEvent'>,
): Promise<ClusterDump | undefined> {
  if (source.kind !== 'directory' || !isClusterArchive(source.path)) return undefined
  const directory = makeTemporaryDir('rrep-cluster-')
  const remove = (): void => rmSync(directory, { recursive: true, force: true })
  try {
    const path = join(directory, 'cluster.rdb')
    const { until, withServer, signal, onEvent } = options
    const written = { output: path, format: 'rdb', until, withServer, signal, onEvent } as const
    const { keysWritten: keys } = await exportKeys(source, written)
    return { source: { kind: 'file', path }, keys, remove }
  } catch (error) {
    remove()
    throw error
  }
}
