/**
 * A capture directory: its files, its manifest, its sidecar.
 *
 *   DIR/rrep.lock
 *   DIR/appendonlydir/appendonly.aof.manifest     what a server loads: the newest base, and what
 *                                                 came after it
 *   DIR/appendonlydir/appendonly.aof.<n>.base.rdb, appendonly.aof.<n>.incr.aof
 *   DIR/appendonlydir/rrep.json                   the sidecar: every base, increment and gap
 *   DIR/appendonlydir/rrep-before-<n>.manifest    what a server would have loaded before base n:
 *                                                 put in the manifest's place (of a copy), it
 *                                                 brings back older states
 *
 * `redis-server --dir DIR --appendonly yes` starts on it. Order of every change: data complete
 * and fsynced, then the manifest, then the sidecar; so the manifest is right at any moment, and
 * where the sidecar is behind, the marks in the increments tell the same.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, unlinkSync } from 'node:fs'
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  formatSidecar,
  parseSidecar,
  type BaseRecord,
  type GapRecord,
  type IncrRecord,
  type Sidecar,
  type TimelineEntry,
} from './sidecar.js'
import { formatManifest, manifestName, parseManifest, type Manifest } from '../aof/manifest.js'
import { FileError } from '../errors.js'
import { recoverPart, type RecoveredPart } from './recovery.js'
import { errnoOf, fileError, writeFileAtomic } from '../disk/fs-util.js'

const APPEND_DIR = 'appendonlydir'
const APPEND_FILE = 'appendonly.aof'
const MANIFEST = manifestName(APPEND_FILE)
const SIDECAR = 'rrep.json'
const OWN_FILE = /^(?:appendonly\.aof\.\d+\.(?:base\.rdb|incr\.aof)|temp-.*)$/

/** Where an existing capture goes on. */
export interface CaptureResume {
  incr: IncrRecord
  part: RecoveredPart
  /** Stream bytes received behind the part's end that need not be stored (PING). */
  unstoredBytes: number
}

export class CaptureStore {
  readonly dir: string
  /** Where the parts are. */
  readonly partsDir: string
  sidecar: Sidecar
  /** Set by `load` where there is something to go on from. */
  resume: CaptureResume | undefined

  private nextBaseSeq = 1
  private nextIncrSeq = 1

  constructor(dir: string, source: string) {
    this.dir = dir
    this.partsDir = join(dir, APPEND_DIR)
    this.sidecar = {
      format: 1,
      source,
      replid: '',
      timeline: [],
      relativeTimes: false,
      unixSeconds: 0,
      highestDbnum: 0,
      dropped: {},
    }
  }

  /** Makes DIR where it does not exist (not its parents); before the lock is taken. */
  create(): void {
    for (const path of [this.dir, this.partsDir]) {
      try {
        mkdirSync(path, { mode: 0o700 })
      } catch (error) {
        if (errnoOf(error) !== 'EEXIST') throw fileError(path, 'create', error)
      }
    }
  }

  path(file: string): string {
    return join(this.partsDir, file)
  }

  /**
   * Reads what is there and finds the end of the last part. Throws FileError where the directory
   * holds an append-only file of another program.
   */
  load(): void {
    const manifest = this.readManifest()
    if (manifest === undefined) {
      if (existsSync(join(this.dir, APPEND_FILE))) this.refuseForeign()
      this.removeUnlisted()
      return
    }
    const stored = this.readSidecar()
    if (stored !== undefined) this.sidecar = { ...stored, source: this.sidecar.source }
    this.reconcile(manifest)
    this.adoptNext()
    this.findEnd()
    this.removeUnlisted()
  }

  newBaseFile(): { file: string; seq: number } {
    const seq = this.nextBaseSeq++
    return { file: `${APPEND_FILE}.${seq}.base.rdb`, seq }
  }

  newIncrFile(): { file: string; seq: number } {
    const seq = this.nextIncrSeq++
    return { file: `${APPEND_FILE}.${seq}.incr.aof`, seq }
  }

  get timeline(): TimelineEntry[] {
    return this.sidecar.timeline
  }

  get currentBase(): BaseRecord | undefined {
    return this.timeline.findLast((entry): entry is BaseRecord => entry.kind === 'base')
  }

  get currentIncr(): IncrRecord | undefined {
    return this.timeline.findLast((entry): entry is IncrRecord => entry.kind === 'incr')
  }

  /** A base that a second connection brought, in front of the increment that begins behind it. */
  insertBase(base: BaseRecord, before: IncrRecord): void {
    const at = this.timeline.indexOf(before)
    this.timeline.splice(at < 0 ? this.timeline.length : at, 0, base)
  }

  /** What a server loads when it starts on the directory now. */
  manifest(): Manifest {
    return generation(this.timeline, this.timeline.indexOf(this.currentBase!), this.timeline.length)
  }

  /** Writes manifest and sidecar; the parts they name must be on disk. */
  persist(): void {
    writeFileAtomic(this.partsDir, MANIFEST, formatManifest(this.manifest()))
    this.saveSidecar()
  }

  /** Keeps what was loadable before the newest base as a manifest of its own. */
  persistBefore(base: BaseRecord): void {
    const end = this.timeline.indexOf(base)
    const before = this.timeline.slice(0, end).findLastIndex((entry) => entry.kind === 'base')
    if (before < 0) return
    const text = formatManifest(generation(this.timeline, before, end))
    writeFileAtomic(this.partsDir, beforeName(base.seq), text)
  }

  saveSidecar(): void {
    writeFileAtomic(this.partsDir, SIDECAR, formatSidecar(this.sidecar))
  }

  /** The same without waiting for the disk: a sidecar lost to a crash is found again from the
   * marks in the increments. */
  async saveSidecarSoon(): Promise<void> {
    const temporary = this.path(`temp-${SIDECAR}`)
    try {
      await writeFile(temporary, formatSidecar(this.sidecar), { mode: 0o600 })
      await rename(temporary, this.path(SIDECAR))
    } catch (error) {
      throw fileError(this.path(SIDECAR), 'write', error)
    }
  }

  /**
   * Deletes bases and increments in front of the one to keep: with a number, so many newest
   * bases stay; with an age, all that is needed for every moment of that age. Returns the files.
   */
  prune(keep: { bases: number } | { ageMs: number }, nowMs: number): string[] {
    const bases = this.timeline.filter((entry): entry is BaseRecord => entry.kind === 'base')
    const first =
      'bases' in keep
        ? bases[Math.max(0, bases.length - keep.bases)]
        : (bases.findLast((base) => base.unixMs <= nowMs - keep.ageMs) ?? bases[0])
    const at = first === undefined ? 0 : this.timeline.indexOf(first)
    if (first === undefined || at <= 0) return []
    const gone = this.timeline.splice(0, at).filter((entry) => entry.kind !== 'gap')
    // The sidecar first: a file it names must exist.
    this.saveSidecar()
    const files = gone.map((entry) => entry.file)
    const manifests = [beforeName(first.seq)]
    for (const entry of gone) if (entry.kind === 'base') manifests.push(beforeName(entry.seq))
    for (const file of [...files, ...manifests]) this.remove(file)
    return files
  }

  addGap(gap: GapRecord): void {
    this.timeline.push(gap)
  }

  private readManifest(): Manifest | undefined {
    const path = this.path(MANIFEST)
    try {
      return parseManifest(readFileSync(path), path)
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined
      throw errnoOf(error)?.startsWith('ERR_') === true ? error : fileError(path, 'read', error)
    }
  }

  private readSidecar(): Sidecar | undefined {
    try {
      const parsed = parseSidecar(readFileSync(this.path(SIDECAR), 'utf8'))
      return typeof parsed === 'string' ? undefined : parsed
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined
      throw fileError(this.path(SIDECAR), 'read', error)
    }
  }

  /** Brings the timeline in line with the manifest, which is written first. */
  private reconcile(manifest: Manifest): void {
    const known = new Map<string, TimelineEntry>()
    for (const entry of this.timeline) if (entry.kind !== 'gap') known.set(entry.file, entry)
    const current: TimelineEntry[] = []
    for (const part of manifest.incrs) {
      const entry = known.get(part.name) ?? this.describeIncr(part.name, part.seq)
      if (entry === undefined) this.refuseForeign()
      current.push(entry)
    }
    const first = current[0]
    if (manifest.base !== undefined) {
      const base = known.get(manifest.base.name)
      if (base !== undefined) current.unshift(base)
      else if (first?.kind === 'incr') current.unshift(this.describeBase(manifest.base, first))
      else this.refuseForeign()
    }
    const listed = new Set(current)
    const at = this.timeline.findIndex((entry) => listed.has(entry))
    const older = (at < 0 ? this.timeline : this.timeline.slice(0, at)).filter(
      (entry) => entry.kind === 'gap' || existsSync(this.path(entry.file)),
    )
    this.sidecar.timeline = [...older, ...current]
    for (const entry of this.timeline) {
      if (entry.kind === 'base') this.nextBaseSeq = Math.max(this.nextBaseSeq, entry.seq + 1)
      if (entry.kind === 'incr') this.nextIncrSeq = Math.max(this.nextIncrSeq, entry.seq + 1)
    }
  }

  /** The part after the last may have been begun before the manifest could name it. */
  private adoptNext(): void {
    const last = this.currentIncr
    if (last === undefined) return
    const { file, seq } = {
      file: `${APPEND_FILE}.${this.nextIncrSeq}.incr.aof`,
      seq: this.nextIncrSeq,
    }
    const next = existsSync(this.path(file)) ? this.describeIncr(file, seq) : undefined
    if (next === undefined) return
    const end = recoverPart(this.path(last.file))
    if (
      end.filePosition !== end.fileBytes ||
      end.replOffset !== next.startReplOffset ||
      end.replid !== next.replid
    ) {
      return
    }
    last.endReplOffset = end.replOffset
    this.timeline.push(next)
    this.nextIncrSeq += 1
    this.persist()
  }

  private findEnd(): void {
    const incr = this.currentIncr
    if (incr === undefined) return
    const mark = this.sidecar.mark
    const synced = mark?.file === incr.file ? mark.filePosition : 0
    const part = recoverPart(this.path(incr.file), synced)
    if (part.head === undefined || part.replOffset < 0) this.refuseForeign()
    const unstored =
      mark?.file === incr.file &&
      mark.filePosition === part.filePosition &&
      mark.replOffset === part.replOffset &&
      mark.replid === part.replid
        ? mark.unstoredBytes
        : 0
    incr.endReplOffset = undefined
    this.sidecar.replid = part.replid
    this.sidecar.unixSeconds = Math.max(this.sidecar.unixSeconds, part.unixSeconds)
    this.sidecar.highestDbnum = Math.max(this.sidecar.highestDbnum, part.highestDbnum)
    this.resume = { incr, part, unstoredBytes: unstored }
  }

  private describeIncr(file: string, seq: number): IncrRecord | undefined {
    const path = this.path(file)
    const { head } = recoverPart(path)
    if (head === undefined) return undefined
    return {
      kind: 'incr',
      file,
      seq,
      replid: head.replid,
      startReplOffset: head.replOffset,
      unixMs: Math.floor(statSync(path).birthtimeMs),
    }
  }

  private describeBase(part: { name: string; seq: number }, first: IncrRecord): BaseRecord {
    const { size, mtimeMs } = statSync(this.path(part.name))
    return {
      kind: 'base',
      file: part.name,
      seq: part.seq,
      replid: first.replid,
      replOffset: first.startReplOffset,
      unixMs: Math.floor(mtimeMs),
      bytes: size,
      rdbVersion: 0,
    }
  }

  /** What a crash left behind: temporaries, and parts that nothing names. */
  private removeUnlisted(): void {
    const listed = new Set(this.timeline.map((entry) => (entry.kind === 'gap' ? '' : entry.file)))
    for (const file of readdirSync(this.partsDir)) {
      if (OWN_FILE.test(file) && !listed.has(file)) this.remove(file)
    }
  }

  private remove(file: string): void {
    try {
      unlinkSync(this.path(file))
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw fileError(this.path(file), 'remove', error)
    }
  }

  private refuseForeign(): never {
    throw new FileError(
      'ERR_CAPTURE_FOREIGN',
      `${this.dir} holds an append-only file that rrep did not write, or that a server went on with`,
      {
        hint: 'give an empty or new directory; start servers on a copy of a capture only',
        details: { dir: this.dir },
      },
    )
  }
}

/** Base at `from` and the increments behind it, up to `to` or the next gap. */
function generation(timeline: readonly TimelineEntry[], from: number, to: number): Manifest {
  const manifest: Manifest = { base: undefined, incrs: [], history: [] }
  const base = timeline[from]
  if (base?.kind === 'base') manifest.base = { name: base.file, seq: base.seq, type: 'b' }
  for (const entry of timeline.slice(from + 1, to)) {
    if (entry.kind === 'gap') break
    if (entry.kind !== 'incr') continue
    // No startoffset: Redis 8 takes a file's bytes for stream bytes, and ours hold marks too.
    manifest.incrs.push({ name: entry.file, seq: entry.seq, type: 'i' })
  }
  return manifest
}

function beforeName(seq: number): string {
  return `rrep-before-${seq}.manifest`
}
