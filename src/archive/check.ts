/** Is what lies in an archive what was written there? By the hashes in its sidecar. */
import { createReadStream, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { errnoOf, fileError } from '../disk/file-error.js'
import { AbortedError, AofError, RrepError } from '../errors.js'
import { sealOf } from '../storage/sealed-json.js'
import { HashCheck } from './file-hash.js'
import { directoryOf, readClusterRecord } from './cluster-record.js'
import { SIDECAR } from './layout.js'
import { findManifest } from './manifest-set.js'
import { parseSidecar } from './sidecar.js'

const READ_BYTES = 1 << 20
const ATTEMPTS = 3
const AGAIN_MS = 300

export interface CheckedIncrements {
  /** They are what was written. */
  hashed: number
  /** The one being written, those whose writer was killed at their end, and those of an older version. */
  unhashed: number
}

export interface CheckOptions {
  /** Names; default: all of them. */
  only?: ReadonlySet<string> | undefined
  signal?: AbortSignal | undefined
}

/** Of an archive, or of those of a cluster. Rejects with AofError (another hash), FileError, AbortedError. */
export async function checkIncrements(
  path: string,
  options: CheckOptions = {},
): Promise<CheckedIncrements> {
  const shards = readClusterRecord(path)?.shards.map(({ id }) => join(path, directoryOf(id)))
  const found: CheckedIncrements = { hashed: 0, unhashed: 0 }
  for (const each of shards ?? [path]) {
    const { hashed, unhashed } = await checkArchive(dirname(findManifest(each)), options)
    found.hashed += hashed
    found.unhashed += unhashed
  }
  return found
}

/** Nothing is counted where there is no sidecar: it is a server's own. */
async function checkArchive(dir: string, options: CheckOptions): Promise<CheckedIncrements> {
  for (let attempt = 1; ; attempt += 1) {
    const text = textOf(join(dir, SIDECAR))
    if (text === undefined) return { hashed: 0, unhashed: 0 }
    try {
      return await compare(dir, text, options)
    } catch (error) {
      // In a copy that is shipped just now files are replaced before the sidecar is.
      if (!(error instanceof AofError) || attempt === ATTEMPTS) throw error
      await delay(AGAIN_MS)
      if (textOf(join(dir, SIDECAR)) === text) throw error
    }
  }
}

async function compare(
  dir: string,
  text: string,
  { only, signal }: CheckOptions,
): Promise<CheckedIncrements> {
  const found: CheckedIncrements = { hashed: 0, unhashed: 0 }
  const sidecar = parseSidecar(text)
  if (typeof sidecar === 'string' || sealOf(text) === 'broken') {
    const file = join(dir, SIDECAR)
    throw new AofError('ERR_AOF_CORRUPT', { file }, 'the sidecar is not what was written', {
      hint: 'without it the timeline is made again from the manifests and the marks in the increments',
    })
  }
  for (const { kind, ...entry } of sidecar.timeline) {
    if (kind !== 'incr' || !('file' in entry) || only?.has(entry.file) === false) continue
    const hash = sidecar.hashes?.[entry.file]
    if (hash === undefined) found.unhashed += 1
    else {
      const file = join(dir, entry.file)
      await readThrough(file, new HashCheck(file, hash), signal)
      found.hashed += 1
    }
  }
  return found
}

async function readThrough(
  path: string,
  check: HashCheck,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    const chunks = createReadStream(path, { highWaterMark: READ_BYTES })
    for await (const chunk of chunks as AsyncIterable<Buffer>) {
      if (signal?.aborted === true) throw new AbortedError()
      check.push(chunk)
    }
    check.end()
  } catch (error) {
    // Pruned meanwhile: whoever needs it says so.
    if (errnoOf(error) === 'ENOENT') return
    throw error instanceof RrepError ? error : fileError(path, 'read', error)
  }
}

function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw fileError(path, 'read', error)
  }
}
