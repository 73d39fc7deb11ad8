/**
 * What a relay with a directory remembers from one process to the next: which history, from where
 * to where, and its last snapshot. One small file, replaced atomically; and a lock, since two
 * relays on one directory would ruin it for both.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { AtomicFile } from '../../disk/atomic-file.js'
import { fileError } from '../../disk/file-error.js'
import { Lock } from '../../disk/lock.js'
import type { HistoryState } from './history.js'
import type { StreamPosition } from './stream-tracker.js'

const STATE_FILE = 'relay.json'
const LOCK_FILE = 'relay.lock'
/** 2: with sums. What has none is not trusted. */
const FORMAT = 2
const SNAPSHOT_NAME = /^snapshot-[0-9a-f]{8}-\d+-\d+\.rdb$/

export interface KeptSnapshot {
  /** Name in the directory. */
  file: string
  replOffset: number
  lengthBytes: number
  createdAtMs: number
  /** CRC-32 of the file. */
  sum: number
}

export interface RelayState {
  history: HistoryState
  /** Part of the names of this history's segments. */
  epoch: string
  /** Where the stream begins if there is no segment. */
  nextReplOffset: number
  /** Synced up to here; `bootId` tells whether more can be trusted. */
  syncedReplOffset: number
  bootId: string
  position: StreamPosition
  deletedReplOffset?: number | undefined
  snapshot: KeptSnapshot | undefined
}

export class RelayDir {
  readonly dir: string
  readonly #lock: Lock
  readonly #state: AtomicFile

  /** Creates the directory (0700) and locks it. Throws FileError. */
  constructor(dir: string) {
    this.dir = dir
    this.#state = new AtomicFile(join(dir, STATE_FILE))
    try {
      mkdirSync(dir, { recursive: true, mode: 0o700 })
    } catch (error) {
      throw fileError(dir, 'create', error)
    }
    this.#lock = Lock.take(join(dir, LOCK_FILE), {
      what: dir,
      hint: 'each relay needs a directory of its own',
    })
  }

  /** Undefined where there is none; `'damaged'` where there is none that can be relied on: then
   * upstream gives a new one. */
  load(): RelayState | 'damaged' | undefined {
    const path = join(this.dir, STATE_FILE)
    if (!existsSync(path)) return undefined
    try {
      const parsed = JSON.parse(readFileSync(path, 'utf8')) as {
        format?: number
        sum?: number
        state?: RelayState
      }
      if (parsed.format === FORMAT && parsed.sum === sumOf(parsed.state!)) return parsed.state!
    } catch {
      // Not even JSON.
    }
    return 'damaged'
  }

  /** On disk when it returns: for what must not be forgotten, such as another history. */
  save(state: RelayState): void {
    this.#state.write(formatState(state))
  }

  /** The same without holding anything up, for how far the stream is. A `save` wins over it. */
  async saveLater(state: RelayState): Promise<void> {
    await this.#state.writeSoon(formatState(state))
  }

  /** What killed processes left of snapshots, whole or not. */
  removeSnapshotsBut(kept: string | undefined): void {
    for (const name of readdirSync(this.dir)) {
      if (SNAPSHOT_NAME.test(name) && name !== kept) rmSync(join(this.dir, name), { force: true })
    }
  }

  unlock(): void {
    this.#lock.release()
  }
}

function formatState(state: RelayState): string {
  return `${JSON.stringify({ format: FORMAT, sum: sumOf(state), state })}\n`
}

function sumOf(state: RelayState): number {
  return crc32(JSON.stringify(state))
}

export function snapshotName(epoch: string, number: number): string {
  return `snapshot-${epoch}-${process.pid}-${number}.rdb`
}
