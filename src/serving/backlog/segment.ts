/**
 * One file of the backlog on disk: stream bytes and nothing else, and beside it the sums of its
 * blocks. No byte is given to a replica whose block does not have the sum that was noted when it
 * was written.
 *
 *   <epoch>-<first offset, 16 digits>.stream    the bytes
 *   <epoch>-<first offset, 16 digits>.sums      64 bytes of head, then for each block of 64 KiB
 *                                               its CRC-32 and how many bytes that covers (LE)
 *
 * The head says of which segment the sums are, so a file under another's name is noticed too.
 * Bytes are only ever added, and their sums noted behind them: after a kill in between the sums
 * cover a shorter, still right beginning.
 */
import { readFileSync, rmSync, statSync, truncateSync } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { FileError } from '../../errors.js'

const BLOCK_BYTES = 64 << 10
const HEAD_BYTES = 64
const ENTRY_BYTES = 8
const READ_BYTES = 1 << 20
const NAME = /^([0-9a-f]{8})-(\d{16})\.(stream|sums)$/

export class Segment {
  readonly path: string
  /** Of its first byte. */
  readonly replOffset: number
  readonly #sumsPath: string
  readonly #head: Buffer
  #writtenBytes = 0
  /** One for each block; of the last one as far as it is written. */
  #sums: number[] = []
  #handles: Promise<[FileHandle, FileHandle]> | undefined
  #isNew = true

  constructor(dir: string, epoch: string, replOffset: number) {
    const name = `${epoch}-${String(replOffset).padStart(16, '0')}`
    this.path = join(dir, `${name}.stream`)
    this.#sumsPath = join(dir, `${name}.sums`)
    this.replOffset = replOffset
    this.#head = Buffer.from(`rrep sums 1 ${name}`.padEnd(HEAD_BYTES - 1) + '\n', 'latin1')
  }

  get writtenBytes(): number {
    return this.#writtenBytes
  }

  /** Offset of the byte behind its last. */
  get nextReplOffset(): number {
    return this.replOffset + this.#writtenBytes
  }

  /** Takes up what is on disk, as far as the sums bear it out, but nothing behind
   * `trustedReplOffset`, and cuts the file there. Resolves with what is wrong with it, undefined
   * where nothing is. */
  async restore(trustedReplOffset: number): Promise<string | undefined> {
    this.#isNew = false
    const trustedBytes = Math.max(0, trustedReplOffset - this.replOffset + 1)
    const fileBytes = statSync(this.path).size
    const noted = this.#notedSums()
    if (noted === undefined) {
      truncateSync(this.path, 0)
      return `${this.path} has no sums`
    }
    let damage: string | undefined
    const handles = await this.#open()
    const block = Buffer.allocUnsafe(BLOCK_BYTES)
    for (const [index, { sum, lengthBytes }] of noted.entries()) {
      const start = index * BLOCK_BYTES
      if (start >= trustedBytes) break
      const isThere = start + lengthBytes <= fileBytes
      const bytes = block.subarray(0, isThere ? lengthBytes : 0)
      if (isThere) await readFully(handles[0], bytes, start)
      if (!isThere || crc32(bytes) !== sum) {
        damage = `${this.path} is damaged at byte ${start}`
        break
      }
      this.#take(bytes.subarray(0, Math.min(lengthBytes, trustedBytes - start)))
      if (lengthBytes < BLOCK_BYTES) break
    }
    if (fileBytes > this.#writtenBytes) await handles[0].truncate(this.#writtenBytes)
    await this.#noteSums(handles[1], 0)
    return damage
  }

  /** Adds these bytes; resolves with how many were taken. */
  async write(bytes: Buffer): Promise<number> {
    const [data, sums] = await this.#open()
    const { bytesWritten } = await data.write(bytes, 0, bytes.length, this.#writtenBytes)
    const firstBlock = Math.floor(this.#writtenBytes / BLOCK_BYTES)
    this.#take(bytes.subarray(0, bytesWritten))
    await this.#noteSums(sums, firstBlock)
    return bytesWritten
  }

  /** Fills `into` with bytes from `replOffset` on. Rejects with FileError `ERR_BACKLOG_DAMAGED`
   * where they are not what was written. */
  async read(replOffset: number, into: Buffer): Promise<number> {
    const within = replOffset - this.replOffset
    const start = within - (within % BLOCK_BYTES)
    // What is written from here on is of no concern to this read.
    const end = Math.min(this.#writtenBytes, start + READ_BYTES, within + into.length)
    const lastBlockEnd = Math.min(this.#writtenBytes, Math.ceil(end / BLOCK_BYTES) * BLOCK_BYTES)
    const sums = this.#sums.slice(start / BLOCK_BYTES, Math.ceil(lastBlockEnd / BLOCK_BYTES))
    const [data] = await this.#open()
    const blocks = Buffer.allocUnsafeSlow(lastBlockEnd - start)
    const count = await readFully(data, blocks, start)
    for (const [index, sum] of sums.entries()) {
      const at = index * BLOCK_BYTES
      const bytes = blocks.subarray(at, Math.min(at + BLOCK_BYTES, blocks.length))
      if (count < blocks.length || crc32(bytes) !== sum) {
        throw new FileError(
          'ERR_BACKLOG_DAMAGED',
          `${this.path} is damaged at byte ${start + at}: not what was written there`,
          { details: { file: this.path, byteOffset: start + at } },
        )
      }
    }
    return blocks.copy(into, 0, within - start, end - start)
  }

  /** Resolves once all that is written is on disk. */
  async sync(): Promise<void> {
    if (this.#handles === undefined) return
    const [data, sums] = await this.#handles
    await data.datasync()
    await sums.datasync()
  }

  async close(): Promise<void> {
    const handles = await this.#handles?.catch(() => undefined)
    this.#handles = undefined
    for (const handle of handles ?? []) await handle.close()
  }

  async remove(): Promise<void> {
    rmSync(this.path, { force: true })
    rmSync(this.#sumsPath, { force: true })
    await this.close()
  }

  /** Adds the bytes to the sums. */
  #take(bytes: Buffer): void {
    let at = 0
    while (at < bytes.length) {
      const index = Math.floor(this.#writtenBytes / BLOCK_BYTES)
      const room = BLOCK_BYTES - (this.#writtenBytes % BLOCK_BYTES)
      const part = bytes.subarray(at, at + room)
      this.#sums[index] = crc32(part, this.#sums[index] ?? 0)
      this.#writtenBytes += part.length
      at += part.length
    }
  }

  async #noteSums(handle: FileHandle, firstBlock: number): Promise<void> {
    const entries = Buffer.alloc((this.#sums.length - firstBlock) * ENTRY_BYTES)
    for (let index = firstBlock; index < this.#sums.length; index += 1) {
      const at = (index - firstBlock) * ENTRY_BYTES
      entries.writeUInt32LE(this.#sums[index]!, at)
      const lengthBytes = Math.min(BLOCK_BYTES, this.#writtenBytes - index * BLOCK_BYTES)
      entries.writeUInt32LE(lengthBytes, at + 4)
    }
    if (firstBlock > 0) {
      await writeFully(handle, entries, HEAD_BYTES + firstBlock * ENTRY_BYTES)
      return
    }
    await writeFully(handle, Buffer.concat([this.#head, entries]), 0)
  }

  /** Undefined where the file is not there or not of this segment. */
  #notedSums(): { sum: number; lengthBytes: number }[] | undefined {
    let bytes: Buffer
    try {
      bytes = readFileSync(this.#sumsPath)
    } catch {
      // Without sums nothing is known of the bytes.
      return undefined
    }
    if (!bytes.subarray(0, HEAD_BYTES).equals(this.#head)) return undefined
    const noted: { sum: number; lengthBytes: number }[] = []
    for (let at = HEAD_BYTES; at + ENTRY_BYTES <= bytes.length; at += ENTRY_BYTES) {
      const lengthBytes = Math.min(bytes.readUInt32LE(at + 4), BLOCK_BYTES)
      noted.push({ sum: bytes.readUInt32LE(at), lengthBytes })
    }
    return noted
  }

  async #open(): Promise<[FileHandle, FileHandle]> {
    // 'a+' would append wherever we say; the file must exist before it can be opened for both.
    const flags = this.#isNew ? 'w+' : 'r+'
    this.#isNew = false
    this.#handles ??= Promise.all([
      open(this.path, flags, 0o600),
      open(this.#sumsPath, flags, 0o600),
    ])
    return await this.#handles
  }
}

/** The first offsets of the segments of this epoch, in order; and all files that are segments. */
export function findSegments(
  names: readonly string[],
  epoch: string,
): { replOffsets: number[]; files: string[] } {
  const replOffsets: number[] = []
  const files: string[] = []
  for (const name of [...names].sort()) {
    const match = NAME.exec(name)
    if (match === null) continue
    files.push(name)
    if (match[1] === epoch && match[3] === 'stream') replOffsets.push(Number(match[2]))
  }
  return { replOffsets, files }
}

async function readFully(handle: FileHandle, into: Buffer, position: number): Promise<number> {
  let done = 0
  while (done < into.length) {
    const { bytesRead } = await handle.read(into, done, into.length - done, position + done)
    if (bytesRead === 0) return done
    done += bytesRead
  }
  return done
}

async function writeFully(handle: FileHandle, bytes: Buffer, position: number): Promise<void> {
  let done = 0
  while (done < bytes.length) {
    const { bytesWritten } = await handle.write(bytes, done, bytes.length - done, position + done)
    done += bytesWritten
  }
}
