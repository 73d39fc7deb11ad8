/**
 * A snapshot on its way into an archive: a temporary that becomes a base once it is whole and on
 * disk.
 */
import { renameSync, unlinkSync } from 'node:fs'
import { open } from 'node:fs/promises'
import type { BaseRecord } from '../sidecar.js'
import { allocateInputBuffer } from '../../kernels/kernel.js'
import { RdbParser } from '../../rdb/parser.js'
import { rdbMagicOf, streamDbOf } from '../../rdb/head.js'
import { DEPTH } from '../../rdb/visitor.js'
import { AppendFile } from '../../disk/append-file.js'
import type { ArchiveStore } from '../store.js'
import { fileError } from '../../disk/file-error.js'
import { syncDirectory } from '../../disk/write-all.js'

export interface SnapshotOrigin {
  replid: string
  /** Last stream byte that the snapshot contains. */
  replOffset: number
}

/** What is known of a snapshot once it has come to its end. */
export interface SnapshotFacts {
  rdbVersion: number
  checksum: 'ok' | 'absent'
}

/** The aux fields of a snapshot stand in its first bytes. */
const HEAD_BYTES = 4096
const WALK_BYTES = 1 << 20
/** RDB 9 is what Redis 5.0 to 6.2 write; their streams hold relative expiries. */
const LAST_RELATIVE_RDB_VERSION = 9

export class BaseWriter {
  readonly origin: SnapshotOrigin
  readonly file: AppendFile
  readonly #store: ArchiveStore
  readonly #unixMs: number
  readonly #name: { file: string; seq: number }
  #head: Buffer = Buffer.alloc(0)

  constructor(
    store: ArchiveStore,
    origin: SnapshotOrigin,
    unixMs: number,
    onError: (error: Error) => void,
  ) {
    this.#store = store
    this.origin = origin
    this.#unixMs = unixMs
    this.#name = store.newBaseFile()
    // Servers delete what begins with `temp-`; so does the next run.
    this.file = new AppendFile(store.temporaryPath(this.#name.file), { onError })
  }

  append(bytes: Uint8Array, start: number, end: number): void {
    if (this.#head.length < HEAD_BYTES) {
      const wanted = Math.min(end - start, HEAD_BYTES - this.#head.length)
      this.#head = Buffer.concat([this.#head, bytes.subarray(start, start + wanted)])
    }
    this.file.append(bytes, start, end)
    this.file.kick()
  }

  /** Database that the stream behind the snapshot is in: what a replica that is asked for its
   * own snapshot writes there; 0 from a master, which sends SELECT first. */
  get streamDbnum(): number {
    return streamDbOf(this.#head)
  }

  get sendsRelativeTimes(): boolean {
    const magic = rdbMagicOf(this.#head)
    return magic?.family === 'redis' && magic.version <= LAST_RELATIVE_RDB_VERSION
  }

  /**
   * Walks a snapshot without a checksum to the last byte of every value: nothing else would tell
   * that no server loads it. Rejects with RdbError.
   */
  async check(checksum: SnapshotFacts['checksum']): Promise<void> {
    if (checksum === 'ok') return
    await this.file.flush()
    await walkRdb(this.file.path)
  }

  /** Flushes, checks, fsyncs, gives the file its name; what fails leaves no temporary. */
  async finish(rdbVersion: number, checksum: SnapshotFacts['checksum']): Promise<BaseRecord> {
    try {
      return await this.#finish(rdbVersion, checksum)
    } catch (error) {
      await this.abandon()
      throw error
    }
  }

  async #finish(rdbVersion: number, checksum: SnapshotFacts['checksum']): Promise<BaseRecord> {
    await this.check(checksum)
    await this.file.close()
    const path = this.#store.path(this.#name.file)
    try {
      renameSync(this.file.path, path)
    } catch (error) {
      throw fileError(path, 'rename', error)
    }
    syncDirectory(this.#store.partsDir)
    return {
      kind: 'base',
      ...this.#name,
      ...this.origin,
      unixMs: this.#unixMs,
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

/** Reads an RDB whole, in turns with other work. */
async function walkRdb(path: string): Promise<void> {
  const parser = new RdbParser(
    { key: () => DEPTH.SKIP },
    { file: path, checksum: 'verify', validate: true, checkOnly: true },
  )
  const buffer = allocateInputBuffer(WALK_BYTES)
  const file = await open(path, 'r')
  try {
    for (let at = 0; ;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, at)
      if (bytesRead === 0) break
      parser.push(buffer.subarray(0, bytesRead))
      at += bytesRead
    }
    parser.end()
  } finally {
    await file.close()
  }
}
