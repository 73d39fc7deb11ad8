/**
 * The writer's view of an archive's directory: which files there are, which come next, and how
 * manifest and sidecar are written.
 *
 * `redis-server --dir DIR --appendonly yes` starts on it. Order of every change: data complete
 * and fsynced, then the manifest, then the sidecar; so the manifest is right at any moment, and
 * where the sidecar is behind, the marks in the increments tell the same.
 *
 * Deleted is only what the timeline names and a prune lets go, and temporaries of our own. What
 * nothing names is told, and stays.
 */
import { existsSync, mkdirSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { formatManifest, type Manifest } from '../aof/manifest.js'
import { AtomicFile, writeFileAtomic } from '../disk/atomic-file.js'
import { errnoOf, fileError } from '../disk/file-error.js'
import { FileError } from '../errors.js'
import {
  APPEND_DIR,
  APPEND_FILE,
  baseName,
  beforeName,
  incrName,
  isOfArchive,
  isOwnTemporary,
  MANIFEST,
  parsePartName,
  SIDECAR,
  temporaryName,
} from './layout.js'
import { readManifestSet, readSidecar } from './manifest-set.js'
import { recoverPart, type RecoveredPart } from './recovery.js'
import {
  formatSidecar,
  type BaseRecord,
  type FileHash,
  type GapRecord,
  type IncrRecord,
  type Sidecar,
  type TimelineEntry,
} from './sidecar.js'
import { generationsOf, manifestOf } from './timeline.js'

/** Where an existing archive goes on. */
export interface ArchiveResume {
  incr: IncrRecord
  part: RecoveredPart
  /** Stream bytes received behind the part's end that need not be stored (PING). */
  unstoredBytes: number
}

export class ArchiveStore {
  readonly dir: string
  /** Where the parts are. */
  readonly partsDir: string
  sidecar: Sidecar
  /** Set by `load` where there is something to go on from. */
  resume: ArchiveResume | undefined

  /** What was found that is not as it should be, in words. */
  readonly notices: string[] = []

  readonly #source: string
  readonly #sidecarFile: AtomicFile
  #nextBaseSeq = 1
  #nextIncrSeq = 1

  constructor(dir: string, source: string) {
    this.dir = dir
    this.#source = source
    this.partsDir = join(dir, APPEND_DIR)
    this.#sidecarFile = new AtomicFile(this.path(SIDECAR))
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

  /** Nothing of it stays but what a failover lost, which is nowhere else, and what is not of it. */
  clear(): void {
    for (const name of readdirSync(this.partsDir)) {
      if (isOfArchive(name) || isOwnTemporary(name)) this.#remove(name)
    }
    if (readdirSync(this.partsDir).length === 0) rmdirSync(this.partsDir)
  }

  path(file: string): string {
    return join(this.partsDir, file)
  }

  /**
   * Reads what is there and finds the end of the last part. Throws FileError where the directory
   * holds an append-only file of another program, or where nothing tells what belongs to it.
   */
  load(): void {
    if (existsSync(this.path(MANIFEST))) this.#loadSet()
    else this.#loadWithoutManifest()
    this.#countFrom(this.#tidy())
    this.#findEnd()
  }

  newBaseFile(): { file: string; seq: number } {
    const seq = this.#nextBaseSeq++
    return { file: baseName(seq), seq }
  }

  newIncrFile(): { file: string; seq: number } {
    const seq = this.#nextIncrSeq++
    return { file: incrName(seq), seq }
  }

  /** Where a file grows that is to get this name. */
  temporaryPath(file: string): string {
    return this.path(temporaryName(file))
  }

  /** Where a transaction grows that has no end yet. */
  asidePath(count: number): string {
    return this.temporaryPath(incrName(count))
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
    return manifestOf(generationsOf(this.timeline).at(-1))
  }

  /** Writes manifest and sidecar; the parts they name must be on disk. */
  persist(): void {
    writeFileAtomic(this.path(MANIFEST), formatManifest(this.manifest()))
    this.saveSidecar()
  }

  /** Keeps what was loadable before the newest base as a manifest of its own. */
  persistBefore(base: BaseRecord): void {
    const before = generationsOf(this.timeline.slice(0, this.timeline.indexOf(base))).at(-1)
    if (before?.base === undefined) return
    writeFileAtomic(this.path(beforeName(base.seq)), formatManifest(manifestOf(before)))
  }

  saveSidecar(): void {
    this.#sidecarFile.write(formatSidecar(this.sidecar))
  }

  /** The same without blocking; one after the other with every other change. */
  async saveSidecarSoon(): Promise<void> {
    await this.#sidecarFile.writeSoon(formatSidecar(this.sidecar))
  }

  /** The archive was kept from another address so far. */
  get isOfOtherSource(): boolean {
    return this.sidecar.source !== '' && this.sidecar.source !== this.#source
  }

  /** Every history in it. */
  get replids(): ReadonlySet<string> {
    return new Set([this.sidecar.replid, ...this.timeline.map((entry) => entry.replid)])
  }

  /** From now on it is kept from the address given. */
  noteSource(): void {
    this.sidecar.source = this.#source
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
    const files = gone.map((entry) => entry.file)
    this.#forgetHashes(files)
    const { away } = this.sidecar
    if (away !== undefined) this.sidecar.away = away.filter((file) => !files.includes(file))
    // The sidecar first: a file it names must exist.
    this.saveSidecar()
    const manifests = [beforeName(first.seq)]
    for (const entry of gone) if (entry.kind === 'base') manifests.push(beforeName(entry.seq))
    for (const file of [...files, ...manifests]) this.#remove(file)
    return files
  }

  /** It lies in the repository only. */
  isAway(file: string): boolean {
    return this.sidecar.away?.includes(file) === true
  }

  /** Of what lies whole in the repository only the timeline stays here; the newest increment is what a later
   * run goes on from. */
  letGo(records: readonly TimelineEntry[]): void {
    const newest = this.currentIncr?.file
    const files = records.flatMap((record) => {
      if (record.kind === 'gap' || record.file === newest || this.isAway(record.file)) return []
      const now = this.timeline.find((each) => each.kind !== 'gap' && each.file === record.file)
      if (now === undefined) return []
      const isSame =
        now.kind === 'base' ||
        (record.kind === 'incr' &&
          now.kind === 'incr' &&
          now.endReplOffset !== undefined &&
          now.endReplOffset === record.endReplOffset)
      return isSame ? [record.file] : []
    })
    if (files.length === 0) return
    this.sidecar.away = [...(this.sidecar.away ?? []), ...files]
    // The sidecar first: a file it takes to be here must be.
    this.saveSidecar()
    for (const file of files) this.#remove(file)
  }

  /** The last ones, which are to be removed. */
  dropIncrements(records: readonly IncrRecord[]): void {
    const gone = new Set<TimelineEntry>(records)
    this.sidecar.timeline = this.timeline.filter((entry) => !gone.has(entry))
    delete this.sidecar.mark
    this.persist()
  }

  /** Of a file that is complete. */
  noteHash(file: string, hash: FileHash): void {
    const isComplete = this.timeline.some(
      (entry) => entry.kind === 'incr' && entry.file === file && entry.endReplOffset !== undefined,
    )
    if (isComplete) this.sidecar.hashes = { ...this.sidecar.hashes, [file]: hash }
  }

  #forgetHashes(files: readonly string[]): void {
    const { hashes } = this.sidecar
    if (hashes === undefined) return
    const kept = Object.entries(hashes).filter(([file]) => !files.includes(file))
    this.sidecar.hashes = Object.fromEntries(kept)
  }

  addGap(gap: GapRecord): void {
    this.timeline.push(gap)
  }

  /** By the manifest, which is written first, and what sidecar and older manifests add. */
  #loadSet(): void {
    const set = readManifestSet(this.path(MANIFEST))
    if (set.timeline === undefined) this.#refuseForeign()
    if (set.sidecar !== undefined) this.sidecar = set.sidecar
    else if (set.sidecarProblem !== undefined) {
      this.notices.push(
        `${this.path(SIDECAR)} could not be used: ${set.sidecarProblem}. The timeline was made ` +
          'again from the manifests and the marks in the increments',
      )
    }
    const listed = set.manifest.incrs.at(-1)?.name
    this.sidecar.timeline = set.timeline.filter(
      (entry) =>
        entry.kind === 'gap' || this.isAway(entry.file) || existsSync(this.path(entry.file)),
    )
    const last = this.currentIncr
    // The part after the last may have been begun before the manifest could name it.
    if (last !== undefined && last.file !== listed) this.persist()
  }

  /** The sidecar lists what the manifest did. */
  #loadWithoutManifest(): void {
    if (existsSync(join(this.dir, APPEND_FILE))) this.#refuseForeign()
    const { sidecar, problem } = readSidecar(this.partsDir)
    if (problem !== undefined) {
      throw new FileError(
        'ERR_ARCHIVE_DAMAGED',
        `${this.dir} has no manifest, and its sidecar cannot be used: ${problem}`,
        { hint: `put ${MANIFEST} or ${SIDECAR} back, or give another directory` },
      )
    }
    if (sidecar === undefined || sidecar.timeline.length === 0) return
    const missing = generationsOf(sidecar.timeline).at(-1)
    const files = [missing?.base, ...(missing?.incrs ?? [])].flatMap((each) => each?.file ?? [])
    const gone = files.find((file) => !existsSync(this.path(file)))
    if (missing?.base === undefined || gone !== undefined) {
      throw new FileError(
        'ERR_ARCHIVE_DAMAGED',
        `${this.dir} has no manifest, and ${gone ?? 'the newest snapshot'} is missing too`,
        { hint: 'put the files back, or give another directory' },
      )
    }
    this.sidecar = sidecar
    this.notices.push(`${this.path(MANIFEST)} was missing: it was made again from ${SIDECAR}`)
    this.persist()
  }

  /** Our own temporaries go; what nothing names is told. Returns the names of all parts there. */
  #tidy(): string[] {
    const listed = new Set(this.timeline.map((entry) => (entry.kind === 'gap' ? '' : entry.file)))
    const names = readdirSync(this.partsDir)
    for (const name of names) if (isOwnTemporary(name) || this.isAway(name)) this.#remove(name)
    const parts = names.filter((name) => parsePartName(name) !== undefined && !this.isAway(name))
    const strange = parts.filter((name) => !listed.has(name)).sort()
    if (strange.length > 0) {
      const as = strange.length === 1 ? 'it is' : 'they are'
      this.notices.push(`nothing names ${strange.join(', ')} in ${this.partsDir}: left as ${as}`)
    }
    return parts
  }

  /** New files get numbers that nothing there has. */
  #countFrom(parts: readonly string[]): void {
    const all = parts.flatMap((name) => parsePartName(name) ?? [])
    for (const entry of this.timeline) if (entry.kind !== 'gap') all.push(entry)
    for (const { kind, seq } of all) {
      if (kind === 'base') this.#nextBaseSeq = Math.max(this.#nextBaseSeq, seq + 1)
      else this.#nextIncrSeq = Math.max(this.#nextIncrSeq, seq + 1)
    }
  }

  #findEnd(): void {
    const incr = this.currentIncr
    if (incr === undefined) return
    const mark = this.sidecar.mark
    const synced = mark?.file === incr.file ? mark.filePosition : 0
    const part = recoverPart(this.path(incr.file), synced)
    if (part.head === undefined || part.replOffset < 0) this.#refuseForeign()
    const unstored =
      mark?.file === incr.file &&
      mark.filePosition === part.filePosition &&
      mark.replOffset === part.replOffset &&
      mark.replid === part.replid
        ? mark.unstoredBytes
        : 0
    incr.endReplOffset = undefined
    this.#forgetHashes([incr.file])
    this.sidecar.replid = part.replid
    this.sidecar.unixSeconds = Math.max(this.sidecar.unixSeconds, part.unixSeconds)
    this.sidecar.highestDbnum = Math.max(this.sidecar.highestDbnum, part.highestDbnum)
    this.resume = { incr, part, unstoredBytes: unstored }
  }

  #remove(file: string): void {
    try {
      unlinkSync(this.path(file))
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw fileError(this.path(file), 'remove', error)
    }
  }

  #refuseForeign(): never {
    throw new FileError(
      'ERR_ARCHIVE_FOREIGN',
      `${this.dir} holds an append-only file that rrep did not write, or that a server went on with`,
      {
        hint: 'give an empty or new directory; start servers on a copy of an archive only',
        details: { dir: this.dir },
      },
    )
  }
}
