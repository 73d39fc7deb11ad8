/**
 * What lies in the directory of a multi-part append-only file: its manifest, and where we wrote
 * it, the sidecar, the manifests of older states, and from them all the timeline.
 *
 * The manifest is right at any moment, since it is written first. What the sidecar does not tell,
 * or tells no more since it is lost or damaged, is found in `rrep-before-<n>.manifest` and in the
 * marks at the heads of increments. Nothing is ever changed here.
 */
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { parseManifest, type Manifest, type ManifestEntry } from '../aof/manifest.js'
import { errnoOf, fileError } from '../disk/file-error.js'
import { AofError, FileError, UsageError } from '../errors.js'
import { savedAtMsOf } from '../rdb/head.js'
import { APPEND_DIR, beforeName, incrName, isManifest, seqOfBefore, SIDECAR } from './layout.js'
import { parseAnnotation, type ReplMark } from './marks.js'
import { recoverPart } from './recovery.js'
import {
  parseSidecar,
  type BaseRecord,
  type IncrRecord,
  type Sidecar,
  type TimelineEntry,
} from './sidecar.js'
import { statOf } from '../disk/stat.js'

export interface ManifestSet {
  /** Where manifest and parts lie. */
  readonly dir: string
  readonly manifestPath: string
  readonly manifest: Manifest
  /** Undefined: none, or `sidecarProblem`. */
  readonly sidecar: Sidecar | undefined
  readonly sidecarProblem: string | undefined
  /** Undefined where it was not (only) rrep that wrote it: the manifest is then all there is. */
  readonly timeline: TimelineEntry[] | undefined
}

const HEAD_BYTES = 4096

/**
 * The manifest that a path means: itself, the one in a directory, or in a directory below it
 * (`appenddirname`). Throws FileError ERR_NO_MANIFEST, or UsageError where there are several.
 */
export function findManifest(path: string): string {
  const stat = statOf(path)
  if (stat?.isFile() === true) return path
  if (stat === undefined) {
    throw new FileError('ERR_NO_SUCH_FILE', `no such file or directory: ${path}`)
  }
  for (const dir of [path, join(path, APPEND_DIR)]) {
    const found = oneOf(manifestsIn(dir), path)
    if (found !== undefined) return found
  }
  const below = namesIn(path).flatMap((name) =>
    name === APPEND_DIR ? [] : manifestsIn(join(path, name)),
  )
  const found = oneOf(below, path)
  if (found !== undefined) return found
  throw new FileError('ERR_NO_MANIFEST', `${path} holds no manifest of an append-only file`, {
    hint: 'name the file itself, or the directory in which *.manifest lies',
    details: { file: path },
  })
}

export function readManifest(path: string): Manifest {
  let bytes: Buffer
  try {
    bytes = readFileSync(path)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') {
      throw new FileError('ERR_NO_SUCH_FILE', `no such file: ${path}`, { cause: error })
    }
    throw fileError(path, 'read', error)
  }
  return parseManifest(bytes, path)
}

export function readSidecar(dir: string): { sidecar?: Sidecar; problem?: string } {
  let text: string
  try {
    text = readFileSync(join(dir, SIDECAR), 'utf8')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return {}
    throw fileError(join(dir, SIDECAR), 'read', error)
  }
  const parsed = parseSidecar(text)
  return typeof parsed === 'string' ? { problem: parsed } : { sidecar: parsed }
}

/** Throws FileError (cannot be read), AofError (the manifest is none). */
export function readManifestSet(manifestPath: string): ManifestSet {
  const dir = dirname(manifestPath)
  const manifest = readManifest(manifestPath)
  const { sidecar, problem: sidecarProblem } = readSidecar(dir)
  const set = { dir, manifestPath, manifest, sidecar, sidecarProblem }
  const current = describeAll(dir, manifest, knownParts(sidecar?.timeline ?? []))
  if (current === undefined) return { ...set, timeline: undefined }
  // Named by itself, an older state is all that is wanted.
  if (seqOfBefore(basename(manifestPath)) !== undefined) return { ...set, timeline: current }
  const older = sidecar === undefined ? olderByManifests(dir, current) : olderOf(sidecar, current)
  const timeline = [...older, ...current]
  const next = findNext(dir, timeline)
  if (next !== undefined) timeline.push(next)
  return { ...set, timeline }
}

/**
 * The increment behind the last one, where it was begun and the manifest does not name it yet; the
 * end of the last one is then noted.
 */
function findNext(dir: string, timeline: readonly TimelineEntry[]): IncrRecord | undefined {
  const last = timeline.findLast((entry): entry is IncrRecord => entry.kind === 'incr')
  if (last === undefined) return undefined
  const seq = last.seq + 1
  const name = incrName(seq)
  if (!existsSync(join(dir, name))) return undefined
  const next = describeIncr(dir, { name, seq })
  if (next === undefined) return undefined
  const end = recoverPart(join(dir, last.file))
  if (end.filePosition !== end.fileBytes) return undefined
  if (end.replOffset !== next.startReplOffset || end.replid !== next.replid) return undefined
  last.endReplOffset = end.replOffset
  return next
}

/** What the sidecar tells before the parts that the manifest names. */
function olderOf(sidecar: Sidecar, current: readonly TimelineEntry[]): TimelineEntry[] {
  const { timeline } = sidecar
  const listed = new Set(current.map(fileOf))
  const at = timeline.findIndex((entry) => entry.kind !== 'gap' && listed.has(entry.file))
  return at < 0 ? [...timeline] : timeline.slice(0, at)
}

/** The same from the manifests of older states, where there is no sidecar. */
function olderByManifests(dir: string, current: readonly TimelineEntry[]): TimelineEntry[] {
  const timeline: TimelineEntry[] = []
  const seqs = namesIn(dir).flatMap((name) => seqOfBefore(name) ?? [])
  for (const seq of seqs.sort((a, b) => a - b)) {
    const manifest = tryManifest(join(dir, beforeName(seq)))
    if (manifest === undefined) continue
    const parts = [...(manifest.base === undefined ? [] : [manifest.base]), ...manifest.incrs]
    // A prune takes the files before the manifest.
    if (!parts.every((part) => existsSync(join(dir, part.name)))) continue
    const entries = describeAll(dir, manifest, knownParts([...timeline, ...current]))
    append(dir, timeline, entries ?? [])
  }
  const older = timeline.length
  append(dir, timeline, current)
  // A gap in front of what is current belongs to what is older.
  return timeline.slice(0, older + (timeline[older]?.kind === 'gap' ? 1 : 0))
}

/** An old state whose manifest is damaged is one less; the newest is none the worse for it. */
function tryManifest(path: string): Manifest | undefined {
  try {
    return readManifest(path)
  } catch (error) {
    if (error instanceof AofError) return undefined
    throw error
  }
}

/** Puts a generation behind another: a gap stands between them where their ends do not meet. */
function append(dir: string, timeline: TimelineEntry[], entries: readonly TimelineEntry[]): void {
  const listed = new Set(timeline.map(fileOf))
  const added = entries.filter((entry) => !listed.has(fileOf(entry)))
  const first = added[0]
  const last = timeline.at(-1)
  if (first?.kind === 'base' && last?.kind === 'incr') {
    const end = recoverPart(join(dir, last.file))
    last.endReplOffset = end.replOffset
    if (end.replid !== first.replid || end.replOffset !== first.replOffset) {
      timeline.push({
        kind: 'gap',
        replid: end.replid,
        fromReplOffset: end.replOffset + 1,
        toReplid: first.replid,
        toReplOffset: first.replOffset,
        // Nothing after its last second is known.
        unixMs: end.unixSeconds < 0 ? first.unixMs : (end.unixSeconds + 1) * 1000,
      })
    }
  }
  timeline.push(...added)
}

function knownParts(timeline: readonly TimelineEntry[]): Map<string, BaseRecord | IncrRecord> {
  const known = new Map<string, BaseRecord | IncrRecord>()
  for (const entry of timeline) if (entry.kind !== 'gap') known.set(entry.file, entry)
  return known
}

/** The parts of a manifest; undefined where one of them is none of ours. */
function describeAll(
  dir: string,
  manifest: Manifest,
  known: ReadonlyMap<string, BaseRecord | IncrRecord>,
): (BaseRecord | IncrRecord)[] | undefined {
  const incrs: IncrRecord[] = []
  for (const part of manifest.incrs) {
    const record = known.get(part.name) ?? describeIncr(dir, part)
    if (record?.kind !== 'incr') return undefined
    incrs.push(record)
  }
  if (manifest.base === undefined) return incrs.length === 0 ? undefined : incrs
  const record = known.get(manifest.base.name) ?? describeBase(dir, manifest.base, incrs[0])
  return record?.kind === 'base' ? [record, ...incrs] : undefined
}

function describeIncr(
  dir: string,
  part: Pick<ManifestEntry, 'name' | 'seq'>,
): IncrRecord | undefined {
  const path = join(dir, part.name)
  const head = readHead(path)
  const mark = markAtHead(head)
  if (head === undefined || mark === undefined) return undefined
  return {
    kind: 'incr',
    file: part.name,
    seq: part.seq,
    replid: mark.replid,
    startReplOffset: mark.replOffset,
    // The file's own times are those of a copy, where it is one.
    unixMs: 1000 * Number(/\n#TS:(\d{1,12})\r\n/.exec(head.toString('latin1'))?.[1] ?? 0),
  }
}

function describeBase(
  dir: string,
  part: ManifestEntry,
  first: IncrRecord | undefined,
): BaseRecord | undefined {
  if (first === undefined) return undefined
  const path = join(dir, part.name)
  return {
    kind: 'base',
    file: part.name,
    seq: part.seq,
    replid: first.replid,
    replOffset: first.startReplOffset,
    unixMs: savedAtMs(path) ?? Math.floor(statSync(path).mtimeMs),
    bytes: statSync(path).size,
    rdbVersion: 0,
  }
}

/** When a base was made, as it says itself; undefined where it does not, or is not there. */
export function savedAtMs(path: string): number | undefined {
  return savedAtMsOf(readHead(path) ?? Buffer.alloc(0))
}

function markAtHead(head: Buffer | undefined): ReplMark | undefined {
  const end = head?.indexOf('\n') ?? -1
  if (end < 0) return undefined
  const annotation = parseAnnotation(head!.subarray(0, end))
  return annotation?.kind === 'at' ? annotation : undefined
}

function readHead(path: string): Buffer | undefined {
  let fd: number
  try {
    fd = openSync(path, 'r')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw fileError(path, 'open', error)
  }
  try {
    const head = Buffer.alloc(HEAD_BYTES)
    return head.subarray(0, readSync(fd, head, 0, head.length, 0))
  } catch (error) {
    throw fileError(path, 'read', error)
  } finally {
    closeSync(fd)
  }
}

function fileOf(entry: TimelineEntry): string {
  return entry.kind === 'gap' ? '' : entry.file
}

function namesIn(dir: string): string[] {
  try {
    return readdirSync(dir)
  } catch (error) {
    // A file, nothing at all, or not for us: it holds no manifest that we could read.
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes(errnoOf(error) ?? '')) return []
    throw fileError(dir, 'read', error)
  }
}

function manifestsIn(dir: string): string[] {
  return namesIn(dir)
    .filter(isManifest)
    .map((name) => join(dir, name))
}

function oneOf(found: readonly string[], path: string): string | undefined {
  if (found.length > 1) {
    const names = found.map((each) => basename(each)).sort()
    throw new UsageError(`${path} holds ${found.length} manifests: ${names.join(', ')}`, {
      hint: 'name the one that is meant',
    })
  }
  return found[0]
}
