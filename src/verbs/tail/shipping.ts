/** An archive that is shipped while it is kept: at its times, once more at its end. */
import { RrepError } from '../../errors.js'
import { shippedIdOf, Shipper } from '../../archive/shipping.js'
import { takeOver } from '../../repository/take-over.js'
import type { TimelineEntry } from '../../archive/sidecar.js'
import type { ArchiveStore } from '../../archive/store.js'
import { openStore } from '../../storage/open-store.js'
import type { Store, StorePath } from '../../storage/store.js'
import type { ArchiveEvent, ArchiveResult } from './options.js'

const DEFAULT_EVERY_MS = 60_000
/** The end of a run waits no longer for it. */
const LAST_MS = 60_000
const PROBE_FILE = 'rrep-probe'

export interface ShippingOptions {
  ship: string
  /** The folder that the copies of this source lie in. */
  name: string
  shipEveryMs?: number | undefined
  onEvent?: ((event: ArchiveEvent) => void) | undefined
  /** What has arrived is not kept on this disk. */
  isAlone?: boolean
}

/** What is shipped, while it is written. */
export interface ShippedWriter {
  sync(): Promise<void>
  letGo(records: () => readonly TimelineEntry[]): Promise<void>
}

export class Shipping {
  readonly #archive: ArchiveStore
  readonly #shipper: Shipper
  readonly #place: string
  readonly #options: ShippingOptions
  readonly #halt: AbortController
  #running: Promise<void> | undefined
  #nextMs: number
  #error: RrepError | undefined

  private constructor(
    archive: ArchiveStore,
    shipper: Shipper,
    place: string,
    halt: AbortController,
    options: ShippingOptions,
  ) {
    this.#archive = archive
    this.#shipper = shipper
    this.#place = place
    this.#halt = halt
    this.#options = options
    this.#nextMs = Date.now() + this.#everyMs
  }

  /** What cannot be written is told before anything begins. */
  static async open(archive: ArchiveStore, options: ShippingOptions): Promise<Shipping> {
    const halt = new AbortController()
    const store = await openStore(options.ship, { signal: halt.signal })
    if (options.isAlone === true) {
      const message = await takeOver(archive, store, options.name)
      if (message !== undefined) options.onEvent?.({ event: 'warning', message })
    }
    const path = [options.name, shippedIdOf(archive)]
    try {
      await probe(store, [...path, PROBE_FILE])
    } catch (error) {
      // What is kept here must not stop for a store that is away for a while.
      const canWait = options.isAlone !== true && archive.timeline.length > 0
      if (!canWait || !(error instanceof RrepError && error.retriable)) throw error
      options.onEvent?.({ event: 'ship-failed', message: error.message, isLast: false })
    }
    const shipper = new Shipper(archive, store, path)
    return new Shipping(archive, shipper, store.pathOf(path), halt, options)
  }

  /** Where the copy lies. */
  get place(): string {
    return this.#place
  }

  get #everyMs(): number {
    return this.#options.shipEveryMs ?? DEFAULT_EVERY_MS
  }

  /** Asked now and then; never waits, never throws. */
  tick(writer: ShippedWriter): void {
    if (this.#running !== undefined || Date.now() < this.#nextMs) return
    this.#running = this.#attempt(writer).finally(() => {
      this.#running = undefined
      this.#nextMs = Date.now() + this.#everyMs
    })
  }

  /** The end of the archive is another one than it was. */
  cutBack(): void {
    this.#shipper.forget()
  }

  /** What came last, when the archive is closed. Done: nothing stays on this disk that was only on its way. */
  async finish(isDone: boolean): Promise<ArchiveResult['shipped']> {
    const isLast = isDone && this.#options.isAlone === true
    const timer = setTimeout(() => this.#halt.abort(), LAST_MS)
    try {
      await this.#running
      const { spooled } = this.#archive.sidecar
      if (isLast && spooled !== undefined)
        this.#archive.sidecar.spooled = { ...spooled, ended: true }
      await this.#attempt(undefined, true)
    } finally {
      clearTimeout(timer)
    }
    if (isLast && this.#error === undefined) this.#archive.clear()
    const replOffset = this.#shipper.shipped?.replOffset ?? -1
    return { place: this.#place, replOffset, error: this.#error }
  }

  async #attempt(writer: ShippedWriter | undefined, isLast = false): Promise<void> {
    const { onEvent } = this.#options
    try {
      await writer?.sync()
      const isNew = await this.#shipper.ship()
      this.#error = undefined
      if (this.#options.isAlone === true) await writer?.letGo(() => this.#shipper.arrived)
      const { shipped } = this.#shipper
      if (!isNew || shipped === undefined) return
      onEvent?.({ event: 'shipped', place: this.#place, replOffset: shipped.replOffset })
    } catch (error) {
      if (!(error instanceof RrepError)) throw error
      this.#error = error
      onEvent?.({ event: 'ship-failed', message: error.message, isLast })
    }
  }
}

/** Throws where nothing could be written. A key that may not delete leaves it there: it is in nobody's way. */
async function probe(store: Store, path: StorePath): Promise<void> {
  const output = await store.create(path, {})
  output.write(Buffer.from('probe\n'))
  await output.finish()
  try {
    await store.removeFile(path)
  } catch (error) {
    if (!(error instanceof RrepError) || error.code !== 'ERR_STORE_DENIED') throw error
  }
}
