/** Weights of strings by length, where the kernel that walks runs of them finds them. */
import { MAX_WEIGHTS, WEIGH_NOTHING, WEIGH_PAIRS, WEIGH_STRINGS } from '../../kernels/abi.js'
import type { ByteKernel } from '../../kernels/kernel.js'
import type { Kind } from '../kinds.js'
import type { PlainWeights, StringWeighing } from './lane.js'

export class ChosenWeights {
  /** Arguments of `walkStrings`. */
  mode: number = WEIGH_NOTHING
  known = 0
  #kernel: ByteKernel | undefined
  #kind = -1
  /** Asked for once, by kind. */
  readonly #answers: (PlainWeights | undefined | null)[] = []

  /** False: the consumer wants to hear of each string. */
  choose(kernel: ByteKernel, weighing: StringWeighing | undefined, kind: Kind): boolean {
    if (kind === this.#kind && kernel === this.#kernel) return this.mode !== WEIGH_NOTHING
    this.#kind = kind
    this.#kernel = kernel
    const weights = this.#ask(weighing, kind)
    if (weights === undefined) {
      this.mode = WEIGH_NOTHING
      return false
    }
    this.mode = weights.pairs ? WEIGH_PAIRS : WEIGH_STRINGS
    this.known = Math.min(MAX_WEIGHTS, weights.byLength.length)
    new Float64Array(kernel.memory.buffer, kernel.exports.stringWeights(), this.known).set(
      weights.byLength.subarray(0, this.known),
    )
    return true
  }

  #ask(weighing: StringWeighing | undefined, kind: Kind): PlainWeights | undefined {
    let answer = this.#answers[kind]
    if (answer === undefined) {
      answer = weighing?.ofKind(kind) ?? null
      this.#answers[kind] = answer
    }
    return answer ?? undefined
  }
}
