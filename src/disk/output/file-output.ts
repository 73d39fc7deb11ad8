/** An output that is a file: it appears whole. */
import type { GrowingFile, Output } from './output.js'
import { WholeFile, type WholeFileOptions } from '../whole-file.js'

export class FileOutput implements Output {
  readonly canRestart = true
  readonly canTakeBack = true
  readonly canReadBack = true
  readonly growing: GrowingFile
  readonly #file: WholeFile

  constructor(path: string, options: WholeFileOptions) {
    const file = new WholeFile(path, options)
    this.#file = file
    this.growing = {
      path: file.temporaryPath,
      get bytes() {
        return file.fileBytes
      },
    }
  }

  get writtenBytes(): number {
    return this.#file.bytes
  }

  write(bytes: Uint8Array, start?: number, end?: number): void {
    this.#file.write(bytes, start, end)
  }

  drain(): Promise<void> | undefined {
    return this.#file.drain()
  }

  restart(): void {
    this.#file.restart()
  }

  readBack(): { fd: number; sizeBytes: number } {
    return { fd: this.#file.openFd(), sizeBytes: this.#file.bytes }
  }

  async finish(): Promise<void> {
    await this.#file.commit()
  }

  discard(): void {
    this.#file.discard()
  }
}
