/**
 * Which files of a multi-part directory a replay reads, in which order. Without a sidecar: those
 * of the manifest. With one (a capture) also an older base, where the moment asked for lies before
 * the newest. Also what can be told of files before they are replayed: their name in a checkpoint,
 * and whether commands may stand behind an RDB.
 */
import { createHash } from 'node:crypto'
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
} from 'node:fs'
import { join } from 'node:path'
import { FileError, UsageError } from '../errors.js'
import { parseSidecar, type BaseRecord, type IncrRecord } from '../archive/marks.js'
import { parseManifest } from '../aof/manifest.js'
import type { ByteInput } from './source.js'

export interface ReplayPart {
  path: string
  /** `single`: a file by itself. */
  role: 'single' | 'base' | 'incr'
  /** Increments of captures: the base contains the stream up to here. */
  afterReplOffset?: number
}

type Until = { unixMs: number } | { offset: number } | undefined

const SIDECAR = 'rrep.json'

/** Throws FileError, AofError or UsageError. */
export function planParts(
  directory: string,
  until: Until,
  fromMs: number | undefined,
): readonly ReplayPart[] {
  const dir = findManifestDirectory(directory)
  const sidecarPath = join(dir, SIDECAR)
  const sidecar = existsSync(sidecarPath)
    ? parseSidecar(readFileSync(sidecarPath, 'utf8'))
    : undefined
  const manifestPath = manifestIn(dir)!
  const manifest = parseManifest(readFileSync(manifestPath), manifestPath)
  const parts: ReplayPart[] = []
  if (sidecar === undefined) {
    if (manifest.base !== undefined && fromMs === undefined) {
      parts.push({ path: join(dir, manifest.base.name), role: 'base' })
    }
    for (const incr of manifest.incrs) parts.push({ path: join(dir, incr.name), role: 'incr' })
  } else {
    parts.push(...fromTimeline(dir, sidecar.timeline, until, fromMs))
  }
  for (const part of parts) {
    if (!existsSync(part.path)) {
      throw new FileError('ERR_NO_SUCH_FILE', `the manifest names ${part.path}, which is missing`)
    }
  }
  return parts
}

/** The newest base that is not behind the moment asked for, and the increments of its history. */
function fromTimeline(
  dir: string,
  timeline: readonly (BaseRecord | IncrRecord | { kind: 'gap' })[],
  until: Until,
  fromMs: number | undefined,
): ReplayPart[] {
  let baseAt = -1
  for (const [i, entry] of timeline.entries()) {
    if (entry.kind !== 'base' || !existsSync(join(dir, entry.file))) continue
    if (until !== undefined && 'unixMs' in until && entry.unixMs > until.unixMs) continue
    if (until !== undefined && 'offset' in until && entry.replOffset > until.offset) continue
    baseAt = i
  }
  const base = timeline[baseAt]
  if (fromMs === undefined && base?.kind !== 'base') {
    throw new UsageError('the capture begins after the moment asked for', {
      hint: 'its first base is younger than --until',
    })
  }
  const parts: ReplayPart[] = []
  if (base?.kind === 'base' && fromMs === undefined) {
    parts.push({ path: join(dir, base.file), role: 'base' })
  }
  for (const [i, entry] of timeline.entries()) {
    // Behind a gap another history begins, with a base of its own.
    if (entry.kind === 'gap' && i > baseAt && fromMs === undefined) break
    if (entry.kind !== 'incr' || !existsSync(join(dir, entry.file))) continue
    if (base?.kind !== 'base' || fromMs !== undefined) {
      parts.push({ path: join(dir, entry.file), role: 'incr' })
      continue
    }
    // A new base may have been taken while an increment went on.
    if (entry.replid !== base.replid && i < baseAt) continue
    if (entry.endReplOffset !== undefined && entry.endReplOffset <= base.replOffset) continue
    parts.push({
      path: join(dir, entry.file),
      role: 'incr',
      afterReplOffset: base.replOffset,
    })
  }
  return parts
}

/** The directory itself, or `appendonlydir` inside it. */
function findManifestDirectory(directory: string): string {
  for (const dir of [directory, join(directory, 'appendonlydir')]) {
    if (manifestIn(dir) !== undefined) return dir
  }
  throw new FileError('ERR_NO_MANIFEST', `${directory} holds no manifest of an append-only file`, {
    hint: 'name the directory in which *.manifest lies',
  })
}

function manifestIn(dir: string): string | undefined {
  if (!existsSync(dir)) return undefined
  const names = readdirSync(dir).filter((name) => name.endsWith('.manifest'))
  if (names.length > 1) {
    throw new UsageError(`${dir} holds several manifests: ${names.join(', ')}`, {
      hint: 'keep one set in a directory',
    })
  }
  return names[0] === undefined ? undefined : join(dir, names[0])
}

/** AUX `aof-preamble` (4.0 to 6.2) or `aof-base` (7.0) of 1, as a string in one byte: commands may
 * stand behind the RDB. A dump has them, too, and says 0. */
const PREAMBLE_MARKS = ['aof-preamble', 'aof-base'].map((name) => `${name}\xc0\x01`)

export function hasPreambleMark(path: string, input: ByteInput): boolean {
  // A pipe cannot be read twice; its commands, if any, begin where the RDB ends.
  if (input.sizeBytes === undefined || input.compression !== 'none') return false
  const fd = openSync(path, 'r')
  try {
    const head = Buffer.alloc(1024)
    const text = head.toString('latin1', 0, readSync(fd, head, 0, head.length, 0))
    return PREAMBLE_MARKS.some((mark) => text.includes(mark))
  } finally {
    closeSync(fd)
  }
}

/** The same files, the same name: it stands in the checkpoint. */
export function nameOfParts(parts: readonly ReplayPart[]): string {
  const hash = createHash('sha1')
  for (const part of parts) {
    hash.update(`${part.path}\n`)
    // Increments grow; a base that has another size is another base.
    if (part.role !== 'incr' && part.path !== '-') hash.update(String(sizeOf(part.path)))
  }
  return hash.digest('hex').slice(0, 20)
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0
}
