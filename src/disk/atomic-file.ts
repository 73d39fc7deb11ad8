/**
 * A small file that is replaced as a whole: after a crash or on a full disk it is the old one or
 * the new one, never a part of either. Bytes are on disk before the name leads to them.
 *
 * Its temporary has a fixed name (`temp-<name>`) beside it, so that what a killed process leaves
 * is overwritten by the next one: whoever writes here has the directory for itself (lock.ts).
 */
import { Buffer } from 'node:buffer'
import { closeSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { fileError } from './file-error.js'
import { syncDirectory, writeAll } from './write-all.js'

const MODE = 0o600

export class AtomicFile {
  readonly path: string
  readonly #temporary: string
  #generation = 0
  #soon: Promise<void> = Promise.resolve()

  constructor(path: string) {
    this.path = path
    this.#temporary = join(dirname(path), `temp-${basename(path)}`)
  }

  /** On disk when it returns. Throws FileError, and then the old file is as it was. */
  write(data: string | Uint8Array): void {
    // What is on its way in the background is older than this.
    this.#generation += 1
    try {
      const fd = openSync(this.#temporary, 'w', MODE)
      try {
        writeAll(fd, bytesOf(data))
        fsyncSync(fd)
      } finally {
        closeSync(fd)
      }
      renameSync(this.#temporary, this.path)
    } catch (error) {
      rmSync(this.#temporary, { force: true })
      throw fileError(this.path, 'write', error)
    }
    syncDirectory(dirname(this.path))
  }

  /** The same in the background, one after the other. A `write` in between wins over it. */
  writeSoon(data: string | Uint8Array): Promise<void> {
    const generation = this.#generation
    const written = this.#soon.then(() => this.#writeLater(bytesOf(data), generation))
    this.#soon = written.catch(() => undefined)
    return written
  }

  async #writeLater(bytes: Uint8Array, generation: number): Promise<void> {
    if (generation !== this.#generation) return
    const temporary = `${this.#temporary}.soon`
    try {
      const handle = await open(temporary, 'w', MODE)
      try {
        await handle.writeFile(bytes)
        await handle.sync()
      } finally {
        await handle.close()
      }
      // Without a wait between the question and the rename: nobody writes in between.
      if (generation === this.#generation) renameSync(temporary, this.path)
      else rmSync(temporary, { force: true })
    } catch (error) {
      rmSync(temporary, { force: true })
      throw fileError(this.path, 'write', error)
    }
  }
}

/** For a file that is written now and then only. */
export function writeFileAtomic(path: string, data: string | Uint8Array): void {
  new AtomicFile(path).write(data)
}

function bytesOf(data: string | Uint8Array): Uint8Array {
  return typeof data === 'string' ? Buffer.from(data) : data
}
