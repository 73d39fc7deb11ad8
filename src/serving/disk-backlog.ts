/**
 * The backlog on disk: segment files of stream bytes and nothing else, named by the offset of
 * their first byte, and the newest part in memory too. Replicas that keep up are fed from memory,
 * the others from the files.
 *
 *   <dir>/<epoch>-<first offset, 16 digits>.stream
 *
 * Bytes are written behind the replicas' backs; a process that is killed loses what was not yet
 * written, a machine that fails what was not yet synced (each second). Neither harms: upstream is
 * asked again from the last byte that is there.
 */
import { mkdirSync, readdirSync, rmSync, statSync, truncateSync } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { FileError, LinkError } from '../errors.js'
import { MemoryBacklog } from './memory-backlog.js'
import type { GrowingLog, Retainer } from './stream-log.js'

const TAIL_BYTES = 16 << 20
const WRITE_BYTES = 1 << 20
/** More than this unwritten, and upstream is made to wait until half of it is on disk. */
const MAX_UNWRITTEN_BYTES = 128 << 20
const MIN_SEGMENT_BYTES = 1 << 20
const MAX_SEGMENT_BYTES = 64 << 20
const NAME = /^([0-9a-f]{8})-(\d{16})\.stream$/

interface Segment {
  readonly path: string
  readonly replOffset: number
  writtenBytes: number
  handle: Promise<FileHandle> | undefined
}

export interface DiskBacklogOptions {
  dir: string
  sizeBytes: number
  retain: Retainer
  /** A write failed: from now on there is only what is in memory. The files stay as they are, a
   * true beginning of the history. */
  onError: (error: FileError) => void
}

export class DiskBacklog implements GrowingLog {
  readonly #options: DiskBacklogOptions
  readonly #tail: MemoryBacklog
  readonly #segmentBytes: number
  #epoch: string
  #segments: Segment[] = []
  /** Next byte to write. */
  #unwrittenReplOffset: number
  #isWriting = false
  #idle: (() => void)[] = []
  #drained: { promise: Promise<void>; resolve: () => void } | undefined
  #isBroken = false
  /** Everything below is synced. */
  syncedReplOffset: number

  private constructor(options: DiskBacklogOptions, epoch: string, nextReplOffset: number) {
    this.#options = options
    this.#epoch = epoch
    this.#segmentBytes = Math.max(
      MIN_SEGMENT_BYTES,
      Math.min(MAX_SEGMENT_BYTES, options.sizeBytes >> 4),
    )
    this.#unwrittenReplOffset = nextReplOffset
    this.syncedReplOffset = nextReplOffset - 1
    const tailBytes = Math.min(TAIL_BYTES, options.sizeBytes)
    this.#tail = new MemoryBacklog(tailBytes, nextReplOffset, () =>
      this.#isBroken ? Infinity : this.#unwrittenReplOffset,
    )
  }

  static create(options: DiskBacklogOptions, epoch: string, nextReplOffset: number): DiskBacklog {
    mkdirSync(options.dir, { recursive: true, mode: 0o700 })
    const log = new DiskBacklog(options, epoch, nextReplOffset)
    log.#removeOthers()
    return log
  }

  /** Takes up what an earlier process left: the segments of this epoch that join without a gap.
   * Bytes behind `trustedReplOffset` are cut off. `nextReplOffset` is where an empty one begins. */
  static restore(
    options: DiskBacklogOptions,
    epoch: string,
    nextReplOffset: number,
    trustedReplOffset: number,
  ): DiskBacklog {
    mkdirSync(options.dir, { recursive: true, mode: 0o700 })
    let joined: Segment[] = []
    for (const segment of findSegments(options.dir, epoch)) {
      const last = joined.at(-1)
      const isNext =
        last !== undefined && last.replOffset + last.writtenBytes === segment.replOffset
      if (last !== undefined && !isNext) joined = []
      if (segment.replOffset > trustedReplOffset) break
      const keptBytes = Math.min(segment.writtenBytes, trustedReplOffset - segment.replOffset + 1)
      if (keptBytes < segment.writtenBytes) truncateSync(segment.path, keptBytes)
      segment.writtenBytes = keptBytes
      joined.push(segment)
    }
    const last = joined.at(-1)
    const next = last === undefined ? nextReplOffset : last.replOffset + last.writtenBytes
    const log = new DiskBacklog(options, epoch, next)
    log.#segments = joined
    log.#removeOthers()
    return log
  }

  get firstReplOffset(): number {
    return this.#segments[0]?.replOffset ?? this.#tail.firstReplOffset
  }

  get endReplOffset(): number {
    return this.#tail.endReplOffset
  }

  get memoryBytes(): number {
    return this.#tail.memoryBytes
  }

  append(bytes: Uint8Array, start: number, end: number): void {
    this.#tail.append(bytes, start, end)
    this.#kick()
  }

  reset(nextReplOffset: number, epoch = this.#epoch): void {
    const old = this.#segments
    this.#segments = []
    this.#epoch = epoch
    this.#tail.reset(nextReplOffset)
    this.#unwrittenReplOffset = nextReplOffset
    this.syncedReplOffset = nextReplOffset - 1
    for (const segment of old) void removeSegment(segment)
  }

  view(replOffset: number, maxBytes: number): Buffer | undefined {
    return this.#tail.view(replOffset, maxBytes)
  }

  async read(replOffset: number, into: Buffer): Promise<number> {
    const segment = this.#segmentAt(replOffset)
    if (segment === undefined) return await this.#tail.read(replOffset, into)
    const within = replOffset - segment.replOffset
    const length = Math.min(into.length, segment.writtenBytes - within)
    try {
      const handle = await openSegment(segment)
      const { bytesRead } = await handle.read(into, 0, length, within)
      if (bytesRead > 0) return bytesRead
    } catch (error) {
      // Trimmed while it was read: the handle is closed.
      if (this.#segments.includes(segment)) throw cannot('read', segment.path, error)
    }
    throw new LinkError('ERR_BACKLOG_PASSED', `the backlog no longer holds offset ${replOffset}`)
  }

  drain(): Promise<void> | undefined {
    if (this.#isBroken) return undefined
    const unwritten = this.endReplOffset - this.#unwrittenReplOffset + 1
    if (unwritten < MAX_UNWRITTEN_BYTES) return undefined
    if (this.#drained === undefined) {
      let resolve = (): void => undefined
      const promise = new Promise<void>((done) => (resolve = done))
      this.#drained = { promise, resolve }
    }
    return this.#drained.promise
  }

  /** Resolves once everything appended so far is written and synced. */
  async flush(): Promise<void> {
    const target = this.endReplOffset
    while (this.#unwrittenReplOffset <= target && !this.#isBroken) {
      this.#kick()
      await new Promise<void>((resolve) => this.#idle.push(resolve))
    }
    await this.sync()
  }

  /** Syncs what is written. */
  async sync(): Promise<void> {
    const written = this.#unwrittenReplOffset - 1
    const segment = this.#segments.at(-1)
    if (segment?.handle === undefined || written <= this.syncedReplOffset || this.#isBroken) return
    try {
      const handle = await segment.handle
      await handle.datasync()
      this.syncedReplOffset = Math.max(this.syncedReplOffset, written)
    } catch (error) {
      if (this.#segments.includes(segment)) this.#break(cannot('sync', segment.path, error))
    }
  }

  async close(): Promise<void> {
    await this.flush()
    for (const segment of this.#segments) await closeSegment(segment)
  }

  #kick(): void {
    if (this.#isWriting || this.#isBroken) return
    this.#isWriting = true
    void this.#writeAll()
  }

  async #writeAll(): Promise<void> {
    try {
      while (this.#unwrittenReplOffset <= this.endReplOffset) await this.#writeSome()
    } catch (error) {
      this.#break(error instanceof FileError ? error : cannot('write', this.#options.dir, error))
    } finally {
      this.#isWriting = false
      const idle = this.#idle
      this.#idle = []
      for (const resolve of idle) resolve()
    }
  }

  async #writeSome(): Promise<void> {
    const segment = await this.#segmentToWrite()
    const room = this.#segmentBytes - segment.writtenBytes
    const from = this.#unwrittenReplOffset
    const view = this.#tail.view(from, Math.min(WRITE_BYTES, room))
    if (view === undefined) throw cannot('write', segment.path, new Error('bytes were forgotten'))
    const handle = await openSegment(segment)
    const { bytesWritten } = await handle.write(view, 0, view.length, segment.writtenBytes)
    // Reset meanwhile: these bytes belong to nothing any more.
    if (this.#segments.at(-1) !== segment) return
    segment.writtenBytes += bytesWritten
    this.#unwrittenReplOffset += bytesWritten
    const unwritten = this.endReplOffset - this.#unwrittenReplOffset + 1
    if (this.#drained !== undefined && unwritten < MAX_UNWRITTEN_BYTES / 2) {
      this.#drained.resolve()
      this.#drained = undefined
    }
  }

  async #segmentToWrite(): Promise<Segment> {
    const last = this.#segments.at(-1)
    if (last !== undefined && last.writtenBytes < this.#segmentBytes) return last
    await this.sync()
    const segment: Segment = {
      path: segmentPath(this.#options.dir, this.#epoch, this.#unwrittenReplOffset),
      replOffset: this.#unwrittenReplOffset,
      writtenBytes: 0,
      handle: undefined,
    }
    this.#segments.push(segment)
    this.#trim()
    return segment
  }

  /** Whole segments that neither the size nor a replica asks for go. */
  #trim(): void {
    const { sizeBytes, retain } = this.#options
    const next = this.#unwrittenReplOffset
    if (next - this.firstReplOffset <= sizeBytes) return
    const keep = Math.min(next - sizeBytes, retain())
    while (this.#segments.length > 1 && this.#segments[1]!.replOffset <= keep) {
      void removeSegment(this.#segments.shift()!)
    }
  }

  #segmentAt(replOffset: number): Segment | undefined {
    for (let index = this.#segments.length - 1; index >= 0; index -= 1) {
      const segment = this.#segments[index]!
      if (replOffset < segment.replOffset) continue
      return replOffset < segment.replOffset + segment.writtenBytes ? segment : undefined
    }
    return undefined
  }

  #removeOthers(): void {
    const kept = new Set(this.#segments.map((segment) => segment.path))
    for (const name of readdirSync(this.#options.dir)) {
      const path = join(this.#options.dir, name)
      if (NAME.test(name) && !kept.has(path)) rmSync(path, { force: true })
    }
  }

  #break(error: FileError): void {
    if (this.#isBroken) return
    this.#isBroken = true
    for (const segment of this.#segments) void closeSegment(segment)
    this.#segments = []
    this.#drained?.resolve()
    this.#options.onError(error)
  }
}

function segmentPath(dir: string, epoch: string, replOffset: number): string {
  return join(dir, `${epoch}-${String(replOffset).padStart(16, '0')}.stream`)
}

function findSegments(dir: string, epoch: string): Segment[] {
  const found: Segment[] = []
  for (const name of readdirSync(dir).sort()) {
    const match = NAME.exec(name)
    if (match?.[1] !== epoch) continue
    const path = join(dir, name)
    const writtenBytes = statSync(path).size
    found.push({ path, replOffset: Number(match[2]), writtenBytes, handle: undefined })
  }
  return found
}

async function openSegment(segment: Segment): Promise<FileHandle> {
  // 'a+' would append wherever we say; the file must exist before it can be opened for both.
  segment.handle ??= open(segment.path, segment.writtenBytes === 0 ? 'w+' : 'r+', 0o600)
  return await segment.handle
}

async function closeSegment(segment: Segment): Promise<void> {
  const handle = await segment.handle?.catch(() => undefined)
  segment.handle = undefined
  await handle?.close()
}

async function removeSegment(segment: Segment): Promise<void> {
  rmSync(segment.path, { force: true })
  await closeSegment(segment)
}

function cannot(what: string, path: string, cause: unknown): FileError {
  const code = (cause as NodeJS.ErrnoException).code ?? String(cause)
  return new FileError('ERR_BACKLOG_DISK', `cannot ${what} the backlog at ${path}: ${code}`, {
    cause,
  })
}
