/**
 * The hashes of an upload, found in a thread of their own while the one that receives and sends goes on:
 * MD5 and SHA-256 of each part, which a store wants with it, and the SHA-256 of all.
 *
 * The bytes lie in memory that both threads see: they are told where, in order, as they come.
 */
import { Worker } from 'node:worker_threads'
import { InternalError } from '../../errors.js'

/** As text: a thread starts from it wherever this file has been bundled to. What it is told: where a piece
 * lies; no piece: the part is whole; a word: all is, or nothing of it counts. */
const PROGRAM = `
const { createHash } = require('node:crypto')
const { parentPort, workerData } = require('node:worker_threads')
const buffers = workerData.map((shared) => Buffer.from(shared))
const start = () => ({ md5: createHash('md5'), sha256: createHash('sha256') })
let part = start()
let all = createHash('sha256')
parentPort.on('message', (told) => {
  if (told === 'restart') {
    part = start()
    all = createHash('sha256')
  } else if (told === 'end') {
    parentPort.postMessage({ md5: '', sha256: all.digest('hex') })
  } else if (told.length === 0) {
    const { md5, sha256 } = part
    part = start()
    parentPort.postMessage({ md5: md5.digest('hex'), sha256: sha256.digest('hex') })
  } else {
    const [buffer, from, to] = told
    const bytes = buffers[buffer].subarray(from, to)
    for (const hash of [part.md5, part.sha256, all]) hash.update(bytes)
  }
})
`

/** What it is told is soon garbage: it needs no more for that. */
const YOUNG_MB = 1

/** Hex. */
export interface PartHashes {
  readonly md5: string
  readonly sha256: string
}

interface Asked {
  resolve: (hashes: PartHashes) => void
  reject: (error: Error) => void
}

export class UploadHashes {
  readonly #worker: Worker
  /** In the order of the answers. */
  #asked: Asked[] = []
  #fault: Error | undefined

  constructor(buffers: readonly SharedArrayBuffer[]) {
    const resourceLimits = { maxYoungGenerationSizeMb: YOUNG_MB }
    this.#worker = new Worker(PROGRAM, {
      ...{ eval: true, execArgv: [], workerData: buffers, resourceLimits },
    })
    this.#worker.on('message', (hashes: PartHashes) => this.#asked.shift()?.resolve(hashes))
    this.#worker.on('error', (error) => this.#fail(error))
    this.#worker.on('exit', () => this.#fail(new InternalError('the thread of hashes ended')))
  }

  /** Bytes of one of the buffers, which stay as they are until the hashes of their part are there. */
  add(buffer: number, from: number, to: number): void {
    this.#worker.postMessage([buffer, from, to])
  }

  async endPart(): Promise<PartHashes> {
    return await this.#ask([])
  }

  /** Of all parts. */
  async end(): Promise<string> {
    return (await this.#ask('end')).sha256
  }

  restart(): void {
    this.#worker.postMessage('restart')
  }

  close(): void {
    void this.#worker.terminate()
  }

  async #ask(question: [] | 'end'): Promise<PartHashes> {
    return await new Promise((resolve, reject) => {
      if (this.#fault !== undefined) {
        reject(this.#fault)
        return
      }
      this.#asked.push({ resolve, reject })
      this.#worker.postMessage(question)
    })
  }

  #fail(error: Error): void {
    this.#fault ??= error
    const asked = this.#asked
    this.#asked = []
    for (const { reject } of asked) reject(error)
  }
}
