/**
 * What a relay with a directory remembers from one process to the next: which history, from where
 * to where, and its last snapshot. One small file, replaced atomically; and a lock, since two
 * relays on one directory would ruin it for both.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { FileError } from '../errors.js'
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
  snapshot: KeptSnapshot | undefined
}

export class RelayDir {
  readonly dir: string
  #saves = 0

  /** Creates the directory (0700) and locks it. Throws FileError. */
  constructor(dir: string) {
    this.dir = dir
    try {
      mkdirSync(dir, { recursive: true, mode: 0o700 })
      this.#lock()
    } catch (error) {
      if (error instanceof FileError) throw error
      throw new FileError('ERR_CANNOT_WRITE', `cannot use ${dir}: ${codeOf(error)}`, {
        cause: error,
      })
    }
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
    const path = join(this.dir, STATE_FILE)
    this.#saves += 1
    try {
      const fd = openSync(`${path}.part`, 'w', 0o600)
      try {
        writeSync(fd, formatState(state))
        fsyncSync(fd)
      } finally {
        closeSync(fd)
      }
      renameSync(`${path}.part`, path)
    } catch (error) {
      throw new FileError('ERR_CANNOT_WRITE', `cannot write ${path}: ${codeOf(error)}`, {
        cause: error,
      })
    }
  }

  /** The same without holding anything up, for how far the stream is. A `save` wins over it. */
  async saveLater(state: RelayState): Promise<void> {
    const path = join(this.dir, STATE_FILE)
    const saves = this.#saves
    try {
      const handle = await open(`${path}.later`, 'w', 0o600)
      try {
        await handle.writeFile(formatState(state))
        await handle.sync()
      } finally {
        await handle.close()
      }
      // Without a wait between the question and the answer: nobody saves in between.
      if (saves === this.#saves) renameSync(`${path}.later`, path)
    } catch (error) {
      throw new FileError('ERR_CANNOT_WRITE', `cannot write ${path}: ${codeOf(error)}`, {
        cause: error,
      })
    }
  }

  /** What killed processes left of snapshots, whole or not. */
  removeSnapshotsBut(kept: string | undefined): void {
    for (const name of readdirSync(this.dir)) {
      if (SNAPSHOT_NAME.test(name) && name !== kept) rmSync(join(this.dir, name), { force: true })
    }
  }

  unlock(): void {
    rmSync(join(this.dir, LOCK_FILE), { force: true })
  }

  #lock(): void {
    const path = join(this.dir, LOCK_FILE)
    for (let attempt = 0; ; attempt += 1) {
      try {
        const fd = openSync(path, 'wx', 0o600)
        writeSync(fd, String(process.pid))
        closeSync(fd)
        return
      } catch (error) {
        if (codeOf(error) !== 'EEXIST') throw error
      }
      const pid = Number(readFileSync(path, 'utf8'))
      if (attempt > 0 || (pid !== process.pid && isAlive(pid))) {
        throw new FileError('ERR_IN_USE', `${this.dir} is used by process ${pid}`, {
          hint: 'one relay per --backlog-dir',
        })
      }
      rmSync(path, { force: true })
    }
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

/** Another after each start of the machine: what was written but not synced may then be missing.
 * Empty where the system does not tell: nothing but synced bytes is trusted. */
export function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return ''
  }
}

function isAlive(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return codeOf(error) === 'EPERM'
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? 'failed'
}
