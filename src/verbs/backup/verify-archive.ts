/** Is a shipped archive whole? Every base and every command of it is read where it lies. */
import { setTimeout as delay } from 'node:timers/promises'
import { AofParser } from '../../aof/aof-parser.js'
import { HashCheck } from '../../archive/file-hash.js'
import { APPEND_DIR, beforeName, MANIFEST, SIDECAR } from '../../archive/layout.js'
import { MAX_SIDECAR_BYTES } from '../../archive/shipping.js'
import { parseSidecar, type FileHash, type Sidecar } from '../../archive/sidecar.js'
import { AbortedError, AofError, FileError, InputError, RrepError } from '../../errors.js'
import { damagedSidecar, type ArchiveSpan } from '../../repository/archives.js'
import { findArchive } from '../../repository/catalogue.js'
import { sealOf } from '../../storage/sealed-json.js'
import type { Store, StorePath } from '../../storage/store.js'
import type { Proof } from '../../repository/proof.js'
import type { StoredObject } from '../../storage/store.js'
import type { Until } from '../../archive/moment.js'
import { compareBytes, readDump } from './files.js'
import { proveArchive } from './prove-archive.js'
import type { VerifyOptions } from './verify.js'

const ATTEMPTS = 5
const AGAIN_MS = 300

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
  /** Files that an older version shipped, without a hash: a byte that changed inside of a value of theirs is
   * not found. */
  unhashed: readonly string[]
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
  const { name, id, directory, windows, store, path } = archive
  const result = { name, id, directory, windows, bases: 0, increments: 0, keys: 0, commands: 0 }
  const parts = new StoredParts(store, path)
  const { sidecar, isHashed } = await parts.read()
  const unhashed: string[] = isHashed ? [] : [SIDECAR]
  const last = sidecar.timeline.findLast(({ kind }) => kind === 'incr')
  for (const file of manifestsOf(sidecar)) {
    await parts.check(file, async (hash) => {
      const text = await store.readText([...path, APPEND_DIR, file], MAX_SIDECAR_BYTES)
      const check = new HashCheck(store.pathOf([...path, APPEND_DIR, file]), hash)
      check.push(Buffer.from(text ?? ''))
      check.end()
    })
  }
  for (const entry of sidecar.timeline) {
    if (entry.kind === 'gap') continue
    await parts.check(entry.file, async (hash) => {
      const object = await store.open([...path, APPEND_DIR, entry.file])
      if (entry.kind === 'base') {
        const found = await readDump(object, { signal }, options.onProgress)
        if (hash !== undefined) compareBytes(object.name, found, hash)
        result.keys += found.keys
        result.bases += 1
      } else {
        result.commands += await readCommands(object, hash, entry === last, options)
        result.increments += 1
      }
      if (hash === undefined) unhashed.push(entry.file)
    })
  }
  const proof = options.prove === true ? await proveArchive(archive, options) : undefined
  return { ...result, unhashed, proof }
}

/** What lies in the store, by a sidecar that may be replaced meanwhile: an archive that is shipped grows. */
class StoredParts {
  readonly #store: Store
  readonly #path: StorePath
  #text = ''
  #sidecar!: Sidecar

  constructor(store: Store, path: StorePath) {
    this.#store = store
    this.#path = path
  }

  /** Throws AofError where the sidecar is not what was written. */
  async read(): Promise<{ sidecar: Sidecar; isHashed: boolean }> {
    const path = [...this.#path, APPEND_DIR, SIDECAR]
    const text = (await this.#store.readText(path, MAX_SIDECAR_BYTES)) ?? ''
    const sidecar = parseSidecar(text)
    const seal = sealOf(text)
    if (typeof sidecar === 'string' || seal === 'broken') throw damagedSidecar(this.#store, path)
    this.#text = text
    this.#sidecar = sidecar
    return { sidecar, isHashed: seal === 'whole' }
  }

  /** A file that was replaced behind the sidecar is looked at again, by the next one. */
  async check(file: string, run: (hash: FileHash | undefined) => Promise<void>): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await run(this.#sidecar.hashes?.[file])
        return
      } catch (error) {
        const isOther =
          error instanceof InputError ||
          (error instanceof FileError && error.code === 'ERR_NO_SUCH_FILE')
        if (!isOther || attempt === ATTEMPTS) throw error
        const before = this.#text
        if (attempt > 1) await delay(AGAIN_MS)
        await this.read()
        if (attempt > 1 && this.#text === before) throw error
        const { timeline } = this.#sidecar
        const isNamed = timeline.some((entry) => entry.kind !== 'gap' && entry.file === file)
        if (!isNamed && !manifestsOf(this.#sidecar).includes(file)) return
      }
    }
  }
}

/** Those that have a hash. */
function manifestsOf({ timeline, hashes = {} }: Sidecar): readonly string[] {
  const before = timeline.flatMap((entry) => (entry.kind === 'base' ? [beforeName(entry.seq)] : []))
  return [MANIFEST, ...before].filter((name) => hashes[name] !== undefined)
}

/** How many. The last file may end in the middle of a command: the rest is still on its way. */
async function readCommands(
  { name, stream, sizeBytes }: StoredObject,
  hash: FileHash | undefined,
  isLast: boolean,
  { signal, onProgress }: VerifyOptions,
): Promise<number> {
  let commands = 0
  let done = 0
  const parser = new AofParser({ command: () => (commands += 1) }, { file: name })
  const check = new HashCheck(name, hash)
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      if (signal?.aborted === true) throw new AbortedError()
      check.push(chunk)
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
  check.end()
  const end = parser.end()
  if (end.complete || isLast) return commands
  throw new AofError(
    'ERR_AOF_TRUNCATED',
    { file: name, byteOffset: end.endByteOffset, reading: end.reading },
    'the file stops short, and is not the last one',
  )
}
