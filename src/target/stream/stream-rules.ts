/**
 * What becomes of each command of a stream on its way to another server: sent as it came (nearly
 * all), rewritten, split, or left out. The cases are those that servers were seen to send
 * (the reference's table of propagated commands); names are compared without regard to case.
 *
 * - relative times become absolute by the time of reception, and all are moved while a load is
 *   behind its source (expiry-time.ts);
 * - what only a master may send is said as a client may say it: RESTORE-ASKING, XADD with both an
 *   id and IDMP, VADD … CAS;
 * - what would act twice or is the source's own business is left out: IDMP duplicates, PING,
 *   REPLCONF, CLUSTER, TRIMSLOTS;
 * - only changes of data are sent, by the write flag of the command; whatever else a file or a
 *   source says (CONFIG, ACL, REPLICAOF, QUIT …) is refused by name;
 * - a newer server's form of something that older ones have is said in the older form.
 */
import { isArg, type CommandInfo, type CommandTable } from '../../resp/command-table.js'
import type { CommandDecoder } from '../../resp/decoder.js'
import type { CommandEncoder } from '../../resp/encoder.js'
import { casOfVadd, isHello } from '../../resp/propagated.js'
import { copyArg } from '../../resp/command-args.js'
import {
  RuleOutcome,
  VERDICT,
  type Rule,
  type RuleList,
  type StreamRulesOptions,
  type Verdict,
} from './rule-outcome.js'
import { StreamTimeRules, type StreamClock } from './stream-time-rules.js'
import { StreamTypeRules } from './stream-type-rules.js'

const COPY_BY_PAYLOAD =
  "local v = redis.call('DUMP', KEYS[1]) redis.call('DEL', KEYS[2]) if v then " +
  "local t = redis.call('PTTL', KEYS[1]) " +
  "redis.call('RESTORE', KEYS[2], string.format('%.0f', math.max(t, 0)), v) end return 1"
/** ARGV[1] the db of the copy, ARGV[2] the one at hand: before 2.8.12 a script that ends elsewhere
 * than it began moves its caller, too. */
const COPY_TO_DB_BY_PAYLOAD =
  "local v = redis.call('DUMP', KEYS[1]) local t = redis.call('PTTL', KEYS[1]) " +
  "redis.call('SELECT', ARGV[1]) redis.call('DEL', KEYS[2]) local r = 1 if v then " +
  "r = redis.pcall('RESTORE', KEYS[2], string.format('%.0f', math.max(t, 0)), v) end " +
  "redis.call('SELECT', ARGV[2]) return r"

export class StreamRules extends RuleOutcome implements StreamClock {
  /** Where the command at hand works in the target. */
  targetDb = 0
  /** Added to every expiry. May change between commands. */
  shiftMs = 0
  /** Unix ms at which the command at hand was received; -1: not known. Asked only if it matters. */
  receivedMs: () => number = () => -1
  /** Commands with relative times for which no time of reception is known: counted. */
  relativeWithoutTime = 0
  /** The source is known to be a server that never sends scripts. */
  refuseScripts = false
  readonly #options: StreamRulesOptions
  readonly #rules: (Rule | undefined)[] = []

  constructor(table: CommandTable, options: StreamRulesOptions) {
    super()
    this.#options = options
    for (const [names, rule] of this.#list()) {
      for (const name of names.split(' ')) {
        const index = table.get(name)?.index
        if (index !== undefined) this.#rules[index] = rule
      }
    }
  }

  apply(info: CommandInfo, command: CommandDecoder, out: CommandEncoder): Verdict {
    const rule = this.#rules[info.index]
    if (rule !== undefined) return rule(command, out)
    return info.isPropagated ? VERDICT.SAME : this.refused()
  }

  #list(): RuleList {
    const { publish } = this.#options
    return [
      ['PING', () => this.leaveOut('PING')],
      ['REPLCONF', () => this.leaveOut('REPLCONF')],
      ['SYNCSLOTS ASKING READONLY', () => this.leaveOut('cluster command')],
      ['CLUSTER', (command) => this.#cluster(command)],
      ['TRIMSLOTS', () => this.notHeld('TRIMSLOTS')],
      publish
        ? ['PUBLISH', (command) => this.#publish(command)]
        : ['PUBLISH SPUBLISH', () => this.leaveOut('PUBLISH')],
      ['HPERSIST', () => this.#hpersist()],
      ['HGETDEL', (command, out) => this.#hgetdel(command, out)],
      ['DELEX DELIFEQ', (command, out) => this.#delex(command, out)],
      ...new StreamTimeRules(this, this.#options, this).list(),
      ...new StreamTypeRules(this, this.#options).list(),
      ['VADD', (command, out) => this.#vadd(command, out)],
      ['FUNCTION', (command) => this.#function(command)],
      ['SCRIPT', (command) => (isOneOf(command, 1, 'LOAD FLUSH') ? VERDICT.SAME : this.refused())],
      ['EVAL EVALSHA', () => this.#script()],
      ['COPY', (command, out) => this.#copy(command, out)],
      ['GETDEL', (command, out) => this.#getdel(command, out)],
    ]
  }

  /** With it the Sentinels of the target would take those of the source for their own. */
  #publish(command: CommandDecoder): Verdict {
    return isHello(command) ? this.leaveOut('PUBLISH of a Sentinel') : VERDICT.SAME
  }

  /** FLUSHSLOT, as TRIMSLOTS, deletes keys that nobody names; what else there is moves none. */
  #cluster(command: CommandDecoder): Verdict {
    if (isOneOf(command, 1, 'FLUSHSLOT')) return this.notHeld('CLUSTER FLUSHSLOT')
    return this.leaveOut('cluster command')
  }

  /** COPY source destination [DB n] [REPLACE]: it held on the source. */
  #copy(command: CommandDecoder, out: CommandEncoder): Verdict {
    if (this.#options.hasCommand('COPY') && this.#options.target.copy) return VERDICT.SAME
    if (!this.#options.target.scripts || command.argc < 3) return this.notHeld('COPY')
    for (let i = 3; i + 1 < command.argc; i += 1) {
      if (!isArg(command, i, 'DB')) continue
      out.begin(7).ascii('EVAL').ascii(COPY_TO_DB_BY_PAYLOAD).ascii('2')
      copyArg(out, command, 1)
      copyArg(out, command, 2)
      copyArg(out, command, i + 1)
      out.integer(this.targetDb)
      return this.rewritten()
    }
    out.begin(5).ascii('EVAL').ascii(COPY_BY_PAYLOAD).ascii('2')
    copyArg(out, command, 1)
    copyArg(out, command, 2)
    return this.rewritten()
  }

  /** GETDEL key → DEL key */
  #getdel(command: CommandDecoder, out: CommandEncoder): Verdict {
    if (command.argc !== 2) return VERDICT.SAME
    out.begin(2).ascii('DEL')
    copyArg(out, command, 1)
    return this.rewritten()
  }

  #hpersist(): Verdict {
    // Where fields have no expiry there is none to take away.
    return this.#options.target.fieldExpiry
      ? VERDICT.SAME
      : this.leaveOut('HPERSIST for a target without field expiry')
  }

  /** HGETDEL key FIELDS n field… (as Valkey 9.1 sends it) */
  #hgetdel(command: CommandDecoder, out: CommandEncoder): Verdict {
    if (this.#options.hasCommand('HGETDEL') || command.argc < 5) return VERDICT.SAME
    out.begin(command.argc - 2).ascii('HDEL')
    copyArg(out, command, 1)
    for (let i = 4; i < command.argc; i += 1) copyArg(out, command, i)
    return this.rewritten()
  }

  /** DELEX key [condition], DELIFEQ key value: the condition held on the source. */
  #delex(command: CommandDecoder, out: CommandEncoder): Verdict {
    if (command.argc < 2) return VERDICT.SAME
    out.begin(2).ascii('DEL')
    copyArg(out, command, 1)
    return this.rewritten()
  }

  /** VADD … CAS is for threads of the server that got it; in a transaction it has no use. */
  #vadd(command: CommandDecoder, out: CommandEncoder): Verdict {
    const casAt = casOfVadd(command)
    if (casAt < 0) return VERDICT.SAME
    out.begin(command.argc - 1)
    for (let k = 0; k < command.argc; k += 1) if (k !== casAt) copyArg(out, command, k)
    return this.rewritten()
  }

  /** Up to 6.2 a master may send a script as it is; from 7.0 on what it wrote, always. */
  #script(): Verdict {
    return this.refuseScripts
      ? this.refused('a script, which its server sends as what it wrote: not executed')
      : VERDICT.SAME
  }

  #function(command: CommandDecoder): Verdict {
    if (!isOneOf(command, 1, 'LOAD DELETE FLUSH RESTORE')) return this.refused()
    return this.#options.target.functions ? VERDICT.SAME : this.notHeld('functions')
  }
}

/** Argument i is one of these words. */
function isOneOf(command: CommandDecoder, i: number, words: string): boolean {
  return i < command.argc && words.split(' ').some((word) => isArg(command, i, word))
}
