/**
 * The backlog on disk: segments of the stream, and the newest part in memory too. Replicas that
 * keep up are fed from memory, the others from the files.
 *
 * What was damaged on disk is noticed by its sums and never given to anybody: such a segment and
 * what is older is forgotten, which costs a replica that wanted it a full resync.
 *
 * Bytes are written behind the replicas' backs; a process that is killed loses what was not yet
 * written, a machine that fails what was not yet synced (each second). Neither harms: upstream is
 * asked again from the last byte that is there.
 */
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileError } from '../../disk/file-error.js'
import { FileError, InternalError, LinkError } from '../../errors.js'
import { MemoryBacklog } from './memory-backlog.js'
import type { GrowingLog, Retainer } from '../origin/stream-log.js'
import { findSegments, Segment } from './segment.js'

const TAIL_BYTES = 16 << 20
const WRITE_BYTES = 1 << 20
/** More than this unwritten, and upstream is made to wait until half of it is on disk. */
const MAX_UNWRITTEN_BYTES = 128 << 20
const MIN_SEGMENT_BYTES = 1 << 20
const MAX_SEGMENT_BYTES = 64 << 20

export interface DiskBacklogOptions {
  dir: string
  sizeBytes: number
  retain: Retainer
  /** A write failed: from now on there is only what is in memory. The files stay as they are, a
   * true beginning of the history. */
  onError: (error: FileError) => void
  /** A part of it is damaged, and forgotten. */
  onDamage: (reason: string) => void
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
    makeDir(options.dir)
    const log = new DiskBacklog(options, epoch, nextReplOffset)
    log.#removeOthers()
    return log
  }

  /** Takes up what an earlier process left: the newest segments of this epoch that are sound and
   * join without a gap. Bytes behind `trustedReplOffset` are cut off. `nextReplOffset` is where an
   * empty one begins. */
  static async restore(
    options: DiskBacklogOptions,
    epoch: string,
    nextReplOffset: number,
    trustedReplOffset: number,
  ): Promise<DiskBacklog> {
    const { dir, onDamage } = options
    makeDir(dir)
    const joined: Segment[] = []
    for (const replOffset of findSegments(readdirSync(dir), epoch).replOffsets) {
      if (replOffset > trustedReplOffset) break
      const segment = new Segment(dir, epoch, replOffset)
      const damage = await segment.restore(trustedReplOffset)
      if (damage !== undefined) onDamage(damage)
      const last = joined.at(-1)
      if (last !== undefined && last.nextReplOffset !== replOffset) {
        if (damage === undefined) onDamage(`${dir} has no offset ${last.nextReplOffset}`)
        for (const each of joined.splice(0)) await each.close()
      }
      if (segment.writtenBytes > 0) joined.push(segment)
      else await segment.close()
    }
    const log = new DiskBacklog(options, epoch, joined.at(-1)?.nextReplOffset ?? nextReplOffset)
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
    for (const segment of old) void segment.remove()
  }

  async cutBack(nextReplOffset: number): Promise<void> {
    await this.flush()
    await this.#tail.cutBack(nextReplOffset)
    const at = this.#segments.findIndex((each) => each.nextReplOffset > nextReplOffset)
    const gone = at < 0 ? [] : this.#segments.splice(at)
    this.#unwrittenReplOffset = Math.min(this.#unwrittenReplOffset, nextReplOffset)
    this.syncedReplOffset = Math.min(this.syncedReplOffset, nextReplOffset - 1)
    for (const segment of gone) {
      if (segment.replOffset >= nextReplOffset) {
        await segment.remove()
        continue
      }
      await segment.close()
      const kept = new Segment(this.#options.dir, this.#epoch, segment.replOffset)
      const damage = await kept.restore(nextReplOffset - 1)
      if (damage === undefined) this.#segments.push(kept)
      else this.#forgetAll(damage, nextReplOffset)
    }
  }

  view(replOffset: number, maxBytes: number): Buffer | undefined {
    return this.#tail.view(replOffset, maxBytes)
  }

  async read(replOffset: number, into: Buffer): Promise<number> {
    const segment = this.#segmentAt(replOffset)
    if (segment === undefined) return await this.#tail.read(replOffset, into)
    try {
      const count = await segment.read(replOffset, into)
      if (count > 0) return count
    } catch (error) {
      // Else it was trimmed while it was read: the handle is closed.
      if (this.#segments.includes(segment)) {
        if (!(error instanceof FileError)) throw fileError(segment.path, 'read', error)
        this.#forget(segment, error)
        throw error
      }
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
    if (segment === undefined || written <= this.syncedReplOffset || this.#isBroken) return
    try {
      await segment.sync()
      this.syncedReplOffset = Math.max(this.syncedReplOffset, written)
    } catch (error) {
      if (this.#segments.includes(segment)) this.#break(fileError(segment.path, 'store', error))
    }
  }

  async close(): Promise<void> {
    await this.flush()
    for (const segment of this.#segments) await segment.close()
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
      this.#break(fileError(this.#options.dir, 'write', error))
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
    if (view === undefined) {
      throw new InternalError(`bytes of the backlog were forgotten: ${segment.path}`)
    }
    let bytesWritten = 0
    try {
      bytesWritten = await segment.write(view)
    } catch (error) {
      if (this.#segments.at(-1) === segment) throw error
    }
    // Reset or forgotten meanwhile: these bytes belong to nothing any more.
    if (this.#segments.at(-1) !== segment) return
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
    const segment = new Segment(this.#options.dir, this.#epoch, this.#unwrittenReplOffset)
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
      void this.#segments.shift()!.remove()
    }
  }

  #segmentAt(replOffset: number): Segment | undefined {
    for (let index = this.#segments.length - 1; index >= 0; index -= 1) {
      const segment = this.#segments[index]!
      if (replOffset < segment.replOffset) continue
      return replOffset < segment.nextReplOffset ? segment : undefined
    }
    return undefined
  }

  /** A damaged segment goes, and what is older than it: a log has no holes. */
  #forget(segment: Segment, error: FileError): void {
    const count = this.#segments.indexOf(segment) + 1
    for (const each of this.#segments.splice(0, count)) void each.remove()
    this.#options.onDamage(error.message)
  }

  #forgetAll(damage: string, nextReplOffset: number): void {
    this.reset(nextReplOffset)
    this.#options.onDamage(damage)
  }

  #removeOthers(): void {
    const kept = new Set(this.#segments.map((segment) => segment.path))
    for (const name of findSegments(readdirSync(this.#options.dir), this.#epoch).files) {
      const path = join(this.#options.dir, name)
      if (!kept.has(path.replace(/\.sums$/, '.stream'))) rmSync(path, { force: true })
    }
  }

  #break(error: FileError): void {
    if (this.#isBroken) return
    this.#isBroken = true
    for (const segment of this.#segments) void segment.close()
    this.#segments = []
    this.#drained?.resolve()
    this.#options.onError(error)
  }
}

function makeDir(dir: string): void {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 })
  } catch (error) {
    throw fileError(dir, 'create', error)
  }
}
