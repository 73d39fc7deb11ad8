/** The rules of propagation for commands on values of the type stream. */
import { isArg } from '../../resp/command-table.js'
import type { CommandDecoder } from '../../resp/decoder.js'
import type { CommandEncoder } from '../../resp/encoder.js'
import { XaddArguments } from '../../resp/propagated.js'
import { copyArg } from '../../resp/command-args.js'
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
  readonly #xaddArguments = new XaddArguments()

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

  #xadd(command: CommandDecoder, out: CommandEncoder): Verdict {
    const xadd = this.#xaddArguments
    if (!xadd.read(command)) return VERDICT.SAME
    const { idAt, idmpAt, refAt } = xadd
    if (xadd.isDuplicate(command)) return this.#outcome.leaveOut('XADD duplicate (IDMP)')
    const hasRefs = this.#options.target.family === 'redis' && this.#options.target.version >= 80200
    const dropRef = refAt >= 0 && !hasRefs
    if (idmpAt < 0 && !dropRef) return VERDICT.SAME
    if (dropRef && !isArg(command, refAt, 'KEEPREF')) {
      this.#options.onLoss('references of trimmed stream entries')
    }
    out.begin(command.argc - xadd.idmpArgs - (dropRef ? 1 : 0))
    for (let k = 0; k < command.argc; k += 1) {
      if ((dropRef && k === refAt) || xadd.isIdmp(k)) continue
      copyArg(out, command, k)
    }
    if (idmpAt < 0) return this.#outcome.rewritten()
    // The id that IDMPAUTO made of the entry is the server's secret.
    if (xadd.isAuto || !this.#options.target.idempotence) {
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
