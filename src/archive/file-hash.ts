/** The hashes of the files of an archive: of what is complete, or of the first bytes of what grows. */
import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { errnoOf, fileError } from '../disk/file-error.js'
import { AofError } from '../errors.js'
import type { FileHash } from './sidecar.js'

const READ_BYTES = 1 << 20

/** In turns with other work. Undefined where the file is not there. Rejects with FileError. */
export async function hashFile(path: string): Promise<FileHash | undefined> {
  try {
    const file = await open(path, 'r')
    try {
      const hash = createHash('sha256')
      const buffer = Buffer.allocUnsafe(READ_BYTES)
      for (let bytes = 0; ;) {
        const { bytesRead } = await file.read(buffer, 0, buffer.length, bytes)
        if (bytesRead === 0) return { bytes, sha256: hash.digest('hex') }
        hash.update(buffer.subarray(0, bytesRead))
        bytes += bytesRead
      }
    } finally {
      await file.close()
    }
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw fileError(path, 'read', error)
  }
}

/** Compares what is read with a hash; what lies behind the bytes that it is of has come since. */
export class HashCheck {
  readonly #name: string
  readonly #wanted: FileHash | undefined
  readonly #hash = createHash('sha256')
  #bytes = 0

  /** `name`: for errors. `wanted`: undefined where there is none. */
  constructor(name: string, wanted: FileHash | undefined) {
    this.#name = name
    this.#wanted = wanted
  }

  push(chunk: Uint8Array): void {
    const left = (this.#wanted?.bytes ?? 0) - this.#bytes
    const counted = left < chunk.length ? chunk.subarray(0, left) : chunk
    if (counted.length === 0) return
    this.#hash.update(counted)
    this.#bytes += counted.length
  }

  /** Throws AofError where it is not what was written. */
  end(): void {
    if (this.#wanted === undefined) return
    const { bytes, sha256 } = this.#wanted
    const isCut = this.#bytes < bytes
    if (!isCut && this.#hash.digest('hex') === sha256) return
    throw new AofError(
      isCut ? 'ERR_AOF_TRUNCATED' : 'ERR_AOF_CORRUPT',
      { file: this.#name, ...(isCut ? { byteOffset: this.#bytes } : {}) },
      isCut
        ? `it is not what was written: ${this.#bytes} bytes of ${bytes}`
        : 'it is not what was written: another hash',
    )
  }
}
