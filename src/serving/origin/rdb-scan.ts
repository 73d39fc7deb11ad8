/**
 * Looks through an RDB before it is given to replicas: is it whole and sound, where does it end,
 * and which is the lowest version that its content could stand under? One pass, in skip depth.
 */
import { createHash, type Hash } from 'node:crypto'
import { RdbError } from '../../errors.js'
import type { RdbType } from '../../rdb/numbers.js'
import { RdbParser } from '../../rdb/parser.js'
import {
  DEPTH,
  type Depth,
  type KeyHeader,
  type RdbVisitor,
  type Slice,
} from '../../rdb/visitor.js'

export interface RdbFacts {
  family: 'redis' | 'valkey'
  version: number
  /** Its length, checksum included; what is behind it is something else. */
  rdbBytes: number
  keys: number
  /** Undefined for Valkey's own files. */
  neededVersion: number | undefined
  /** Unix ms of the save, where the file tells. */
  savedAtMs: number | undefined
  serverVersion: string | undefined
  /** The same for the same bytes only. */
  contentId: string
}

/** So many bytes of both ends stand for a dump that has a checksum of all between them. */
export const END_BYTES = 4096

/** Of a dump with a checksum: it need not be read for that. `tail` is up to its last byte. */
export function contentIdOf(rdbBytes: number, head: Buffer, tail: Buffer): string {
  return createHash('sha1')
    .update(`rdb ${rdbBytes}\n`)
    .update(head.subarray(0, END_BYTES))
    .update(tail.subarray(-END_BYTES))
    .digest('hex')
}

/** RDB versions that brought what stands between keys. */
const SINCE = {
  MILLISECONDS: 3,
  CHECKSUM: 5,
  AUX: 7,
  RESIZE_DB: 7,
  EVICTION: 9,
  MODULE_AUX: 9,
  FUNCTION: 10,
  SLOT_INFO: 12,
  KEY_META: 13,
  HASH_TEMPLATE: 15,
} as const

/** Give it the bytes in order until it is `done`; then ask `facts`. Throws RdbError. */
export class RdbScan implements RdbVisitor {
  readonly #parser: RdbParser
  readonly #hash: Hash = createHash('sha1')
  #head = Buffer.alloc(0)
  #tail = Buffer.alloc(0)
  #needed: number = SINCE.CHECKSUM
  #aux: { ctime?: string; version?: string } = {}

  constructor(file?: string) {
    this.#parser = new RdbParser(this, { file })
  }

  get done(): boolean {
    return this.#parser.done
  }

  /** Bytes taken; fewer than given where the RDB ends in them. */
  push(chunk: Buffer): number {
    const count = this.#parser.push(chunk)
    const taken = count === chunk.length ? chunk : chunk.subarray(0, count)
    this.#hash.update(taken)
    if (this.#head.length < END_BYTES) this.#head = Buffer.concat([this.#head, taken])
    this.#tail = Buffer.concat([this.#tail, taken.subarray(-END_BYTES)]).subarray(-END_BYTES)
    return count
  }

  /** Throws RdbError `ERR_RDB_TRUNCATED` where the bytes stop before the end. */
  facts(): RdbFacts {
    const { family, version, rdbBytes, keysRead, checksum } = this.#parser.end()
    const ctime = Number(this.#aux.ctime)
    return {
      family,
      version,
      rdbBytes,
      keys: keysRead,
      neededVersion: family === 'redis' ? Math.min(this.#needed, version) : undefined,
      savedAtMs: Number.isSafeInteger(ctime) && ctime > 0 ? ctime * 1000 : undefined,
      serverVersion: this.#aux.version,
      contentId:
        checksum === 'ok'
          ? contentIdOf(rdbBytes, this.#head, this.#tail)
          : this.#hash.digest('hex'),
    }
  }

  // ---- RdbVisitor -----------------------------------------------------------------------------

  key(header: KeyHeader): Depth {
    this.#need((header.type satisfies RdbType).since)
    if (header.hasExpiry) this.#need(SINCE.MILLISECONDS)
    if (header.idleSeconds >= 0 || header.freq >= 0) this.#need(SINCE.EVICTION)
    if (header.metaClasses > 0) this.#need(SINCE.KEY_META)
    return DEPTH.SKIP
  }

  aux(name: Slice, value: Slice): void {
    this.#need(SINCE.AUX)
    const key = textOf(name)
    if (key === 'ctime') this.#aux.ctime = textOf(value)
    else if (key === 'redis-ver' || key === 'valkey-ver') this.#aux.version = textOf(value)
  }

  resizeDb(): void {
    this.#need(SINCE.RESIZE_DB)
  }

  moduleAux(): void {
    this.#need(SINCE.MODULE_AUX)
  }

  functionLibrary(): void {
    this.#need(SINCE.FUNCTION)
  }

  functionPreGa(): void {
    this.#need(SINCE.FUNCTION)
  }

  slotInfo(): void {
    this.#need(SINCE.SLOT_INFO)
  }

  hashTemplate(): void {
    this.#need(SINCE.HASH_TEMPLATE)
  }

  #need(version: number): void {
    if (version > this.#needed) this.#needed = version
  }
}

function textOf({ bytes, start, end }: Slice): string {
  return bytes.toString('latin1', start, Math.min(end, start + 100))
}

/** For an RDB of `rdbBytes` that begins with `head`: is it known to have no keys? One that does
 * not fit into the head has keys, or functions, or something that we do not know. */
export function hasNoKeys(head: Buffer, rdbBytes: number): boolean {
  if (rdbBytes > head.length) return false
  const scan = new RdbScan()
  try {
    scan.push(head)
    return scan.facts().keys === 0
  } catch (error) {
    if (error instanceof RdbError) return false
    throw error
  }
}
