/**
 * A copy of an archive in a store, kept up while the archive grows: what is complete goes up once, what is
 * being written up to its last whole command that is on disk, the sidecar last. So what lies there is at
 * any moment an archive by itself, of the state at the last time. The sidecar there has the hash of each file.
 *
 * What could not be sent is sent with the next attempt; nothing of the archive waits for it.
 */
import { createHash, randomBytes } from 'node:crypto'
import { closeSync, existsSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs'
import { writeFileAtomic } from '../disk/atomic-file.js'
import { errnoOf, fileError } from '../disk/file-error.js'
import { FileError, RrepError } from '../errors.js'
import type { Store, StorePath } from '../storage/store.js'
import { formatManifest } from '../aof/manifest.js'
import { hashFile } from './file-hash.js'
import { APPEND_DIR, beforeName, MANIFEST, SHIPPED_ID, SIDECAR } from './layout.js'
import {
  formatSidecar,
  parseSidecar,
  type FileHash,
  type Sidecar,
  type TimelineEntry,
} from './sidecar.js'
import type { ArchiveStore } from './store.js'
import { generationsOf, manifestOf } from './timeline.js'

const ARCHIVE_ID = /^archive-\d{8}T\d{6}Z-[0-9a-f]{4,}$/
const COPY_BYTES = 1 << 20
export const MAX_SIDECAR_BYTES = 256 << 20

export interface Shipped {
  /** All stream bytes up to this one are there. */
  replOffset: number
  /** And all that came up to this second. */
  unixSeconds: number
}

export function isArchiveId(name: string): boolean {
  return ARCHIVE_ID.test(name)
}

/** The name under which an archive is shipped: made once, kept in it. Throws FileError. */
export function shippedIdOf(archive: ArchiveStore): string {
  const path = archive.path(SHIPPED_ID)
  try {
    const { id } = JSON.parse(readFileSync(path, 'utf8')) as { id?: unknown }
    if (typeof id === 'string' && isArchiveId(id)) return id
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT' && !(error instanceof SyntaxError)) {
      throw fileError(path, 'read', error)
    }
  }
  const time = new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '')
  const id = `archive-${time}-${randomBytes(4).toString('hex')}`
  noteShippedId(archive, id)
  return id
}

/** From now on it is shipped under this name. */
export function noteShippedId(archive: ArchiveStore, id: string): void {
  writeFileAtomic(archive.path(SHIPPED_ID), `${JSON.stringify({ id })}\n`)
}

export class Shipper {
  /** Of the last time that all of it arrived. */
  shipped: Shipped | undefined
  /** What lies there whole, and is named by the sidecar there. */
  arrived: readonly TimelineEntry[] = []
  readonly #archive: ArchiveStore
  readonly #store: Store
  readonly #path: StorePath
  /** Bytes of what is there, by name; undefined: not looked yet. */
  #there: Map<string, number> | undefined
  /** Files that will not grow any more, and are there whole. */
  readonly #complete = new Set<string>()
  /** Of what is there. */
  readonly #hashes = new Map<string, FileHash>()
  #last = ''
  /** The sidecar that this run has put there; two, where nobody knows whether the second one arrived. */
  #sidecars: readonly string[] = []

  /** `path`: the folder of the copy. */
  constructor(archive: ArchiveStore, store: Store, path: StorePath) {
    this.#archive = archive
    this.#store = store
    this.#path = path
  }

  /**
   * Everything that is on disk by the sidecar of now. Resolves with false where nothing is new. Rejects as the
   * store does; then the next attempt goes on.
   */
  async ship(): Promise<boolean> {
    const sidecar = shippable(this.#archive.sidecar)
    if (sidecar.timeline.length === 0) return false
    const state = formatSidecar(sidecar)
    if (state === this.#last) return false
    await this.#checkPlace(sidecar)
    const there = await this.#look(sidecar)
    const { mark } = sidecar
    for (const entry of sidecar.timeline) {
      if (entry.kind === 'gap') continue
      const isOpen = entry.kind === 'incr' && entry.file === mark?.file
      if (!isOpen && this.#complete.has(entry.file)) continue
      const limit = isOpen ? mark.filePosition : undefined
      if (isOpen) this.#complete.delete(entry.file)
      if (isOpen && there.get(entry.file) === limit && this.#last !== '') continue
      if (!(await this.#send(entry, limit))) return await this.#again()
      if (!isOpen) this.#complete.add(entry.file)
    }
    await this.#sendManifests(sidecar)
    // A part that was cut meanwhile is another one than the sidecar says.
    if (!this.#isStill(sidecar)) return await this.#again()
    await this.#putSidecar(formatSidecar(this.#withHashes(sidecar)))
    this.#last = state
    const replOffset = mark?.replOffset ?? endOf(sidecar.timeline)
    this.shipped = { replOffset, unixSeconds: sidecar.unixSeconds }
    await this.#removeOthers(sidecar)
    this.arrived = sidecar.timeline.filter(
      (entry) => entry.kind !== 'gap' && this.#complete.has(entry.file),
    )
    return true
  }

  /** What was complete may have been cut back: it is looked at anew. */
  forget(): void {
    this.#there = undefined
    this.arrived = []
    this.#complete.clear()
    this.#last = ''
  }

  async #putSidecar(text: string): Promise<void> {
    this.#sidecars = [...this.#sidecars.slice(0, 1), text]
    await this.#store.put(this.#in(SIDECAR), text)
    this.#sidecars = [text]
  }

  /**
   * The place may be another one than it was: a disk that is not mounted any more, a copy that somebody removed.
   * It gets a whole copy then; but what was let go here lies there only.
   */
  async #checkPlace({ spooled }: Sidecar): Promise<void> {
    if (this.#sidecars.length === 0) return
    const text = await this.#store.readText(this.#in(SIDECAR), MAX_SIDECAR_BYTES)
    if (text !== undefined && this.#sidecars.includes(text)) return
    if (spooled === undefined) {
      this.forget()
      return
    }
    const place = this.#store.pathOf(this.#in(SIDECAR))
    throw new FileError(
      'ERR_ARCHIVE_DAMAGED',
      `${place} is ${text === undefined ? 'gone' : 'not what this run has put there'}`,
      { hint: 'is the disk mounted? Nothing is let go here until it is back', retriable: true },
    )
  }

  /** The archive was changed under it: from the beginning, with what it is now. */
  async #again(): Promise<boolean> {
    await new Promise((resolve) => setImmediate(resolve))
    return await this.ship()
  }

  /** What an earlier run has sent whole is not sent again: but for the last two increments, which it may have
   * sent while they grew. */
  async #look(sidecar: Sidecar): Promise<Map<string, number>> {
    if (this.#there !== undefined) return this.#there
    await this.#store.tidyFolder([...this.#path, APPEND_DIR])
    const files = await this.#store.files([...this.#path, APPEND_DIR])
    const there = new Map(files.map(({ name, sizeBytes }) => [name, sizeBytes]))
    const known = await this.#knownHashes()
    const entries = sidecar.timeline.filter((entry) => entry.kind !== 'gap')
    const doubtful = new Set(entries.filter(({ kind }) => kind === 'incr').slice(-2))
    this.#keepHashes(known, there)
    for (const entry of entries) {
      if (this.#archive.isAway(entry.file)) {
        if (!there.has(entry.file)) throw this.#missing(entry.file)
        this.#complete.add(entry.file)
        continue
      }
      if (doubtful.has(entry)) continue
      if (there.get(entry.file) !== sizeOf(this.#archive.path(entry.file))) continue
      const hash = known[entry.file] ?? (await hashFile(this.#archive.path(entry.file)))
      this.#complete.add(entry.file)
      if (hash !== undefined) this.#hashes.set(entry.file, hash)
    }
    this.#there = there
    return there
  }

  /** Of what is not here any more. */
  #keepHashes(known: Readonly<Record<string, FileHash>>, there: ReadonlyMap<string, number>): void {
    for (const [name, hash] of Object.entries(known)) {
      const isGone = there.has(name) && !existsSync(this.#archive.path(name))
      if (isGone) this.#hashes.set(name, hash)
    }
  }

  #missing(file: string): FileError {
    return new FileError(
      'ERR_ARCHIVE_DAMAGED',
      `${this.#store.pathOf(this.#in(file))} is gone, and lay nowhere else`,
      {
        hint: `put it back, or begin a new archive: remove ${this.#archive.dir}`,
        details: { file },
      },
    )
  }

  /** What the earlier run has written of them. */
  async #knownHashes(): Promise<Readonly<Record<string, FileHash>>> {
    const text = await this.#store.readText(this.#in(SIDECAR), MAX_SIDECAR_BYTES)
    const parsed = text === undefined ? undefined : parseSidecar(text)
    return typeof parsed === 'object' ? (parsed.hashes ?? {}) : {}
  }

  /** Those of the archive itself are older: what has changed on its disk since is not what was written. */
  #withHashes(sidecar: Sidecar): Sidecar {
    const hashes = Object.fromEntries(
      namesOf(sidecar.timeline).flatMap((name) => {
        const hash = sidecar.hashes?.[name] ?? this.#hashes.get(name)
        return hash === undefined ? [] : [[name, hash]]
      }),
    )
    return { ...sidecar, hashes }
  }

  /** False: it is not there any more, or shorter than the sidecar said. */
  async #send({ file }: { file: string }, limit: number | undefined): Promise<boolean> {
    const path = this.#archive.path(file)
    let fd: number
    try {
      fd = openSync(path, 'r')
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return false
      throw fileError(path, 'read', error)
    }
    try {
      const bytes = limit ?? fstatSync(fd).size
      if (!(await this.#copy(fd, file, bytes))) return false
      this.#there?.set(file, bytes)
      return true
    } finally {
      closeSync(fd)
    }
  }

  async #copy(fd: number, file: string, bytes: number): Promise<boolean> {
    const output = await this.#store.create(this.#in(file), { expectedBytes: bytes })
    const hash = output.digest === undefined ? createHash('sha256') : undefined
    try {
      const buffer = Buffer.allocUnsafe(Math.min(COPY_BYTES, Math.max(bytes, 1)))
      for (let at = 0; at < bytes;) {
        const count = readSync(fd, buffer, 0, Math.min(buffer.length, bytes - at), at)
        if (count === 0) {
          output.discard()
          return false
        }
        hash?.update(buffer.subarray(0, count))
        output.write(buffer, 0, count)
        at += count
        await output.drain()
      }
      await output.finish()
      const sha256 = hash?.digest('hex') ?? output.digest!.sha256
      this.#hashes.set(file, { bytes, sha256 })
      return true
    } catch (error) {
      output.discard()
      throw error instanceof RrepError ? error : fileError(this.#archive.path(file), 'read', error)
    }
  }

  async #sendManifests({ timeline }: Sidecar): Promise<void> {
    for (const entry of timeline) {
      if (entry.kind !== 'base') continue
      const name = beforeName(entry.seq)
      const path = this.#archive.path(name)
      if (this.#complete.has(name) || !existsSync(path)) continue
      await this.#putText(name, readFileSync(path, 'utf8'))
      this.#complete.add(name)
    }
    const manifest = formatManifest(manifestOf(generationsOf(timeline).at(-1)))
    await this.#putText(MANIFEST, manifest)
  }

  async #putText(name: string, text: string): Promise<void> {
    await this.#store.put(this.#in(name), text)
    const sha256 = createHash('sha256').update(text).digest('hex')
    this.#hashes.set(name, { bytes: Buffer.byteLength(text), sha256 })
  }

  /** Nothing that was sent has become another thing since: the open part still is, or it ended no earlier. */
  #isStill({ timeline, mark }: Sidecar): boolean {
    if (mark === undefined) return true
    const now = this.#archive.timeline.find(
      (entry) => entry.kind === 'incr' && entry.file === mark.file,
    )
    const sent = timeline.at(-1)
    if (now?.kind !== 'incr' || sent?.kind !== 'incr') return false
    return now.endReplOffset === undefined || now.endReplOffset >= mark.replOffset
  }

  /** What the archive has let go. A key that may not delete leaves it: nothing names it. */
  async #removeOthers({ timeline }: Sidecar): Promise<void> {
    const named = new Set<string>([SIDECAR, ...namesOf(timeline)])
    for (const name of [...(this.#there?.keys() ?? [])]) {
      if (named.has(name)) continue
      try {
        await this.#store.removeFile(this.#in(name))
      } catch (error) {
        if (!(error instanceof RrepError) || error.code !== 'ERR_STORE_DENIED') throw error
      }
      this.#there?.delete(name)
      this.#complete.delete(name)
    }
  }

  #in(file: string): StorePath {
    return [...this.#path, APPEND_DIR, file]
  }
}

/** Of all files but the sidecar. */
function namesOf(timeline: readonly TimelineEntry[]): readonly string[] {
  const names: string[] = [MANIFEST]
  for (const entry of timeline) {
    if (entry.kind !== 'gap') names.push(entry.file)
    if (entry.kind === 'base') names.push(beforeName(entry.seq))
  }
  return names
}

/** The sidecar of what is on disk: the part being written counts up to its mark, or not at all. */
function shippable(sidecar: Sidecar): Sidecar {
  const copy = structuredClone(sidecar)
  delete copy.away
  const last = copy.timeline.at(-1)
  const isOpen = last?.kind === 'incr' && last.endReplOffset === undefined
  if (!isOpen) delete copy.mark
  else if (copy.mark?.file !== last.file) {
    copy.timeline.pop()
    delete copy.mark
  }
  return copy
}

function endOf(timeline: readonly TimelineEntry[]): number {
  const last = timeline.at(-1)
  if (last === undefined) return -1
  if (last.kind === 'base') return last.replOffset
  return last.kind === 'incr' ? (last.endReplOffset ?? last.startReplOffset) : last.toReplOffset
}

function sizeOf(path: string): number | undefined {
  try {
    const fd = openSync(path, 'r')
    try {
      return fstatSync(fd).size
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw fileError(path, 'read', error)
  }
}
