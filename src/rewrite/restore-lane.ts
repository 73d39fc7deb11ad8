/**
 * Rows of records as RESTORE or SET, one command a key, written by the kernel in whose memory they
 * and the output lie. Byte for byte what restore-writer.ts and element-commands.ts make of them, for
 * keys that keep their name and stand in nobody's way, or are replaced.
 */
import {
  MAX_OWN_KEY_BYTES,
  RESTORE_BY_RESTORE,
  RESTORE_BY_SET,
  RESTORE_BY_SET_OR_RESTORE,
  RESTORE_EXPIRED_UP_TO,
  RESTORE_FLAGS,
  RESTORE_KNOWS_ABSTTL,
  RESTORE_KNOWS_PXAT,
  RESTORE_LAST_TYPE,
  RESTORE_LEAVE,
  RESTORE_MOST_BYTES,
  RESTORE_OWN_KEY,
  RESTORE_OWN_SIZE,
  RESTORE_REPLACES,
  RESTORE_SHIFT,
  RESTORE_TYPES,
  RESTORE_VERSIONS,
} from '../kernels/abi.js'
import type { ByteKernel } from '../kernels/kernel.js'
import type { Stretch } from '../rdb/lane/lane.js'
import { OPCODE, type RdbFamily } from '../rdb/numbers.js'
import { typeTable } from '../rdb/type-table.js'
import { KIND } from '../rdb/visitor.js'
import { acceptsType, footerVersion, type TargetCapabilities } from '../servers/capabilities.js'

const NO_KEY = 0xffffffff

export interface RestoreLaneOptions {
  target: TargetCapabilities
  restore: 'auto' | 'always' | 'never'
  replace: boolean
  maxPayloadBytes: number
  /** Added to expiries. */
  shiftMs: number
}

export class RestoreLane {
  /** Of the last row: all records that it passed, where its output ends, and why it ended. */
  passed = 0
  writtenTo = 0
  wantsRoom = false
  /** By type byte: keys written, and keys left out since they are past their time. */
  readonly written: Uint32Array
  readonly expired: Uint32Array
  readonly #kernel: ByteKernel
  readonly #options: RestoreLaneOptions
  readonly #settings: DataView
  readonly #how: Uint8Array
  #setFor: RdbFamily | undefined
  #mayReplace = false

  constructor(kernel: ByteKernel, options: RestoreLaneOptions) {
    this.#kernel = kernel
    this.#options = options
    const { buffer } = kernel.memory
    const { exports } = kernel
    this.#settings = new DataView(
      buffer,
      exports.restoreSettings(),
      RESTORE_OWN_KEY + MAX_OWN_KEY_BYTES,
    )
    this.#how = new Uint8Array(buffer, exports.restoreSettings(), RESTORE_TYPES)
    const counts = exports.restoreCounts()
    this.written = new Uint32Array(buffer, counts, RESTORE_TYPES)
    this.expired = new Uint32Array(buffer, counts + 4 * RESTORE_TYPES, RESTORE_TYPES)
  }

  /** Whether any record can go in a row: else nothing need be asked. */
  static serves({ target, replace }: RestoreLaneOptions): boolean {
    // Without REPLACE a second command would have to stand in front.
    return target.restoreReplace || !replace
  }

  /**
   * Says what holds for the next rows. `free`: no key of these names is there, or it is replaced.
   * Keys up to `expiredUpToMs` are left out (-1: none), one called `ownKey` ends the row. False
   * where such rows cannot be written.
   */
  begin(
    family: RdbFamily,
    free: boolean,
    expiredUpToMs: number,
    ownKey: Uint8Array | undefined,
  ): boolean {
    if (ownKey !== undefined && ownKey.length > MAX_OWN_KEY_BYTES) return false
    const settings = this.#settings
    if (family !== this.#setFor || free !== this.#mayReplace) this.#setUp(family, free)
    settings.setFloat64(RESTORE_EXPIRED_UP_TO, expiredUpToMs, true)
    settings.setUint32(RESTORE_OWN_SIZE, ownKey?.length ?? NO_KEY, true)
    ownKey?.forEach((byte, index) => settings.setUint8(RESTORE_OWN_KEY + index, byte))
    return true
  }

  /** False where the record that `stretch` begins with is certainly none for a row. */
  takes(stretch: Stretch): boolean {
    if (stretch.kernel !== this.#kernel) return false
    const first = this.#kernel.memory[stretch.start]!
    return first <= RESTORE_LAST_TYPE ? this.#how[first] !== RESTORE_LEAVE : first >= OPCODE.IDLE
  }

  /** Writes records from `stretch.takenTo` on to bytes[at]. Returns how many keys it wrote. */
  write(stretch: Stretch, bytes: Uint8Array, at: number): number {
    const kernel = this.#kernel
    const { exports } = kernel
    this.passed = 0
    this.writtenTo = at
    this.wantsRoom = false
    if (bytes.buffer !== kernel.memory.buffer) return 0
    this.passed = exports.restoreRecords(
      stretch.takenTo,
      stretch.end,
      bytes.byteOffset + at,
      bytes.byteOffset + bytes.length,
      kernel.stagingAddress,
    )
    this.wantsRoom = exports.restoreWantsRoom() === 1
    stretch.takenTo = exports.runInputTo()
    this.writtenTo = exports.runOutputTo() - bytes.byteOffset
    let written = 0
    for (let type = 0; type <= RESTORE_LAST_TYPE; type += 1) written += this.written[type]!
    return written
  }

  #setUp(family: RdbFamily, free: boolean): void {
    const options = this.#options
    const settings = this.#settings
    const { target } = options
    this.#setFor = family
    this.#mayReplace = free
    const types = typeTable(family)
    for (let type = 0; type < RESTORE_TYPES; type += 1) {
      const row = type <= RESTORE_LAST_TYPE ? types[type] : undefined
      const payload = row !== undefined && acceptsType(target, row)
      const isString = row?.kind === KIND.STRING
      settings.setUint8(type, this.#howOf(isString, payload, free))
      settings.setUint16(
        RESTORE_VERSIONS + 2 * type,
        payload ? footerVersion(target, row) : 0,
        true,
      )
    }
    settings.setFloat64(RESTORE_SHIFT, options.shiftMs, true)
    settings.setUint32(
      RESTORE_FLAGS,
      (options.replace && target.restoreReplace ? RESTORE_REPLACES : 0) |
        (target.restoreAbsttl ? RESTORE_KNOWS_ABSTTL : 0) |
        (target.setPxat ? RESTORE_KNOWS_PXAT : 0),
      true,
    )
    settings.setUint32(RESTORE_MOST_BYTES, Math.min(options.maxPayloadBytes, NO_KEY), true)
  }

  /** As `KeyRewriter` chooses. */
  #howOf(isString: boolean, payload: boolean, free: boolean): number {
    const { restore } = this.#options
    if (isString && restore !== 'always') {
      // NX would have to be said.
      if (!free) return RESTORE_LEAVE
      if (restore === 'never') return RESTORE_BY_SET
      return payload ? RESTORE_BY_SET_OR_RESTORE : RESTORE_LEAVE
    }
    return payload && restore !== 'never' ? RESTORE_BY_RESTORE : RESTORE_LEAVE
  }
}
