/**
 * A file of our own for a while, open for both: bytes are put at its end, and read from anywhere.
 * All spools, segments and growing snapshots are made of it. Errors are FileErrors with its name.
 */
import {
  closeSync,
  fstatSync,
  fsync,
  ftruncateSync,
  openSync,
  read,
  readSync,
  rmSync,
  unlinkSync,
} from 'node:fs'
import { promisify } from 'node:util'
import { fileError } from './file-error.js'
import { writeAll } from './write-all.js'

const MODE = 0o600
const readAsync = promisify(read)
const fsyncAsync = promisify(fsync)

export class DataFile {
  readonly path: string
  sizeBytes: number
  #fd: number | undefined
  /** Reads at work: the descriptor must not become another file's under them. */
  #reading = 0

  /** A new one, empty; what bore the name is cut to nothing. `nameless`: it has no name as soon as
   * it is open, and goes with the process, however that ends. */
  static create(path: string, options: { nameless?: boolean } = {}): DataFile {
    try {
      const fd = openSync(path, options.nameless === true ? 'wx+' : 'w+', MODE)
      if (options.nameless === true) unlinkSync(path)
      return new DataFile(path, fd, 0)
    } catch (error) {
      throw fileError(path, 'create', error)
    }
  }

  /** One that an earlier process left. */
  static open(path: string, flags: 'r' | 'r+' = 'r+'): DataFile {
    try {
      const fd = openSync(path, flags)
      return new DataFile(path, fd, fstatSync(fd).size)
    } catch (error) {
      throw fileError(path, 'open', error)
    }
  }

  private constructor(path: string, fd: number, sizeBytes: number) {
    this.path = path
    this.#fd = fd
    this.sizeBytes = sizeBytes
  }

  get isOpen(): boolean {
    return this.#fd !== undefined
  }

  get #openFd(): number {
    // No descriptor is 0 here, and -1 is one that the system refuses.
    return this.#fd ?? -1
  }

  append(bytes: Uint8Array, start = 0, end = bytes.length): void {
    try {
      writeAll(this.#openFd, bytes, start, end, this.sizeBytes)
    } catch (error) {
      throw fileError(this.path, 'write', error, this.sizeBytes)
    }
    this.sizeBytes += end - start
  }

  /** Fills `into` from `byteOffset` on; returns how many bytes there were. */
  readNow(byteOffset: number, into: Uint8Array, length = into.length): number {
    try {
      return readSync(this.#openFd, into, 0, length, byteOffset)
    } catch (error) {
      throw fileError(this.path, 'read', error, byteOffset)
    }
  }

  /** The same beside everything else. */
  async read(byteOffset: number, into: Uint8Array, length = into.length): Promise<number> {
    const fd = this.#openFd
    this.#reading += 1
    try {
      return (await readAsync(fd, into, 0, length, byteOffset)).bytesRead
    } catch (error) {
      throw fileError(this.path, 'read', error, byteOffset)
    } finally {
      this.#reading -= 1
      if (this.#reading === 0 && this.#fd === undefined) closeSync(fd)
    }
  }

  truncate(sizeBytes: number): void {
    try {
      ftruncateSync(this.#openFd, sizeBytes)
    } catch (error) {
      throw fileError(this.path, 'truncate', error)
    }
    this.sizeBytes = sizeBytes
  }

  /** Resolves when its bytes are on disk. */
  async sync(): Promise<void> {
    try {
      await fsyncAsync(this.#openFd)
    } catch (error) {
      throw fileError(this.path, 'store', error)
    }
  }

  /** May be called twice. Who is reading gets what it asked for. */
  close(): void {
    const fd = this.#fd
    this.#fd = undefined
    if (fd !== undefined && this.#reading === 0) closeSync(fd)
  }

  /** Closes it and removes its name. */
  remove(): void {
    this.close()
    rmSync(this.path, { force: true })
  }
}
