/**
 * Says which command is the last of a moment, while increments are read: feed it what an AofParser
 * reports. Also keeps the offset of each command: that of the replication stream where marks tell
 * it, else the place in the bytes of all files.
 */
import type { AofPosition } from '../aof/aof-parser.js'
import type { SlotRanges } from '../topology/cluster-nodes.js'
import { ReplOffsetTracker } from './marks.js'
import type { Moment } from './moment.js'
import { noTimes } from './times.js'

export class MomentGate {
  /** Offset behind the last command. */
  offset = -1
  /** Marks were met: offsets are those of the stream. */
  hasReplOffsets = false

  readonly #untilOffset: number
  readonly #untilSeconds: number
  /** What came later is read up to here all the same. */
  readonly #leastOffset: number
  #isLate = false
  #tracker = new ReplOffsetTracker()
  #startByteOffset = 0
  #isWithoutTimes = false

  constructor(moment: Moment) {
    const isOffset = moment !== 'end' && 'replOffset' in moment
    const isTime = moment !== 'end' && 'timeMs' in moment
    this.#untilOffset = isOffset ? moment.replOffset : Infinity
    this.#untilSeconds = isTime ? Math.floor(moment.timeMs / 1000) : Infinity
    this.#leastOffset = (isTime ? moment.leastReplOffset : undefined) ?? -1
    this.#isWithoutTimes = isTime
  }

  /** @param startByteOffset bytes of the files before this one */
  beginPart(startByteOffset: number): void {
    this.#tracker = new ReplOffsetTracker()
    this.#startByteOffset = startByteOffset
  }

  /** False: this command is behind the moment, and so is everything after it. */
  command(at: AofPosition): boolean {
    const before = this.#tracker.replOffset
    this.#tracker.command(at.endByteOffset - at.byteOffset)
    const { replOffset } = this.#tracker
    if (replOffset >= 0) this.hasReplOffsets = true
    const offset = this.hasReplOffsets ? replOffset : this.#startByteOffset + at.endByteOffset
    // What is no part of the stream belongs to the command before it.
    const isOfStream = !this.hasReplOffsets || before !== replOffset
    if (isOfStream && offset > (this.#isLate ? this.#leastOffset : this.#untilOffset)) return false
    this.offset = offset
    return true
  }

  /** False: everything behind this `#TS:` line is behind the moment. */
  timestamp(unixSeconds: number): boolean {
    this.#isWithoutTimes = false
    this.#isLate = unixSeconds > this.#untilSeconds
    return !this.#isLate || this.offset < this.#leastOffset
  }

  /**
   * Throws MomentError where a time is asked for, and commands have come without any so far: for what
   * cannot be looked at before (`refuseWithoutTimes`).
   */
  refuseWithoutTimes(name: string): void {
    if (this.#isWithoutTimes && this.offset >= 0) throw noTimes(name)
  }

  /** Keys that were deleted here without being named, where that is not behind the moment. */
  annotation(line: Uint8Array, at: AofPosition): SlotRanges | undefined {
    const found = this.#tracker.annotation(line, at.byteOffset)
    if (found?.kind !== 'trim') return undefined
    const until = this.#isLate ? this.#leastOffset : this.#untilOffset
    return found.replOffset <= until ? found.slots : undefined
  }
}
