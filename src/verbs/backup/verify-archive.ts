/** Is a shipped archive whole? Every base and every command of it is read where it lies. */
import { APPEND_DIR } from '../../archive/layout.js'
import { AofParser } from '../../aof/aof-parser.js'
import { AbortedError, AofError, FileError, RrepError } from '../../errors.js'
import { findArchive } from '../../repository/catalogue.js'
import type { ArchiveSpan } from '../../repository/archives.js'
import type { Proof } from '../../repository/proof.js'
import type { StoredObject } from '../../storage/store.js'
import type { Until } from '../../archive/moment.js'
import { readDump } from './files.js'
import { proveArchive } from './prove-archive.js'
import type { VerifyOptions } from './verify.js'

export interface VerifyArchiveOptions extends VerifyOptions {
  /** With `prove`: the moment. Default: a random second of what it covers. */
  until?: Until
  /** 0…1, below 1: what chooses it. Default: `Math.random`. */
  random?: (() => number) | undefined
}

export interface VerifyArchiveResult {
  name: string
  id: string
  directory: string
  windows: readonly ArchiveSpan[]
  bases: number
  increments: number
  /** Of the bases. */
  keys: number
  commands: number
  proof: Proof | undefined
}

/** `REPO@archive` and the like. Rejects with RdbError and AofError (it is not whole), TargetError
 * ERR_NOT_PROVEN, FileError, UsageError, AbortedError. */
export async function verifyArchive(
  selector: string,
  options: VerifyArchiveOptions = {},
): Promise<VerifyArchiveResult> {
  const { until, signal } = options
  const archive = await findArchive(selector, { signal, until })
  if (archive === undefined) {
    throw new FileError('ERR_NO_BACKUP', `${selector} is no archive that has been shipped`)
  }
  const { store, path, sidecar } = archive
  const result: VerifyArchiveResult = {
    name: archive.name,
    id: archive.id,
    directory: archive.directory,
    windows: archive.windows,
    bases: 0,
    increments: 0,
    keys: 0,
    commands: 0,
    proof: undefined,
  }
  const last = sidecar.timeline.findLast(({ kind }) => kind === 'incr')
  for (const entry of sidecar.timeline) {
    if (entry.kind === 'gap') continue
    const object = await store.open([...path, APPEND_DIR, entry.file])
    if (entry.kind === 'base') {
      result.keys += (await readDump(object, { signal }, options.onProgress)).keys
      result.bases += 1
    } else {
      result.commands += await readCommands(object, entry === last, options)
      result.increments += 1
    }
  }
  if (options.prove === true) result.proof = await proveArchive(archive, options)
  return result
}

/** How many. The last file may end in the middle of a command: the rest is still on its way. */
async function readCommands(
  { name, stream, sizeBytes }: StoredObject,
  isLast: boolean,
  { signal, onProgress }: VerifyOptions,
): Promise<number> {
  let commands = 0
  let done = 0
  const parser = new AofParser({ command: () => (commands += 1) }, { file: name })
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      if (signal?.aborted === true) throw new AbortedError()
      parser.push(chunk)
      done += chunk.length
      onProgress?.({ phase: 'check', done, total: sizeBytes, unit: 'bytes' })
    }
  } catch (error) {
    if (error instanceof RrepError) throw error
    throw new FileError('ERR_CANNOT_READ', `cannot read ${name}: ${String(error)}`, {
      cause: error,
    })
  } finally {
    stream.destroy()
  }
  const end = parser.end()
  if (end.complete || isLast) return commands
  throw new AofError(
    'ERR_AOF_TRUNCATED',
    { file: name, byteOffset: end.endByteOffset, reading: end.reading },
    'the file stops short, and is not the last one',
  )
}
