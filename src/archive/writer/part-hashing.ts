/**
 * The hashes of increments that are complete, one after the other behind the writing, which never waits
 * for them. They go into the sidecar with its next change; a run that is killed before leaves a part
 * without one.
 */
import { basename } from 'node:path'
import { FileError } from '../../errors.js'
import { hashFile } from '../file-hash.js'
import type { ArchiveStore } from '../store.js'

export class PartHashing {
  readonly #store: ArchiveStore
  #last: Promise<void> = Promise.resolve()

  constructor(store: ArchiveStore) {
    this.#store = store
  }

  /** Of a file that is closed. */
  add(path: string): void {
    this.#last = this.#last.then(async () => await this.#hash(path))
  }

  /** All that were asked for are known. */
  async idle(): Promise<void> {
    await this.#last
  }

  async #hash(path: string): Promise<void> {
    try {
      const hash = await hashFile(path)
      if (hash !== undefined) this.#store.noteHash(basename(path), hash)
    } catch (error) {
      // The part is as good as before.
      if (!(error instanceof FileError)) throw error
    }
  }
}
