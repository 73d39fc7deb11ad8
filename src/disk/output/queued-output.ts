/**
 * An output whose writer is never held up, and what packs its bytes in front of it (a compressor, then
 * a cipher), if that is wanted. What these cannot take yet waits in a spool: its first part in memory,
 * the rest on disk. A writer that can wait asks `drain`, and then it stays in memory.
 */
import { pipeline, type Duplex } from 'node:stream'
import { InternalError } from '../../errors.js'
import type { Output } from './output.js'
import { Spool } from '../spool.js'

/** Bytes that wait in memory before the disk is used. */
export const QUEUE_MEMORY_BYTES = 16 << 20
/** Of these, so many before a writer that asks is held up. */
const FULL_BYTES = 4 << 20
const PIECE_BYTES = 64 << 10

/** Makes what bytes pass through; a new one for each beginning. */
export type Packer = () => Duplex

export class QueuedOutput implements Output {
  readonly canReadBack = false
  readonly #output: Output
  readonly #packers: readonly Packer[]
  readonly #spoolDirectory: string
  #pump: Pump

  constructor(output: Output, packers: readonly Packer[], spoolDirectory: string) {
    this.#output = output
    this.#packers = packers
    this.#spoolDirectory = spoolDirectory
    this.#pump = this.#startPump()
  }

  get writtenBytes(): number {
    return this.#output.writtenBytes
  }

  get canTakeBack(): boolean {
    return this.#output.canTakeBack
  }

  get canRestart(): boolean {
    // What is queued for a pipe is as good as out.
    return this.#output.canTakeBack || !this.#pump.hasBegun
  }

  write(bytes: Uint8Array, start = 0, end = bytes.length): void {
    this.#pump.write(bytes, start, end)
  }

  drain(): Promise<void> | undefined {
    return this.#pump.drain()
  }

  restart(): void {
    if (!this.#pump.hasBegun) return
    this.#pump.stop()
    this.#output.restart()
    this.#pump = this.#startPump()
  }

  readBack(): never {
    throw new InternalError('what is queued cannot be read again')
  }

  async finish(): Promise<void> {
    await this.#pump.finish()
    await this.#output.finish()
  }

  discard(): void {
    this.#pump.stop()
    this.#output.discard()
  }

  #startPump(): Pump {
    return new Pump(this.#output, this.#packers, this.#spoolDirectory)
  }
}

/** Spool → packers → output, until `finish` or `stop`. */
class Pump {
  hasBegun = false
  readonly #output: Output
  readonly #spool: Spool
  readonly #packing: readonly Duplex[]
  readonly #done: Promise<void>
  #isStopped = false
  #fault: Error | undefined
  #roomWaiters: (() => void)[] = []

  constructor(output: Output, packers: readonly Packer[], spoolDirectory: string) {
    this.#output = output
    this.#spool = new Spool({ memoryBytes: QUEUE_MEMORY_BYTES, directory: spoolDirectory })
    this.#packing = packers.map((create) => create())
    // An error of one comes out of the last.
    if (this.#packing.length > 1) pipeline([...this.#packing], () => undefined)
    this.#done = this.#run().catch((error: unknown) => {
      this.#fault = error instanceof Error ? error : new Error(String(error))
      this.#spool.close()
      this.#wakeRoom()
    })
  }

  write(bytes: Uint8Array, start: number, end: number): void {
    if (this.#fault !== undefined) throw this.#fault
    this.hasBegun = true
    this.#spool.write(bytes, start, end)
  }

  drain(): Promise<void> | undefined {
    if (this.#fault !== undefined) throw this.#fault
    if (this.#spool.queuedBytes < FULL_BYTES) return undefined
    return this.#room()
  }

  async finish(): Promise<void> {
    this.#spool.end()
    await this.#done
    if (this.#fault !== undefined) throw this.#fault
  }

  stop(): void {
    this.#isStopped = true
    this.#spool.close()
    this.#spool.end()
    for (const each of this.#packing) each.destroy()
    this.#wakeRoom()
  }

  async #room(): Promise<void> {
    await new Promise<void>((resolve) => this.#roomWaiters.push(resolve))
    if (this.#fault !== undefined) throw this.#fault
  }

  #wakeRoom(): void {
    const waiters = this.#roomWaiters
    this.#roomWaiters = []
    for (const resolve of waiters) resolve()
  }

  async #run(): Promise<void> {
    const [first] = this.#packing
    const last = this.#packing.at(-1)
    if (first === undefined || last === undefined) {
      for await (const chunk of this.#chunks()) await this.#pass(chunk)
      return
    }
    const feed = this.#feed(first).catch((error: unknown) => {
      first.destroy(error as Error)
    })
    try {
      for await (const chunk of last) await this.#pass(chunk as Buffer)
    } catch (error) {
      // One that `stop` destroyed is no fault.
      if (!this.#isStopped) throw error
    }
    await feed
  }

  async *#chunks(): AsyncGenerator<Buffer, void> {
    for await (const chunk of this.#spool.chunks()) {
      yield chunk
      if (this.#spool.queuedBytes < FULL_BYTES) this.#wakeRoom()
    }
  }

  async #pass(chunk: Buffer): Promise<void> {
    for (let at = 0; at < chunk.length && !this.#isStopped; at += PIECE_BYTES) {
      this.#output.write(chunk, at, Math.min(chunk.length, at + PIECE_BYTES))
      const wait = this.#output.drain()
      if (wait !== undefined) await wait
    }
  }

  async #feed(packer: Duplex): Promise<void> {
    for await (const chunk of this.#chunks()) {
      if (this.#isStopped) return
      if (!packer.write(chunk)) {
        await new Promise<void>((resolve) => {
          const go = (): void => {
            packer.off('drain', go)
            packer.off('close', go)
            resolve()
          }
          packer.on('drain', go)
          packer.on('close', go)
        })
      }
    }
    packer.end()
  }
}
