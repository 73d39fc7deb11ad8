/** Where the commands of files stand in time and in the replication stream, and whether the moment
 * that a replay is to end at is behind them. */
import type { AofPosition } from '../../aof/aof-parser.js'
import { ReplOffsetTracker } from '../../archive/format.js'
import type { ReplayOptions } from './options.js'

export class FileMoment {
  /** Some file says where it stands in the replication stream. */
  hasOffsets = false
  #tracker = new ReplOffsetTracker()
  #afterReplOffset = -1
  readonly #untilSeconds: number
  readonly #untilOffset: number

  constructor(until: ReplayOptions['until']) {
    this.#untilSeconds = until !== undefined && 'unixMs' in until ? until.unixMs / 1000 : Infinity
    this.#untilOffset = until !== undefined && 'offset' in until ? until.offset : Infinity
  }

  get replOffset(): number {
    return this.#tracker.replOffset
  }

  /** `afterReplOffset`: the base contains the stream up to here; -1: not known. */
  beginPart(afterReplOffset = -1): void {
    this.#tracker = new ReplOffsetTracker()
    this.#afterReplOffset = afterReplOffset
  }

  /** A command that ends at byte `end` of all files. False: it is behind the moment. */
  command(at: AofPosition, end: number): boolean {
    const before = this.#tracker.replOffset
    this.#tracker.command(at.endByteOffset - at.byteOffset)
    if (this.#tracker.replOffset >= 0) this.hasOffsets = true
    const offset = this.hasOffsets ? this.#tracker.replOffset : end
    return offset <= this.#untilOffset || (this.hasOffsets && before === offset)
  }

  /** The base contains the command at hand already. */
  get isInBase(): boolean {
    return this.hasOffsets && this.#tracker.replOffset <= this.#afterReplOffset
  }

  /** False: what follows is behind the moment. */
  timestamp(unixSeconds: number): boolean {
    return unixSeconds <= this.#untilSeconds
  }

  annotation(line: Buffer, at: AofPosition): void {
    this.#tracker.annotation(line, at.byteOffset)
  }
}
