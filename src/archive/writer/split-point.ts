/** A split at a stream byte that is still to come. */
import { InternalError, ProtocolError } from '../../errors.js'
import type { IncrRecord } from '../sidecar.js'

interface Pending {
  replOffset: number
  resolve: (record: IncrRecord) => void
  reject: (error: Error) => void
}

export class SplitPoint {
  #pending: Pending | undefined

  get isAwaited(): boolean {
    return this.#pending !== undefined
  }

  set(pending: Pending): void {
    this.#pending = pending
  }

  giveUp(): void {
    this.#pending?.reject(new InternalError('the split was given up'))
    this.#pending = undefined
  }

  /**
   * Which byte of a chunk from `start` to `end` is the first behind it; undefined: none.
   *
   * @param replOffset last stream byte in front of the chunk
   */
  placeIn(start: number, end: number, replOffset: number): number | undefined {
    if (this.#pending === undefined) return undefined
    const behind = start + this.#pending.replOffset - replOffset
    return behind > end ? undefined : Math.max(start, behind)
  }

  /** @param rotate begins a new increment, where a whole command has just come to its end */
  reached(replOffset: number, rotate: (() => IncrRecord) | undefined): void {
    const pending = this.#pending
    this.#pending = undefined
    if (pending === undefined) return
    if (rotate !== undefined && replOffset === pending.replOffset) {
      pending.resolve(rotate())
    } else {
      pending.reject(
        new ProtocolError('ERR_SNAPSHOT_PASSED', `offset ${pending.replOffset} is no boundary`),
      )
    }
  }
}
