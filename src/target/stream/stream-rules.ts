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
import { casOfVadd } from '../../resp/propagated.js'
import { argBuffer, copyArg, integerArg } from './command-args.js'
import { shiftedFieldMs } from '../expiry-time.js'
import { RestoreRewrite } from '../load/restore-rewrite.js'
import {
  RuleOutcome,
  VERDICT,
  type Rule,
  type RuleList,
  type StreamRulesOptions,
  type Verdict,
} from './rule-outcome.js'
import { StreamTypeRules } from './stream-type-rules.js'

const SET_KEEPING_TTL =
  "local t = redis.call('PTTL', KEYS[1]) redis.call('SET', KEYS[1], ARGV[1]) " +
  "if t > 0 then redis.call('PEXPIRE', KEYS[1], string.format('%.0f', t)) end return 1"
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

export class StreamRules extends RuleOutcome {
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
  readonly #payloads: RestoreRewrite
  readonly #rules: (Rule | undefined)[] = []

  constructor(table: CommandTable, options: StreamRulesOptions) {
    super()
    this.#options = options
    this.#payloads = new RestoreRewrite(options.target, options.onLoss)
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
      ['CLUSTER TRIMSLOTS SYNCSLOTS ASKING READONLY', () => this.leaveOut('cluster command')],
      ...(publish ? [] : [['PUBLISH SPUBLISH', () => this.leaveOut('PUBLISH')] as const]),
      ['SET', (command, out) => this.#set(command, out)],
      ['SETEX', (command, out) => this.#setex(command, out, 1000)],
      ['PSETEX', (command, out) => this.#setex(command, out, 1)],
      ['EXPIRE', (command, out) => this.#expire(command, out, 1000, true)],
      ['PEXPIRE', (command, out) => this.#expire(command, out, 1, true)],
      ['EXPIREAT', (command, out) => this.#expire(command, out, 1000, false)],
      ['PEXPIREAT', (command, out) => this.#expire(command, out, 1, false)],
      ['RESTORE RESTORE-ASKING', (command, out) => this.#restore(command, out)],
      ['HEXPIRE', (command, out) => this.#fieldExpire(command, out, 1000, true)],
      ['HPEXPIRE', (command, out) => this.#fieldExpire(command, out, 1, true)],
      ['HEXPIREAT', (command, out) => this.#fieldExpire(command, out, 1000, false)],
      ['HPEXPIREAT', (command, out) => this.#fieldExpire(command, out, 1, false)],
      ['HPERSIST', () => this.#hpersist()],
      ['HSETEX', (command, out) => this.#hsetex(command, out)],
      ['HGETDEL', (command, out) => this.#hgetdel(command, out)],
      ['MSETEX', (command, out) => this.#msetex(command, out)],
      ['DELEX DELIFEQ', (command, out) => this.#delex(command, out)],
      ...new StreamTypeRules(this, this.#options).list(),
      ['VADD', (command, out) => this.#vadd(command, out)],
      ['FUNCTION', (command) => this.#function(command)],
      ['SCRIPT', (command) => (isOneOf(command, 1, 'LOAD FLUSH') ? VERDICT.SAME : this.refused())],
      ['EVAL EVALSHA', () => this.#script()],
      ['COPY', (command, out) => this.#copy(command, out)],
      ['GETEX', (command, out) => this.#getex(command, out)],
      ['GETDEL', (command, out) => this.#getdel(command, out)],
    ]
  }

  /** Unix ms as it is to be written. */
  #time(value: number, unitMs: 1 | 1000, relative: boolean): number {
    if (!relative) return value * unitMs + this.shiftMs
    const receivedMs = this.receivedMs()
    if (receivedMs < 0) {
      // A server that loads such a file counts from now, too.
      this.relativeWithoutTime += 1
      return Date.now() + value * unitMs + this.shiftMs
    }
    return receivedMs + value * unitMs + this.shiftMs
  }

  /** SET key value [NX|XX|IFEQ v|…] [GET] [EX|PX|EXAT|PXAT n|KEEPTTL] */
  #set(command: CommandDecoder, out: CommandEncoder): Verdict {
    if (command.argc === 3) return VERDICT.SAME
    let hasCondition = false
    let keepTtl = false
    let timeAt = -1
    let unitMs: 1 | 1000 = 1
    let relative = false
    for (let i = 3; i < command.argc; i += 1) {
      if (isArg(command, i, 'PXAT') || isArg(command, i, 'EXAT')) {
        timeAt = i + 1
        unitMs = isArg(command, i, 'PXAT') ? 1 : 1000
      } else if (isArg(command, i, 'PX') || isArg(command, i, 'EX')) {
        timeAt = i + 1
        relative = true
        unitMs = isArg(command, i, 'PX') ? 1 : 1000
      } else if (isIf(command, i)) {
        hasCondition = true
        i += 1
      } else if (isArg(command, i, 'KEEPTTL')) {
        keepTtl = true
      }
      if (timeAt === i + 1) i += 1
    }
    if (timeAt < 0) {
      if (keepTtl && !this.#options.target.keepTtl) return this.#setKeepingTtl(command, 1, out)
      if (!hasCondition) return VERDICT.SAME
      // The source's condition held, else nothing would have come. Not all servers know it.
      out.begin(keepTtl ? 4 : 3).ascii('SET')
      copyArg(out, command, 1)
      copyArg(out, command, 2)
      if (keepTtl) out.ascii('KEEPTTL')
      return this.rewritten()
    }
    const hasPxat = this.#options.target.version >= 60200
    if (!relative && unitMs === 1 && this.shiftMs === 0 && !hasCondition && hasPxat) {
      return VERDICT.SAME
    }
    const atMs = this.#time(integerArg(command, timeAt), unitMs, relative)
    if (hasPxat) {
      out.begin(5).ascii('SET')
      copyArg(out, command, 1)
      copyArg(out, command, 2)
      out.ascii('PXAT').integer(atMs)
      return this.rewritten()
    }
    out.begin(3).ascii('SET')
    copyArg(out, command, 1)
    copyArg(out, command, 2)
    this.#expireAt(command, 1, atMs, out)
    return this.rewritten(2)
  }

  /** PEXPIREAT, or what the target has for it. Seconds are rounded up: no key goes before its time. */
  #expireAt(command: CommandDecoder, keyAt: number, atMs: number, out: CommandEncoder): void {
    const { pexpireat } = this.#options.target
    out.begin(3).ascii(pexpireat ? 'PEXPIREAT' : 'EXPIREAT')
    copyArg(out, command, keyAt)
    out.integer(pexpireat ? atMs : Math.ceil(atMs / 1000))
  }

  /**
   * SET … KEEPTTL for a target that lacks it (before 6.0), in one step by a script: the time is read,
   * and set again behind the value. KEYS[1] the key, ARGV[1] the value.
   */
  #setKeepingTtl(command: CommandDecoder, keyAt: number, out: CommandEncoder): Verdict {
    if (!this.#options.target.scripts) return this.notHeld('SET … KEEPTTL')
    out.begin(5).ascii('EVAL').ascii(SET_KEEPING_TTL).ascii('1')
    copyArg(out, command, keyAt)
    copyArg(out, command, keyAt + 1)
    return this.rewritten()
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

  /** SETEX key seconds value, of masters before 6.2. */
  #setex(command: CommandDecoder, out: CommandEncoder, unitMs: 1 | 1000): Verdict {
    if (command.argc !== 4) return VERDICT.SAME
    const atMs = this.#time(integerArg(command, 2), unitMs, true)
    out.begin(3).ascii('SET')
    copyArg(out, command, 1)
    copyArg(out, command, 3)
    this.#expireAt(command, 1, atMs, out)
    return this.rewritten(2)
  }

  /** GETEX key EX|PX|EXAT|PXAT n | PERSIST, as nobody sends it on: only its effect on the expiry. */
  #getex(command: CommandDecoder, out: CommandEncoder): Verdict {
    if (command.argc === 3 && isArg(command, 2, 'PERSIST')) {
      out.begin(2).ascii('PERSIST')
      copyArg(out, command, 1)
      return this.rewritten()
    }
    if (command.argc !== 4) return VERDICT.SAME
    const relative = isArg(command, 2, 'EX') || isArg(command, 2, 'PX')
    const unitMs = isArg(command, 2, 'EX') || isArg(command, 2, 'EXAT') ? 1000 : 1
    this.#expireAt(command, 1, this.#time(integerArg(command, 3), unitMs, relative), out)
    return this.rewritten()
  }

  /** GETDEL key → DEL key */
  #getdel(command: CommandDecoder, out: CommandEncoder): Verdict {
    if (command.argc !== 2) return VERDICT.SAME
    out.begin(2).ascii('DEL')
    copyArg(out, command, 1)
    return this.rewritten()
  }

  #expire(
    command: CommandDecoder,
    out: CommandEncoder,
    unitMs: 1 | 1000,
    relative: boolean,
  ): Verdict {
    if (command.argc < 3) return VERDICT.SAME
    // NX, XX, GT, LT came with 7.0; what came through held on the source.
    const options = command.argc > 3 && this.#options.target.version >= 70000
    const { pexpireat } = this.#options.target
    const isPlain = !relative && unitMs === 1 && this.shiftMs === 0 && pexpireat
    if (isPlain && (command.argc === 3 || options)) return VERDICT.SAME
    if (!options) {
      this.#expireAt(command, 1, this.#time(integerArg(command, 2), unitMs, relative), out)
      return this.rewritten()
    }
    out.begin(command.argc).ascii('PEXPIREAT')
    copyArg(out, command, 1)
    out.integer(this.#time(integerArg(command, 2), unitMs, relative))
    for (let i = 3; i < command.argc; i += 1) copyArg(out, command, i)
    return this.rewritten()
  }

  /** RESTORE key ttl payload [REPLACE] [ABSTTL] [IDLETIME n] [FREQ n] */
  #restore(command: CommandDecoder, out: CommandEncoder): Verdict {
    if (command.argc < 4) return VERDICT.SAME
    let absolute = false
    let replace = false
    let idleSeconds = -1
    let freq = -1
    for (let i = 4; i < command.argc; i += 1) {
      const hasMore = i + 1 < command.argc
      if (isArg(command, i, 'ABSTTL')) absolute = true
      else if (isArg(command, i, 'REPLACE')) replace = true
      else if (hasMore && isArg(command, i, 'IDLETIME')) idleSeconds = integerArg(command, ++i)
      else if (hasMore && isArg(command, i, 'FREQ')) freq = integerArg(command, ++i)
    }
    const ttl = integerArg(command, 2)
    const payload = argBuffer(command, 3)
    if (this.#payloads.isNeeded(payload, this.shiftMs)) {
      const outcome = this.#payloads.rewrite(
        {
          key: argBuffer(command, 1),
          payload,
          expireAtMs: ttl > 0 ? this.#time(ttl, 1, !absolute) : -1,
          replace,
          idleSeconds,
          freq,
          shiftMs: this.shiftMs,
        },
        out,
      )
      if (outcome.kind === 'written') return this.rewritten(outcome.frames)
      if (outcome.kind === 'lost') return this.notHeld(outcome.what)
    }
    const moved = ttl > 0 && (!absolute || this.shiftMs !== 0)
    if (!moved && isArg(command, 0, 'RESTORE')) return VERDICT.SAME
    const addAbsttl = moved && !absolute
    out.begin(command.argc + (addAbsttl ? 1 : 0)).ascii('RESTORE')
    copyArg(out, command, 1)
    out.integer(moved ? this.#time(ttl, 1, !absolute) : ttl)
    for (let i = 3; i < command.argc; i += 1) copyArg(out, command, i)
    if (addAbsttl) out.ascii('ABSTTL')
    return this.rewritten()
  }

  /** HPEXPIREAT key ms [NX|XX|GT|LT] FIELDS n field… */
  #fieldExpire(
    command: CommandDecoder,
    out: CommandEncoder,
    unitMs: 1 | 1000,
    relative: boolean,
  ): Verdict {
    if (!this.#options.target.fieldExpiry) return this.notHeld('expiry of hash fields')
    if (command.argc < 6) return VERDICT.SAME
    if (!relative && unitMs === 1 && this.shiftMs === 0) return VERDICT.SAME
    const plain = this.#time(integerArg(command, 2), unitMs, relative) - this.shiftMs
    out.begin(command.argc).ascii('HPEXPIREAT')
    copyArg(out, command, 1)
    out.integer(shiftedFieldMs(plain, this.shiftMs))
    for (let i = 3; i < command.argc; i += 1) copyArg(out, command, i)
    return this.rewritten()
  }

  #hpersist(): Verdict {
    // Where fields have no expiry there is none to take away.
    return this.#options.target.fieldExpiry
      ? VERDICT.SAME
      : this.leaveOut('HPERSIST for a target without field expiry')
  }

  /** HSETEX key [FNX|FXX] [EX|PX|EXAT|PXAT n|KEEPTTL] FIELDS n field value… */
  #hsetex(command: CommandDecoder, out: CommandEncoder): Verdict {
    let timeAt = -1
    let unitMs: 1 | 1000 = 1
    let relative = false
    let fieldsAt = -1
    for (let i = 2; i < command.argc && fieldsAt < 0; i += 1) {
      if (isArg(command, i, 'FIELDS')) {
        fieldsAt = i
      } else if (isArg(command, i, 'PXAT') || isArg(command, i, 'EXAT')) {
        unitMs = isArg(command, i, 'PXAT') ? 1 : 1000
        timeAt = i += 1
      } else if (isArg(command, i, 'PX') || isArg(command, i, 'EX')) {
        relative = true
        unitMs = isArg(command, i, 'PX') ? 1 : 1000
        timeAt = i += 1
      }
    }
    if (fieldsAt < 0) return VERDICT.SAME
    const known = this.#options.hasCommand('HSETEX')
    if (known && timeAt < 0) return VERDICT.SAME
    if (known && !relative && unitMs === 1 && this.shiftMs === 0) return VERDICT.SAME
    const plain =
      timeAt < 0 ? -1 : this.#time(integerArg(command, timeAt), unitMs, relative) - this.shiftMs
    const firstField = fieldsAt + 2
    const fieldArgs = command.argc - firstField
    if (known) {
      out.begin(fieldArgs + 6).ascii('HSETEX')
      copyArg(out, command, 1)
      out.ascii('PXAT').integer(shiftedFieldMs(plain, this.shiftMs))
      for (let i = fieldsAt; i < command.argc; i += 1) copyArg(out, command, i)
      return this.rewritten()
    }
    out.begin(fieldArgs + 2).ascii('HSET')
    copyArg(out, command, 1)
    for (let i = firstField; i < command.argc; i += 1) copyArg(out, command, i)
    if (timeAt < 0) return this.rewritten()
    if (!this.#options.target.fieldExpiry) {
      this.#options.onLoss('expiry of hash fields')
      return this.rewritten()
    }
    out.begin(fieldArgs / 2 + 5).ascii('HPEXPIREAT')
    copyArg(out, command, 1)
    out.integer(shiftedFieldMs(plain, this.shiftMs)).ascii('FIELDS')
    out.integer(fieldArgs / 2)
    for (let i = firstField; i < command.argc; i += 2) copyArg(out, command, i)
    return this.rewritten(2)
  }

  /** HGETDEL key FIELDS n field… (as Valkey 9.1 sends it) */
  #hgetdel(command: CommandDecoder, out: CommandEncoder): Verdict {
    if (this.#options.hasCommand('HGETDEL') || command.argc < 5) return VERDICT.SAME
    out.begin(command.argc - 2).ascii('HDEL')
    copyArg(out, command, 1)
    for (let i = 4; i < command.argc; i += 1) copyArg(out, command, i)
    return this.rewritten()
  }

  /** MSETEX n key value… [NX|XX] [EX|PX|EXAT|PXAT n|KEEPTTL] */
  #msetex(command: CommandDecoder, out: CommandEncoder): Verdict {
    const count = integerArg(command, 1)
    const optionsAt = 2 + 2 * count
    if (optionsAt > command.argc) return VERDICT.SAME
    let timeAt = -1
    let unitMs: 1 | 1000 = 1
    let relative = false
    let keepTtl = false
    for (let i = optionsAt; i < command.argc; i += 1) {
      if (isArg(command, i, 'PXAT') || isArg(command, i, 'EXAT')) {
        unitMs = isArg(command, i, 'PXAT') ? 1 : 1000
        timeAt = i + 1
      } else if (isArg(command, i, 'PX') || isArg(command, i, 'EX')) {
        unitMs = isArg(command, i, 'PX') ? 1 : 1000
        relative = true
        timeAt = i + 1
      } else if (isArg(command, i, 'KEEPTTL')) {
        keepTtl = true
      }
    }
    const known = this.#options.hasCommand('MSETEX')
    const plainTime = timeAt < 0 || (!relative && unitMs === 1 && this.shiftMs === 0)
    if (known && plainTime) return VERDICT.SAME
    const atMs = timeAt < 0 ? -1 : this.#time(integerArg(command, timeAt), unitMs, relative)
    if (known) {
      out.begin(2 + 2 * count + 2).ascii('MSETEX')
      for (let i = 1; i < optionsAt; i += 1) copyArg(out, command, i)
      out.ascii('PXAT').integer(atMs)
      return this.rewritten()
    }
    const hasPxat = this.#options.target.version >= 60200
    let frames = 0
    for (let i = 2; i < optionsAt; i += 2) {
      if (keepTtl && !this.#options.target.keepTtl) {
        if (!this.#options.target.scripts) return this.notHeld('SET … KEEPTTL')
        this.#setKeepingTtl(command, i, out)
        frames += 1
        continue
      }
      const argc = atMs >= 0 && hasPxat ? 5 : keepTtl ? 4 : 3
      out.begin(argc).ascii('SET')
      copyArg(out, command, i)
      copyArg(out, command, i + 1)
      frames += 1
      if (argc === 5) out.ascii('PXAT').integer(atMs)
      else if (argc === 4) out.ascii('KEEPTTL')
      else if (atMs >= 0) {
        this.#expireAt(command, i, atMs, out)
        frames += 1
      }
    }
    return this.rewritten(frames)
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

function isIf(command: CommandDecoder, i: number): boolean {
  return (
    isArg(command, i, 'IFEQ') ||
    isArg(command, i, 'IFNE') ||
    isArg(command, i, 'IFDEQ') ||
    isArg(command, i, 'IFDNE')
  )
}

/** Argument i is one of these words. */
function isOneOf(command: CommandDecoder, i: number, words: string): boolean {
  return i < command.argc && words.split(' ').some((word) => isArg(command, i, word))
}
