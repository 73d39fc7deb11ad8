/**
 * A snapshot that replicas are given: a range of a file (or a few bytes in memory), the replid
 * and offset it belongs to, and the RDB version it demands. Any number of replicas read the same
 * file, each with two chunks of memory of its own.
 *
 * A snapshot may still be arriving from upstream while it is passed on, or a file still be looked
 * through. Its last bytes are then held back until all of it is known to be whole and right: a
 * replica that loads a bad RDB ends its process, one that is cut short tries again.
 */
import { unlinkSync } from 'node:fs'
import { crc32 } from 'node:zlib'
import { DataFile } from '../../disk/data-file.js'
import { FileError, InternalError, LinkError, RdbError } from '../../errors.js'
import { MAGIC_BYTES, parseRdbMagic } from '../../rdb/head.js'
import type { RdbMagic } from '../../servers/rdb-version.js'

/** Of an unfinished snapshot, so many last bytes are kept from replicas. */
const HELD_BACK_BYTES = 64
/** The first bytes are looked at for AUX fields. */
const HEAD_BYTES = 512
const CHECKSUM_BYTES = 8
const VERIFY_BYTES = 1 << 20

export interface SnapshotPlace {
  replid: string
  /** Last stream byte that the snapshot contains. */
  replOffset: number
}

export interface SnapshotRange {
  path: string
  /** Where the RDB begins in the file, and how long it is. */
  byteOffset: number
  lengthBytes: number
  /** The lowest RDB version that could hold the same content, where it is known. */
  neededVersion?: number | undefined
  /** Whether the file goes when the snapshot does. */
  isTemporary?: boolean | undefined
  /** It is not known to be sound yet: who looks through it tells how far by `checkedTo`, then `complete`
   * or `fail`. */
  isUnchecked?: boolean | undefined
  /** Finds `neededVersion`, where it is not known and somebody asks. */
  findNeededVersion?: (() => Promise<number | undefined>) | undefined
}

/** What a replica is given: see `Snapshot` for what each means. */
export interface ServedSnapshot {
  readonly place: SnapshotPlace
  readonly lengthBytes: number | undefined
  readonly state: 'growing' | 'complete' | 'failed'
  read(byteOffset: number, into: Buffer): Promise<number>
  whenSendable(byteOffset: number): Promise<void>
  whenComplete(): Promise<void>
  whenHeadKnown(): Promise<RdbMagic>
  whenNeededKnown(): Promise<number | undefined>
  retain(): void
  release(): void
}

export class Snapshot implements ServedSnapshot {
  readonly place: SnapshotPlace
  readonly createdAtMs: number
  /** Bytes of the payload; undefined while it arrives without telling. */
  lengthBytes: number | undefined
  neededVersion: number | undefined
  #state: 'growing' | 'complete' | 'failed' = 'complete'
  #error: Error | undefined
  #writtenBytes = 0
  #file: DataFile | undefined
  #path: string | undefined
  #byteOffset = 0
  #memory: Buffer | undefined
  #isTemporary = false
  #isDiscarded = false
  #users = 0
  #head: Buffer = Buffer.alloc(0)
  #waiting: (() => void)[] = []
  #sum = 0
  #expectedSum: number | undefined
  #verified: Promise<boolean> | undefined
  #findNeeded: (() => Promise<number | undefined>) | undefined
  #needed: Promise<number | undefined> | undefined

  private constructor(place: SnapshotPlace, createdAtMs: number) {
    this.place = place
    this.createdAtMs = createdAtMs
  }

  /** The RDB that stands in a file, which has this sum where one is given. Throws FileError. */
  static async ofFile(
    place: SnapshotPlace,
    range: SnapshotRange,
    createdAtMs = Date.now(),
    sum?: number,
  ): Promise<Snapshot> {
    const snapshot = new Snapshot(place, createdAtMs)
    snapshot.#expectedSum = sum
    snapshot.#file = DataFile.open(range.path, 'r')
    snapshot.#path = range.path
    snapshot.#byteOffset = range.byteOffset
    snapshot.#isTemporary = range.isTemporary ?? false
    snapshot.lengthBytes = range.lengthBytes
    snapshot.neededVersion = range.neededVersion
    snapshot.#findNeeded = range.findNeededVersion
    snapshot.#writtenBytes = range.lengthBytes
    const head = Buffer.alloc(Math.min(HEAD_BYTES, range.lengthBytes))
    await snapshot.read(0, head)
    snapshot.#head = head
    if (range.isUnchecked === true) {
      snapshot.#state = 'growing'
      snapshot.#writtenBytes = 0
    }
    return snapshot
  }

  static ofBytes(place: SnapshotPlace, bytes: Buffer, createdAtMs = Date.now()): Snapshot {
    const snapshot = new Snapshot(place, createdAtMs)
    snapshot.#memory = bytes
    snapshot.lengthBytes = bytes.length
    snapshot.#writtenBytes = bytes.length
    snapshot.#head = bytes.subarray(0, HEAD_BYTES)
    return snapshot
  }

  /** One that arrives: `write` it, then `complete` or `fail`. The file is created, 0600, and goes
   * with the snapshot unless `keep` is called; without a name it goes with the process too,
   * however that ends. Throws FileError. */
  static growing(
    place: SnapshotPlace,
    path: string,
    lengthBytes: number | undefined,
    { isNameless = false }: { isNameless?: boolean } = {},
  ): Snapshot {
    const snapshot = new Snapshot(place, Date.now())
    snapshot.#file = DataFile.create(path, { nameless: isNameless })
    if (!isNameless) snapshot.#path = path
    snapshot.#isTemporary = true
    snapshot.#state = 'growing'
    snapshot.lengthBytes = lengthBytes
    return snapshot
  }

  get state(): 'growing' | 'complete' | 'failed' {
    return this.#state
  }

  get path(): string | undefined {
    return this.#path
  }

  get writtenBytes(): number {
    return this.#writtenBytes
  }

  /** CRC-32 of what was written. */
  get sum(): number {
    return this.#expectedSum ?? this.#sum
  }

  /** Is the file still what it was when its sum was noted? Read once. */
  async isSound(): Promise<boolean> {
    if (this.#expectedSum === undefined) return true
    this.#verified ??= this.#verify(this.#expectedSum)
    return await this.#verified
  }

  async #verify(expected: number): Promise<boolean> {
    const buffer = Buffer.allocUnsafeSlow(VERIFY_BYTES)
    let sum = 0
    this.retain()
    try {
      for (let at = 0; at < this.#writtenBytes;) {
        const count = await this.read(at, buffer)
        sum = crc32(buffer.subarray(0, count), sum)
        at += count
      }
    } catch (error) {
      if (error instanceof FileError) return false
      throw error
    } finally {
      this.release()
    }
    return sum === expected
  }

  /** Bytes that may be sent now. */
  get sendableBytes(): number {
    if (this.#state === 'complete') return this.#writtenBytes
    return Math.max(0, this.#writtenBytes - HELD_BACK_BYTES)
  }

  /** Up to 512 first bytes, as far as they are there. */
  get head(): Buffer {
    return this.#head
  }

  /** Undefined while fewer than 9 bytes are there. Throws ProtocolError where it is no RDB. */
  get magic(): RdbMagic | undefined {
    return this.#head.length < MAGIC_BYTES ? undefined : parseRdbMagic(this.#head)
  }

  write(bytes: Buffer, start: number, end: number): void {
    if (this.#file === undefined) throw new InternalError('a snapshot was written after its end')
    if (this.#head.length < HEAD_BYTES) {
      const missing = HEAD_BYTES - this.#head.length
      this.#head = Buffer.concat([
        this.#head,
        bytes.subarray(start, Math.min(end, start + missing)),
      ])
    }
    this.#file.append(bytes, start, end)
    this.#sum = crc32(bytes.subarray(start, end), this.#sum)
    this.#writtenBytes += end - start
    this.#wake()
  }

  /** So many bytes of an unchecked file are sound. */
  checkedTo(byteCount: number): void {
    this.#writtenBytes = Math.min(byteCount, this.lengthBytes ?? byteCount)
    this.#wake()
  }

  /** The lowest version that its content can stand under; undefined where that cannot be known. */
  async whenNeededKnown(): Promise<number | undefined> {
    await this.whenComplete()
    if (this.neededVersion !== undefined || this.#findNeeded === undefined) {
      return this.neededVersion
    }
    this.#needed ??= this.#findNeeded()
    this.neededVersion = await this.#needed
    return this.neededVersion
  }

  complete(neededVersion?: number): void {
    this.#state = 'complete'
    this.neededVersion = neededVersion
    this.lengthBytes = this.#writtenBytes
    this.#wake()
  }

  fail(error: Error): void {
    if (this.#state !== 'growing') return
    this.#state = 'failed'
    this.#error = error
    this.discard()
    this.#wake()
  }

  /** Makes the file outlive the process: for a backlog directory. Resolves once it is on disk;
   * false where it was discarded meanwhile. */
  async keep(): Promise<boolean> {
    const file = this.#file
    if (file === undefined || this.#isDiscarded) return false
    this.#isTemporary = false
    this.retain()
    // Not at once: a gigabyte takes a while, and the stream goes on.
    await file.sync().finally(() => this.release())
    return !this.#isDiscarded
  }

  /** Reads payload bytes from `byteOffset` on; resolves with how many, at least one unless `into`
   * is empty. */
  async read(byteOffset: number, into: Buffer): Promise<number> {
    const length = Math.min(into.length, this.sendableBytes - byteOffset)
    if (this.#memory !== undefined) {
      return this.#memory.copy(into, 0, byteOffset, byteOffset + length)
    }
    const file = this.#file
    if (file === undefined) throw new InternalError('a snapshot was read after its end')
    const at = this.#byteOffset + byteOffset
    const count = await file.read(at, into, length)
    if (count === 0 && length > 0) {
      throw new FileError('ERR_FILE_CHANGED', `${file.path} became shorter while it was served`, {
        details: { file: file.path, byteOffset: at },
      })
    }
    return count
  }

  /** Resolves once more than `byteOffset` bytes may be sent, or the snapshot is complete. Rejects
   * with what made it fail. */
  async whenSendable(byteOffset: number): Promise<void> {
    while (this.#state === 'growing' && this.sendableBytes <= byteOffset) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
    this.#throwIfFailed()
  }

  /** Resolves once all of it is there and right. */
  async whenComplete(): Promise<void> {
    while (this.#state === 'growing') {
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
    this.#throwIfFailed()
  }

  /** Resolves once its version is known. */
  async whenHeadKnown(): Promise<RdbMagic> {
    while (this.#state === 'growing' && this.#head.length < MAGIC_BYTES) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve))
    }
    this.#throwIfFailed()
    return parseRdbMagic(this.#head)
  }

  retain(): void {
    this.#users += 1
  }

  release(): void {
    this.#users -= 1
    this.#closeIfUnused()
  }

  /** Nobody new will be given this; it goes when the last reader is through. */
  discard(): void {
    if (this.#isDiscarded) return
    this.#isDiscarded = true
    if (this.#isTemporary && this.#path !== undefined) {
      try {
        unlinkSync(this.#path)
      } catch {
        // Whoever removed it did what was to be done.
      }
    }
    this.#closeIfUnused()
  }

  /** Like `discard`, for one that was kept on disk: its file goes too. */
  remove(): void {
    this.#isTemporary = true
    this.discard()
  }

  #closeIfUnused(): void {
    if (!this.#isDiscarded || this.#users > 0) return
    this.#file?.close()
    this.#file = undefined
  }

  #throwIfFailed(): void {
    if (this.#state !== 'failed') return
    const what =
      this.#error instanceof RdbError
        ? 'the snapshot is damaged'
        : 'the snapshot from upstream ended early'
    throw new LinkError('ERR_SNAPSHOT_FAILED', what, {
      cause: this.#error,
      retriable: true,
    })
  }

  #wake(): void {
    const waiting = this.#waiting
    if (waiting.length === 0) return
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }
}

/** Makes payload bytes `[byteOffset, byteOffset + chunk.length)` say another RDB version: digits
 * of the magic, and a checksum of zero, which servers take for "not computed". */
export function relabel(
  chunk: Buffer,
  byteOffset: number,
  lengthBytes: number,
  version: number,
): void {
  const digits = Buffer.from(`REDIS${String(version).padStart(4, '0')}`)
  for (let at = byteOffset; at < MAGIC_BYTES && at - byteOffset < chunk.length; at += 1) {
    chunk[at - byteOffset] = digits[at]!
  }
  const checksumAt = Math.max(lengthBytes - CHECKSUM_BYTES - byteOffset, 0)
  if (checksumAt < chunk.length) chunk.fill(0, checksumAt)
}
