/** The rules of propagation for commands on values of the type stream. */
import { isArg } from '../resp/command-table.js'
import type { CommandDecoder } from '../resp/decoder.js'
import type { CommandEncoder } from '../resp/encoder.js'
import { copyArg } from './command-args.js'
import {
  VERDICT,
  type RuleList,
  type RuleOutcome,
  type StreamRulesOptions,
  type Verdict,
} from './rule-outcome.js'

export class StreamTypeRules {
  readonly #outcome: RuleOutcome
  readonly #options: StreamRulesOptions

  constructor(outcome: RuleOutcome, options: StreamRulesOptions) {
    this.#outcome = outcome
    this.#options = options
  }

  list(): RuleList {
    return [
      ['XADD', (command, out) => this.#xadd(command, out)],
      ['XCFGSET XIDMPRECORD', () => this.#idempotence()],
      ['XGROUP', (command, out) => this.#xgroup(command, out)],
      ['XSETID', (command, out) => this.#xsetid(command, out)],
    ]
  }

  /**
   * XADD key [NOMKSTREAM] [KEEPREF|DELREF|ACKED] [IDMPAUTO pid | IDMP pid iid]
   *   [MAXLEN|MINID [=|~] n [LIMIT n]] id field value…
   */
  #xadd(command: CommandDecoder, out: CommandEncoder): Verdict {
    let idmpAt = -1
    let auto = false
    let refAt = -1
    let i = 2
    for (; i < command.argc; i += 1) {
      if (isArg(command, i, 'NOMKSTREAM')) continue
      if (
        isArg(command, i, 'KEEPREF') ||
        isArg(command, i, 'DELREF') ||
        isArg(command, i, 'ACKED')
      ) {
        refAt = i
      } else if (isArg(command, i, 'IDMP')) {
        idmpAt = i
        i += 2
      } else if (isArg(command, i, 'IDMPAUTO')) {
        idmpAt = i
        auto = true
        i += 1
      } else if (isArg(command, i, 'MAXLEN') || isArg(command, i, 'MINID')) {
        if (isArg(command, i + 1, '=') || isArg(command, i + 1, '~')) i += 1
        i += 1
      } else if (isArg(command, i, 'LIMIT')) {
        i += 1
      } else {
        break
      }
    }
    const idAt = i
    if (idAt >= command.argc) return VERDICT.SAME
    // With `*` nothing was added: the source had seen this id of its producer before.
    if (idmpAt >= 0 && isArg(command, idAt, '*'))
      return this.#outcome.leaveOut('XADD duplicate (IDMP)')
    const hasRefs = this.#options.target.family === 'redis' && this.#options.target.version >= 80200
    const dropRef = refAt >= 0 && !hasRefs
    if (idmpAt < 0 && !dropRef) return VERDICT.SAME
    if (dropRef && !isArg(command, refAt, 'KEEPREF')) {
      this.#options.onLoss('references of trimmed stream entries')
    }
    const idmpArgs = idmpAt < 0 ? 0 : auto ? 2 : 3
    out.begin(command.argc - idmpArgs - (dropRef ? 1 : 0))
    for (let k = 0; k < command.argc; k += 1) {
      if (dropRef && k === refAt) continue
      if (idmpAt >= 0 && k >= idmpAt && k < idmpAt + idmpArgs) continue
      copyArg(out, command, k)
    }
    if (idmpAt < 0) return this.#outcome.rewritten()
    // The id that IDMPAUTO made of the entry is the server's secret.
    if (auto || !this.#options.target.idempotence) {
      this.#options.onLoss('ids of stream producers (IDMP)')
      return this.#outcome.rewritten()
    }
    out.begin(5).ascii('XIDMPRECORD')
    copyArg(out, command, 1)
    copyArg(out, command, idmpAt + 1)
    copyArg(out, command, idmpAt + 2)
    copyArg(out, command, idAt)
    return this.#outcome.rewritten(2)
  }

  #idempotence(): Verdict {
    return this.#options.target.idempotence
      ? VERDICT.SAME
      : this.#outcome.notHeld('ids of stream producers (IDMP)')
  }

  /** XGROUP CREATE|SETID key group id [MKSTREAM] [ENTRIESREAD n] */
  #xgroup(command: CommandDecoder, out: CommandEncoder): Verdict {
    const { target } = this.#options
    if (command.argc > 1 && isArg(command, 1, 'CREATECONSUMER') && !target.createConsumer) {
      return this.#outcome.notHeld('consumers without pending entries')
    }
    if (target.streamCounters) return VERDICT.SAME
    for (let i = 5; i < command.argc; i += 1) {
      if (!isArg(command, i, 'ENTRIESREAD')) continue
      out.begin(command.argc - 2)
      for (let k = 0; k < command.argc; k += 1) if (k < i || k > i + 1) copyArg(out, command, k)
      return this.#outcome.rewritten()
    }
    return VERDICT.SAME
  }

  /** XSETID key id [ENTRIESADDED n] [MAXDELETEDID id] */
  #xsetid(command: CommandDecoder, out: CommandEncoder): Verdict {
    if (this.#options.target.streamCounters || command.argc <= 3) return VERDICT.SAME
    out.begin(3)
    for (let k = 0; k < 3; k += 1) copyArg(out, command, k)
    return this.#outcome.rewritten()
  }
}
