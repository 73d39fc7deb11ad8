/**
 * Rows of records as RESTORE or SET, one command a key, written by the kernel in whose memory they
 * and the output lie. Byte for byte what restore-writer.ts and element-commands.ts make of them, for
 * keys that keep their name and stand in nobody's way, or are replaced.
 */
import type { ByteKernel } from '../kernels/kernel.js'
import type { Stretch } from '../rdb/lane/lane.js'
import { OPCODE, type RdbFamily } from '../rdb/numbers.js'
import { typeTable } from '../rdb/type-table.js'
import { KIND } from '../rdb/visitor.js'
import { acceptsType, footerVersion, type TargetCapabilities } from '../servers/capabilities.js'

/** Type bytes that the kernel knows are less. */
export const ROW_TYPES = 32
/** As kernels/assembly/restores.ts has them. */
const MAX_OWN_KEY_BYTES = 256
const LAST_TYPE = 20
const HOW = { LEAVE: 0, RESTORE: 1, SET_OR_RESTORE: 2, SET: 3 } as const
const AT = {
  VERSIONS: 32,
  EXPIRED_UP_TO: 96,
  SHIFT: 104,
  FLAGS: 112,
  MOST_BYTES: 116,
  OWN_SIZE: 120,
  OWN_KEY: 128,
} as const
const FLAG = { REPLACES: 1, KNOWS_ABSTTL: 2, KNOWS_PXAT: 4 } as const
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
  private readonly kernel: ByteKernel
  private readonly options: RestoreLaneOptions
  private readonly settings: DataView
  private readonly how: Uint8Array
  private setFor: RdbFamily | undefined
  private mayReplace = false

  constructor(kernel: ByteKernel, options: RestoreLaneOptions) {
    this.kernel = kernel
    this.options = options
    const { buffer } = kernel.memory
    const { exports } = kernel
    this.settings = new DataView(buffer, exports.restoreSettings(), AT.OWN_KEY + MAX_OWN_KEY_BYTES)
    this.how = new Uint8Array(buffer, exports.restoreSettings(), ROW_TYPES)
    const counts = exports.restoreCounts()
    this.written = new Uint32Array(buffer, counts, ROW_TYPES)
    this.expired = new Uint32Array(buffer, counts + 4 * ROW_TYPES, ROW_TYPES)
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
    const { settings } = this
    if (family !== this.setFor || free !== this.mayReplace) this.setUp(family, free)
    settings.setFloat64(AT.EXPIRED_UP_TO, expiredUpToMs, true)
    settings.setUint32(AT.OWN_SIZE, ownKey?.length ?? NO_KEY, true)
    ownKey?.forEach((byte, index) => settings.setUint8(AT.OWN_KEY + index, byte))
    return true
  }

  /** False where the record that `stretch` begins with is certainly none for a row. */
  takes(stretch: Stretch): boolean {
    if (stretch.kernel !== this.kernel) return false
    const first = this.kernel.memory[stretch.start]!
    return first <= LAST_TYPE ? this.how[first] !== HOW.LEAVE : first >= OPCODE.IDLE
  }

  /** Writes records from `stretch.takenTo` on to bytes[at]. Returns how many keys it wrote. */
  write(stretch: Stretch, bytes: Uint8Array, at: number): number {
    const { kernel } = this
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
    stretch.takenTo = exports.rowInputTo()
    this.writtenTo = exports.rowOutputTo() - bytes.byteOffset
    let written = 0
    for (let type = 0; type <= LAST_TYPE; type += 1) written += this.written[type]!
    return written
  }

  private setUp(family: RdbFamily, free: boolean): void {
    const { settings, options } = this
    const { target } = options
    this.setFor = family
    this.mayReplace = free
    const types = typeTable(family)
    for (let type = 0; type < ROW_TYPES; type += 1) {
      const row = type <= LAST_TYPE ? types[type] : undefined
      const payload = row !== undefined && acceptsType(target, row)
      const isString = row?.kind === KIND.STRING
      settings.setUint8(type, this.howOf(isString, payload, free))
      settings.setUint16(AT.VERSIONS + 2 * type, payload ? footerVersion(target, row) : 0, true)
    }
    settings.setFloat64(AT.SHIFT, options.shiftMs, true)
    settings.setUint32(
      AT.FLAGS,
      (options.replace && target.restoreReplace ? FLAG.REPLACES : 0) |
        (target.restoreAbsttl ? FLAG.KNOWS_ABSTTL : 0) |
        (target.setPxat ? FLAG.KNOWS_PXAT : 0),
      true,
    )
    settings.setUint32(AT.MOST_BYTES, Math.min(options.maxPayloadBytes, NO_KEY), true)
  }

  /** As `KeyRewriter` chooses. */
  private howOf(isString: boolean, payload: boolean, free: boolean): number {
    const { restore } = this.options
    if (isString && restore !== 'always') {
      // NX would have to be said.
      if (!free) return HOW.LEAVE
      if (restore === 'never') return HOW.SET
      return payload ? HOW.SET_OR_RESTORE : HOW.LEAVE
    }
    return payload && restore !== 'never' ? HOW.RESTORE : HOW.LEAVE
  }
}
