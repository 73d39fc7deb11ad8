/**
 * Reads a dump back while it still grows: the kernels count its keys and compare its checksum behind the
 * writer, in the time that the master takes anyway. At the end only the last bytes are left to be read.
 */
import { closeSync, openSync, read } from 'node:fs'
import { promisify } from 'node:util'
import { KeyAnalysis } from '../../analyze/key-analysis.js'
import { fileError } from '../../disk/file-error.js'
import type { GrowingFile } from '../../disk/output/output.js'
import { AbortedError, RrepError } from '../../errors.js'
import { allocateInputBuffer } from '../../kernels/kernel.js'
import { RdbParser } from '../../rdb/parser.js'
import type { RdbSummary } from '../../rdb/visitor.js'

const READ_BYTES = 1 << 20

const readAsync = promisify(read)

export class FollowedDump {
  readonly #growing: GrowingFile
  readonly #name: string
  readonly #buffer = allocateInputBuffer(READ_BYTES)
  #fd: number | undefined
  #at = 0
  #analysis!: KeyAnalysis
  #parser!: RdbParser
  /** Counts beginnings: what was being read of an earlier one is nothing. */
  #attempt = 0
  #reading: Promise<void> | undefined
  #fault: unknown

  /** @param name for errors */
  constructor(growing: GrowingFile, name: string) {
    this.#growing = growing
    this.#name = name
    this.restart()
  }

  /** More is there, perhaps. */
  poke(): void {
    const isThere = this.#growing.bytes - this.#at >= READ_BYTES
    if (!isThere || this.#reading !== undefined || this.#fault !== undefined) return
    this.#reading = this.#step(READ_BYTES).then(
      () => {
        this.#reading = undefined
        this.poke()
      },
      (error: unknown) => {
        this.#reading = undefined
        this.#fault = error
      },
    )
  }

  /** The file was emptied. */
  restart(): void {
    this.close()
    this.#at = 0
    this.#fault = undefined
    this.#analysis = new KeyAnalysis({ nowMs: Date.now(), top: 0 })
    this.#parser = new RdbParser(this.#analysis, { file: this.#name, lane: this.#analysis.lane })
  }

  /** All of `sizeBytes`, which are in the file by now, and that has its name. Rejects with RdbError,
   * FileError, AbortedError. */
  async end(
    path: string,
    sizeBytes: number,
    signal: AbortSignal | undefined,
    onProgress: (done: number) => void,
  ): Promise<{ analysis: KeyAnalysis; summary: RdbSummary }> {
    try {
      while (this.#reading !== undefined) await this.#reading
      this.#fd ??= openSync(path, 'r')
      while (this.#at < sizeBytes) {
        if (signal?.aborted === true) throw new AbortedError()
        if (this.#fault !== undefined) throw this.#fault as Error
        const before = this.#at
        await this.#step(Math.min(READ_BYTES, sizeBytes - this.#at))
        if (this.#at === before) break
        onProgress(this.#at)
      }
      if (this.#fault !== undefined) throw this.#fault as Error
      return { analysis: this.#analysis, summary: this.#parser.end() }
    } catch (error) {
      throw error instanceof RrepError ? error : fileError(this.#name, 'read', error)
    } finally {
      this.close()
    }
  }

  /** May be called twice. */
  close(): void {
    this.#attempt += 1
    const fd = this.#fd
    this.#fd = undefined
    if (fd === undefined) return
    // The descriptor must not become another file's under a read that is at work.
    if (this.#reading === undefined) closeSync(fd)
    else void this.#reading.then(() => closeSync(fd))
  }

  async #step(bytes: number): Promise<void> {
    const attempt = this.#attempt
    this.#fd ??= openSync(this.#growing.path, 'r')
    const { bytesRead } = await readAsync(this.#fd, this.#buffer, 0, bytes, this.#at)
    if (attempt !== this.#attempt) return
    this.#at += bytesRead
    const chunk = this.#buffer.subarray(0, bytesRead)
    this.#parser.push(chunk)
  }
}
