/**
 * Archives in a repository, `REPO/NAME/archive-<time>-<random>/`: what `tail -o` has shipped there. Each
 * covers one or more windows of time, and any second of them can be brought back.
 */
import { join } from 'node:path'
import { createWriteStream, mkdirSync, rmSync } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { formatManifest } from '../aof/manifest.js'
import { HashCheck } from '../archive/file-hash.js'
import { APPEND_DIR, MANIFEST, SIDECAR } from '../archive/layout.js'
import type { Moment } from '../archive/moment.js'
import { isArchiveId, MAX_SIDECAR_BYTES } from '../archive/shipping.js'
import {
  formatSidecar,
  parseSidecar,
  type Sidecar,
  type TimelineEntry,
} from '../archive/sidecar.js'
import { endOfSecond } from '../archive/state.js'
import { generationsOf, manifestOf } from '../archive/timeline.js'
import { writeFileAtomic } from '../disk/atomic-file.js'
import { fileError } from '../disk/file-error.js'
import { AbortedError, AofError, FileError, RrepError } from '../errors.js'
import type { Store, StorePath } from '../storage/store.js'
import { newestProof } from './proof.js'

const ATTEMPTS = 3
const AGAIN_MS = 300

export interface ArchiveSpan {
  /** Unix ms. */
  readonly fromMs: number
  readonly toMs: number
}

export interface RepositoryArchive {
  readonly name: string
  readonly id: string
  readonly directory: string
  /** The master that it was kept from. */
  readonly source: string
  /** What can be brought back: every second of these. Oldest first. */
  readonly windows: readonly ArchiveSpan[]
  /** Unix ms of the newest proof that a moment of it can be brought back; undefined: none. */
  readonly provenAtMs: number | undefined
}

export interface StoredArchive extends RepositoryArchive {
  readonly store: Store
  readonly path: StorePath
  readonly sidecar: Sidecar
}

/** Oldest first. What has no sound sidecar is none: `onOther` is told of it. */
export async function archivesOf(
  store: Store,
  name?: string,
  onOther: (path: StorePath, what: 'damaged' | 'without a sidecar') => void = () => undefined,
): Promise<readonly StoredArchive[]> {
  const archives: StoredArchive[] = []
  for (const each of name === undefined ? await store.folders([]) : [name]) {
    for (const id of (await store.folders([each])).filter(isArchiveId)) {
      const path = [each, id]
      const sidecar = await sidecarAt(store, path)
      if (sidecar === undefined || sidecar === 'damaged') {
        onOther(path, sidecar ?? 'without a sidecar')
        continue
      }
      const windows = spansOf(sidecar)
      const files = await store.files(path)
      const provenAtMs = newestProof(files.map((file) => file.name))
      const { source } = sidecar
      archives.push({
        name: each,
        id,
        directory: store.pathOf(path),
        source,
        windows,
        provenAtMs,
        store,
        path,
        sidecar,
      })
    }
  }
  return archives.sort((a, b) => (a.id < b.id ? -1 : 1))
}

export function damagedSidecar(store: Store, path: StorePath): AofError {
  return new AofError(
    'ERR_AOF_CORRUPT',
    { file: store.pathOf(path) },
    'the sidecar of the archive is damaged',
    { hint: 'without it a redis-server with appendonly yes loads a copy of the directory' },
  )
}

export async function sidecarAt(
  store: Store,
  path: StorePath,
): Promise<Sidecar | 'damaged' | undefined> {
  const text = await store.readText([...path, APPEND_DIR, SIDECAR], MAX_SIDECAR_BYTES)
  if (text === undefined) return undefined
  const parsed = parseSidecar(text)
  return typeof parsed === 'object' ? parsed : 'damaged'
}

function spansOf({ timeline, unixSeconds }: Sidecar): readonly ArchiveSpan[] {
  const spans: ArchiveSpan[] = []
  let fromMs: number | undefined
  let lastMs = 0
  for (const { base, gap } of generationsOf(timeline)) {
    if (base !== undefined) {
      fromMs ??= base.unixMs
      lastMs = base.unixMs
    }
    if (gap === undefined || fromMs === undefined) continue
    spans.push({ fromMs, toMs: gap.unixMs })
    fromMs = undefined
  }
  if (fromMs !== undefined) spans.push({ fromMs, toMs: Math.max(lastMs, unixSeconds * 1000) })
  return spans
}

/**
 * What a moment needs of an archive, in a directory that is there: base, increments, manifest and sidecar, as
 * if nothing else had been kept. Rejects as the store does, or with FileError.
 */
export async function fetchArchive(
  store: Store,
  path: StorePath,
  moment: Moment,
  directory: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await fetchOnce(store, path, moment, directory, signal)
      return
    } catch (error) {
      // One that is shipped just now has other files than the sidecar said.
      if (!(error instanceof AofError) || attempt === ATTEMPTS) throw error
      rmSync(join(directory, APPEND_DIR), { recursive: true, force: true })
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS))
    }
  }
}

async function fetchOnce(
  store: Store,
  path: StorePath,
  moment: Moment,
  directory: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const sidecar = await sidecarAt(store, path)
  if (sidecar === 'damaged') throw damagedSidecar(store, [...path, APPEND_DIR, SIDECAR])
  if (sidecar === undefined) {
    throw new FileError(
      'ERR_NO_BACKUP',
      `${store.pathOf(path)} is no archive that has been shipped`,
    )
  }
  const timeline = neededFor(sidecar.timeline, moment)
  const parts = join(directory, APPEND_DIR)
  mkdirSync(parts, { mode: 0o700 })
  for (const entry of timeline) {
    if (entry.kind === 'gap') continue
    await fetchPart({ store, path, sidecar }, entry.file, join(parts, entry.file), signal)
  }
  const { mark, ...rest } = sidecar
  const isMarked = timeline.some((entry) => entry.kind === 'incr' && entry.file === mark?.file)
  const copy: Sidecar = { ...rest, timeline, ...(isMarked ? { mark } : {}) }
  const manifest = formatManifest(manifestOf(generationsOf(timeline).at(-1)))
  writeFileAtomic(join(parts, MANIFEST), manifest)
  writeFileAtomic(join(parts, SIDECAR), formatSidecar(copy))
}

/** One file of it, compared with its hash. Rejects as the store does, or with FileError, AofError. */
export async function fetchPart(
  { store, path, sidecar }: Pick<StoredArchive, 'store' | 'path' | 'sidecar'>,
  file: string,
  to: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  const object = await store.open([...path, APPEND_DIR, file])
  const check = new HashCheck(object.name, sidecar.hashes?.[file])
  object.stream.on('data', (chunk: Buffer) => check.push(chunk))
  try {
    await pipeline(object.stream, createWriteStream(to, { mode: 0o600 }), { signal })
    check.end()
  } catch (error) {
    if (signal?.aborted === true) throw new AbortedError()
    throw error instanceof RrepError ? error : fileError(to, 'write', error)
  }
}

/** From the base of the moment on, without what was surely begun behind it. */
function neededFor(all: readonly TimelineEntry[], moment: Moment): TimelineEntry[] {
  const isBefore = (entry: TimelineEntry): boolean => {
    if (entry.kind !== 'base') return false
    if (moment === 'end') return true
    if ('timeMs' in moment) return entry.unixMs <= endOfSecond(moment.timeMs)
    return entry.replOffset <= moment.replOffset
  }
  const from = all.findLastIndex(isBefore)
  const timeline = all.slice(from < 0 ? all.findIndex(({ kind }) => kind === 'base') : from)
  if (from < 0) return timeline.slice(0, 1)
  for (;;) {
    const last = timeline.at(-1)
    const before = timeline.at(-2)
    if (moment === 'end' || last === undefined || before === undefined) return timeline
    const isBehind =
      'timeMs' in moment
        ? before.unixMs > endOfSecond(moment.timeMs) && before.kind !== 'gap'
        : last.kind === 'incr' && last.startReplOffset > moment.replOffset
    if (!isBehind || last.kind === 'gap') return timeline
    timeline.pop()
  }
}
