/**
 * A RESTORE of the stream whose payload the target would refuse, or whose fields carry times that
 * have to be moved: written as the snapshot's keys are, by a RESTORE with a footer that the target
 * takes, or by commands. These cannot carry idle time and frequency, which are hints that the next
 * access undoes.
 */
import { OutputBuffer } from '../../bytes/output-buffer.js'
import { RdbError } from '../../errors.js'
import { parseDumpPayload } from '../../rdb/dump-payload.js'
import { MIN_VALKEY_VERSION } from '../../rdb/numbers.js'
import { typeTable } from '../../rdb/type-table.js'
import type { RdbStart } from '../../rdb/visitor.js'
import type { CommandEncoder } from '../../resp/encoder.js'
import { CommandWriter } from '../../rewrite/command-writer.js'
import { METHOD, type Conflict } from '../../rewrite/key-plan.js'
import { KeyRewriter } from '../../rewrite/key-rewriter.js'
import type { TargetCapabilities } from '../../servers/capabilities.js'
import { shiftedFieldMs } from '../expiry-time.js'
import { lossText } from '../loss-text.js'

const FOOTER_BYTES = 10
/** One is made for each such command: it grows with its payload. */
const WRITE_BYTES = 1 << 13
/** Up to here both families write the same. */
const LAST_COMMON_VERSION = 11

export interface RestoreWish {
  key: Buffer
  payload: Buffer
  /** Unix ms as it is to be written, or -1. */
  expireAtMs: number
  replace: boolean
  /** As the command has them, or -1. */
  idleSeconds: number
  freq: number
  shiftMs: number
}

/** `unchanged`: nothing is to be done, or nothing can be, and the target will say why. */
export type RestoreOutcome =
  { kind: 'unchanged' } | { kind: 'written'; frames: number } | { kind: 'lost'; what: string }

export class RestoreRewrite {
  readonly #target: TargetCapabilities
  readonly #onLoss: (what: string) => void

  constructor(target: TargetCapabilities, onLoss: (what: string) => void) {
    this.#target = target
    this.#onLoss = onLoss
  }

  /** Whether the payload cannot go as it came. */
  isNeeded(payload: Buffer, shiftMs: number): boolean {
    if (payload.length <= FOOTER_BYTES) return false
    const { version, family } = startOf(payload)
    const target = this.#target
    const isKnown =
      version <= target.dumpVersion && (version <= LAST_COMMON_VERSION || family === target.family)
    const hasTimes = typeTable(family)[payload[0]!]?.fieldTimes === true
    return !isKnown || (hasTimes && shiftMs !== 0)
  }

  rewrite(wish: RestoreWish, out: CommandEncoder): RestoreOutcome {
    const buffer = new OutputBuffer((bytes) => void out.raw(bytes), WRITE_BYTES)
    const writer = new CommandWriter(buffer)
    writer.selectedDb = 0
    const { expireAtMs, shiftMs } = wish
    const conflict: Conflict = wish.replace ? 'replace' : 'ignore'
    let isLost = false as boolean
    const rewriter = new KeyRewriter({
      target: this.#target,
      writer,
      conflict,
      key: ({ type }, plan) => {
        plan.expireAtMs = expireAtMs
        // The times inside of a payload cannot be moved.
        if (type.fieldTimes && shiftMs !== 0 && plan.method === METHOD.RESTORE) {
          plan.method = METHOD.COMMANDS
        }
        return true
      },
      fieldTime: (fieldMs) => shiftedFieldMs(fieldMs, shiftMs),
      keyDone: (_header, _stats, { method }) => (isLost = method === METHOD.SKIP),
      onLoss: (loss) => {
        if (loss !== 'value' && loss !== 'stream') this.#onLoss(lossText(loss))
      },
    })
    const before = out.length
    try {
      rewriter.start(startOf(wish.payload))
      const { key, idleSeconds, freq } = wish
      parseDumpPayload(wish.payload, rewriter, { key, idleSeconds, freq })
      buffer.flush()
    } catch (error) {
      if (!(error instanceof RdbError)) throw error
      out.length = before
      return { kind: 'unchanged' }
    }
    return isLost
      ? { kind: 'lost', what: lossText('value') }
      : { kind: 'written', frames: writer.commands }
  }
}

/** As the head of a file would say it. */
function startOf(payload: Buffer): RdbStart {
  const version = payload.readUInt16LE(payload.length - FOOTER_BYTES)
  return { version, family: version >= MIN_VALKEY_VERSION ? 'valkey' : 'redis' }
}
