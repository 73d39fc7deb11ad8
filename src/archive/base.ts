/**
 * A snapshot on its way into a capture: a temporary that becomes a base once it is whole and on
 * disk.
 */
import { renameSync, unlinkSync } from 'node:fs'
import type { BaseRecord } from './sidecar.js'
import { AppendFile } from '../disk/append-file.js'
import type { CaptureStore } from './store.js'
import { fileError, syncDirectory } from '../disk/fs-util.js'

export interface SnapshotOrigin {
  replid: string
  /** Last stream byte that the snapshot contains. */
  replOffset: number
}

/** The aux fields of a snapshot stand in its first bytes. */
const HEAD_BYTES = 4096
/** RDB 9 is what Redis 5.0 to 6.2 write; their streams hold relative expiries. */
const LAST_RELATIVE_RDB_VERSION = 9

export class CaptureBase {
  readonly origin: SnapshotOrigin
  readonly file: AppendFile
  private readonly store: CaptureStore
  private readonly unixMs: number
  private readonly name: { file: string; seq: number }
  private head: Buffer = Buffer.alloc(0)

  constructor(
    store: CaptureStore,
    origin: SnapshotOrigin,
    unixMs: number,
    onError: (error: Error) => void,
  ) {
    this.store = store
    this.origin = origin
    this.unixMs = unixMs
    this.name = store.newBaseFile()
    // Servers delete what begins with `temp-`; so does the next run.
    this.file = new AppendFile(store.path(`temp-${this.name.file}`), { onError })
  }

  append(bytes: Uint8Array, start: number, end: number): void {
    if (this.head.length < HEAD_BYTES) {
      const wanted = Math.min(end - start, HEAD_BYTES - this.head.length)
      this.head = Buffer.concat([this.head, bytes.subarray(start, start + wanted)])
    }
    this.file.append(bytes, start, end)
    this.file.kick()
  }

  /** Database that the stream behind the snapshot is in: what a replica that is asked for its
   * own snapshot writes there; 0 from a master, which sends SELECT first. */
  get streamDbnum(): number {
    const text = readAux(this.head, 'repl-stream-db')
    return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : 0
  }

  sendsRelativeTimes(rdbVersion: number): boolean {
    return rdbVersion <= LAST_RELATIVE_RDB_VERSION && this.head.toString('latin1', 0, 5) === 'REDIS'
  }

  /** Flushes, fsyncs, gives the file its name. */
  async finish(rdbVersion: number): Promise<BaseRecord> {
    await this.file.close()
    const path = this.store.path(this.name.file)
    try {
      renameSync(this.file.path, path)
    } catch (error) {
      throw fileError(path, 'rename', error)
    }
    syncDirectory(this.store.partsDir)
    return {
      kind: 'base',
      ...this.name,
      ...this.origin,
      unixMs: this.unixMs,
      bytes: this.file.position,
      rdbVersion,
    }
  }

  /** Throws the temporary away. */
  async abandon(): Promise<void> {
    await this.file.abandon()
    try {
      unlinkSync(this.file.path)
    } catch {
      // The next run removes it.
    }
  }
}

/**
 * The value of an aux field as text. Aux fields come first: 0xFA, name, value, both strings of
 * the RDB (rdb-format.md §3): a length of 6 or 14 bits and bytes, or an integer of 8, 16, 32 bits.
 */
function readAux(head: Buffer, wanted: string): string | undefined {
  let at = 9
  const readString = (): string | undefined => {
    const first = head[at]
    if (first === undefined) return undefined
    const kind = first >> 6
    if (kind === 3) {
      const size = [1, 2, 4][first & 63]
      if (size === undefined || at + 1 + size > head.length) return undefined
      const value = head.readIntLE(at + 1, size)
      at += 1 + size
      return String(value)
    }
    if (kind > 1 || at + 1 >= head.length) return undefined
    const length = kind === 0 ? first & 63 : ((first & 63) << 8) | head[at + 1]!
    at += kind === 0 ? 1 : 2
    if (at + length > head.length) return undefined
    at += length
    return head.toString('latin1', at - length, at)
  }
  while (head[at] === 0xfa) {
    at += 1
    const name = readString()
    const value = readString()
    if (name === undefined || value === undefined) return undefined
    if (name === wanted) return value
  }
  return undefined
}
