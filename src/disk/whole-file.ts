/**
 * A file that appears under its name whole or not at all.
 *
 * It grows as a hidden temporary beside its place, readable by its owner only; `commit` brings it
 * to disk, gives it its name and brings the name to disk. Until then the old file is untouched,
 * and `discard` leaves no trace. A killed process leaves its temporary; the next sink for the same
 * target removes it, but never one whose process lives.
 */
import {
  closeSync,
  fdatasync,
  fsync,
  ftruncateSync,
  openSync,
  renameSync,
  unlinkSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { FileError } from '../errors.js'
import { BLOCK_BYTES, DirectBlocks } from './direct-blocks.js'
import { fileError } from './file-error.js'
import { removeLeftovers } from './leftovers.js'
import { temporaryName, temporaryState } from './owner.js'
import { syncDirectory, writeAll } from './write-all.js'
import { statOf } from './stat.js'

const MODE = 0o600

/** After so many bytes they are sent on their way to the disk, beside the transfer: else the last
 * fsync has to wait for all of them. */
const WRITE_BACK_BYTES = 64 << 20

const fsyncAsync = promisify(fsync)
const fdatasyncAsync = promisify(fdatasync)

export interface WholeFileOptions {
  /** For much data that nobody reads soon: past the system's cache, where that can be had. */
  direct?: boolean | undefined
}

export class WholeFile {
  readonly targetPath: string
  /** Where the bytes are until `commit`. */
  readonly temporaryPath: string
  #fd: number | undefined
  #blocks: DirectBlocks | undefined
  /** No more is sent, but not all is there. */
  #ending: DirectBlocks | undefined
  /** In the file. */
  #bytes = 0
  #writtenBack = 0
  #writeBack: Promise<void> | undefined
  #writeBackFault: unknown

  /** Clears what dead runs left, and opens a temporary. Throws FileError. */
  constructor(targetPath: string, options: WholeFileOptions = {}) {
    this.targetPath = targetPath
    const directory = dirname(targetPath)
    const name = basename(targetPath)
    if (statOf(targetPath)?.isDirectory() === true) {
      throw new FileError('ERR_CANNOT_WRITE', `${targetPath} is a directory`, {
        hint: 'name a file in it',
        details: { file: targetPath },
      })
    }
    this.temporaryPath = join(directory, temporaryName(name))
    removeLeftovers(directory, (found) => temporaryState(found, name))
    try {
      this.#fd = openSync(this.temporaryPath, 'wx+', MODE)
    } catch (error) {
      throw fileError(targetPath, 'write', error)
    }
    if (options.direct === true) this.#blocks = DirectBlocks.open(this.temporaryPath)
  }

  get bytes(): number {
    return this.#bytes + (this.#blocks?.pending ?? 0)
  }

  /** Those in the file, in one piece from its beginning. */
  get fileBytes(): number {
    const bytes = this.#blocks?.fileBytes(this.#bytes) ?? this.#bytes
    return this.#ending?.fileBytes(bytes) ?? bytes
  }

  /** All bytes are in the file then. Open for reading until `commit` or `discard`. */
  openFd(): number {
    this.#endBlocks()
    // What is on its way is put there once more, which makes no difference but that it is there now.
    for (const { bytes, byteOffset } of this.#ending?.sent ?? []) this.#put(bytes, byteOffset)
    return this.#openFd
  }

  /** Undefined: go on. Else the disk is behind. */
  drain(): Promise<void> | undefined {
    return this.#blocks?.drain()
  }

  get #openFd(): number {
    if (this.#fd === undefined) throw new FileError('ERR_CLOSED', `${this.targetPath} is closed`)
    return this.#fd
  }

  /** Appends bytes[start, end), without waiting. Throws FileError, perhaps of what came before. */
  write(bytes: Uint8Array, start = 0, end = bytes.length): void {
    let at = start
    while (at < end && this.#blocks !== undefined) {
      at += this.#blocks.take(bytes, at, end)
      if (this.#blocks.isFull) this.#sendBlock(this.#blocks)
    }
    if (at < end) this.#append(bytes, at, end)
  }

  #sendBlock(blocks: DirectBlocks): void {
    blocks.send(this.#bytes)
    this.#bytes += BLOCK_BYTES
    this.#writtenBack = this.#bytes
    // From here on the ordinary way.
    if (blocks.failed.length > 0 || blocks.isSlow) this.#endBlocks()
  }

  /** What is pending is written, and what failed; what is on its way stays so. */
  #endBlocks(): void {
    const blocks = this.#blocks
    if (blocks === undefined) return
    this.#blocks = undefined
    blocks.close()
    this.#repair(blocks)
    if (!blocks.isIdle) this.#ending = blocks
    if (blocks.pending > 0) this.#append(blocks.block, 0, blocks.pending)
  }

  #repair(blocks: DirectBlocks): void {
    for (const { bytes, byteOffset, written } of blocks.failed.splice(0)) {
      this.#put(bytes.subarray(written), byteOffset + written)
    }
  }

  #put(bytes: Buffer, byteOffset: number): void {
    try {
      writeAll(this.#openFd, bytes, 0, bytes.length, byteOffset)
    } catch (error) {
      throw fileError(this.targetPath, 'write', error, byteOffset)
    }
  }

  #append(bytes: Uint8Array, start: number, end: number): void {
    try {
      writeAll(this.#openFd, bytes, start, end, this.#bytes)
    } catch (error) {
      throw fileError(this.targetPath, 'write', error, this.#bytes)
    }
    this.#bytes += end - start
    if (this.#bytes - this.#writtenBack >= WRITE_BACK_BYTES) this.#startWriteBack()
  }

  #startWriteBack(): void {
    if (this.#writeBack !== undefined) return
    this.#writtenBack = this.#bytes
    this.#writeBack = fdatasyncAsync(this.#openFd).then(
      () => {
        this.#writeBack = undefined
      },
      (error: unknown) => {
        // The system tells a lost write once only: the fsync of `commit` would not hear of it.
        this.#writeBackFault = error
      },
    )
  }

  /** Begins again, empty. */
  restart(): void {
    if (this.bytes === 0) return
    try {
      if (this.#blocks?.isIdle !== false && this.#ending === undefined) {
        if (this.#blocks !== undefined) this.#blocks.pending = 0
        ftruncateSync(this.#openFd, 0)
      } else {
        this.#replace()
      }
    } catch (error) {
      throw fileError(this.targetPath, 'truncate', error)
    }
    this.#bytes = 0
    this.#writtenBack = 0
  }

  /** By another file: what is on its way to the old one must not come into it. */
  #replace(): void {
    const wasDirect = this.#blocks !== undefined
    this.#blocks?.close()
    this.#blocks = undefined
    this.#ending = undefined
    closeSync(this.#openFd)
    unlinkSync(this.temporaryPath)
    this.#fd = openSync(this.temporaryPath, 'wx+', MODE)
    if (wasDirect) this.#blocks = DirectBlocks.open(this.temporaryPath)
  }

  /** Makes the file durable and gives it its name. On failure the temporary is gone and the old
   * file still there. */
  async commit(): Promise<void> {
    try {
      this.#endBlocks()
      if (this.#ending !== undefined) {
        await this.#ending.settled()
        this.#repair(this.#ending)
      }
      await this.#writeBack
      if (this.#writeBackFault !== undefined) throw this.#writeBackFault as Error
      await fsyncAsync(this.#openFd)
      closeSync(this.#openFd)
      this.#fd = undefined
      renameSync(this.temporaryPath, this.targetPath)
    } catch (error) {
      this.discard()
      throw fileError(this.targetPath, 'store', error)
    }
    syncDirectory(dirname(this.targetPath))
  }

  /** Removes the temporary. May be called at any time, also twice or after `commit`. */
  discard(): void {
    this.#blocks?.close()
    this.#blocks = undefined
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
    try {
      unlinkSync(this.temporaryPath)
    } catch {
      // It has its final name already, or somebody was faster.
    }
  }
}
