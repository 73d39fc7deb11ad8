/**
 * The rules for commands that carry times: see stream-rules.ts, which has them in its table. What a
 * time may look like in a command is said in resp/propagated.ts; here stands what becomes of it: an
 * absolute time in milliseconds, moved while a load is behind its source (expiry-time.ts), in a form
 * that the target has.
 */
import { argBuffer, copyArg, integerArg } from '../../resp/command-args.js'
import { isArg } from '../../resp/command-table.js'
import type { CommandDecoder } from '../../resp/decoder.js'
import type { CommandEncoder } from '../../resp/encoder.js'
import { absoluteMs, TIME_FORMS, timeOption, type TimeForm } from '../../resp/propagated.js'
import { shiftedFieldMs } from '../expiry-time.js'
import { RestoreRewrite } from '../load/restore-rewrite.js'
import {
  VERDICT,
  type RuleList,
  type RuleOutcome,
  type StreamRulesOptions,
  type Verdict,
} from './rule-outcome.js'

const SET_KEEPING_TTL =
  "local t = redis.call('PTTL', KEYS[1]) redis.call('SET', KEYS[1], ARGV[1]) " +
  "if t > 0 then redis.call('PEXPIRE', KEYS[1], string.format('%.0f', t)) end return 1"

/** What the rules go by at the command at hand. */
export interface StreamClock {
  /** Added to every expiry. */
  readonly shiftMs: number
  /** Unix ms at which the command was received; -1: not known. Asked only if it matters. */
  readonly receivedMs: () => number
  /** Commands with relative times for which no time of reception is known: counted. */
  relativeWithoutTime: number
}

export class StreamTimeRules {
  readonly #outcome: RuleOutcome
  readonly #options: StreamRulesOptions
  readonly #clock: StreamClock
  readonly #payloads: RestoreRewrite

  constructor(outcome: RuleOutcome, options: StreamRulesOptions, clock: StreamClock) {
    this.#outcome = outcome
    this.#options = options
    this.#clock = clock
    this.#payloads = new RestoreRewrite(options.target, options.onLoss)
  }

  list(): RuleList {
    const { EX, PX, EXAT, PXAT } = TIME_FORMS
    return [
      ['SET', (command, out) => this.#set(command, out)],
      ['SETEX', (command, out) => this.#setex(command, out, EX)],
      ['PSETEX', (command, out) => this.#setex(command, out, PX)],
      ['EXPIRE', (command, out) => this.#expire(command, out, EX)],
      ['PEXPIRE', (command, out) => this.#expire(command, out, PX)],
      ['EXPIREAT', (command, out) => this.#expire(command, out, EXAT)],
      ['PEXPIREAT', (command, out) => this.#expire(command, out, PXAT)],
      ['GETEX', (command, out) => this.#getex(command, out)],
      ['RESTORE RESTORE-ASKING', (command, out) => this.#restore(command, out)],
      ['HEXPIRE', (command, out) => this.#fieldExpire(command, out, EX)],
      ['HPEXPIRE', (command, out) => this.#fieldExpire(command, out, PX)],
      ['HEXPIREAT', (command, out) => this.#fieldExpire(command, out, EXAT)],
      ['HPEXPIREAT', (command, out) => this.#fieldExpire(command, out, PXAT)],
      ['HSETEX', (command, out) => this.#hsetex(command, out)],
      ['MSETEX', (command, out) => this.#msetex(command, out)],
    ]
  }

  /** SET key value [NX|XX|IFEQ v|…] [GET] [EX|PX|EXAT|PXAT n|KEEPTTL] */
  #set(command: CommandDecoder, out: CommandEncoder): Verdict {
    if (command.argc === 3) return VERDICT.SAME
    let hasCondition = false
    let keepTtl = false
    let timeAt = -1
    let form: TimeForm | undefined
    for (let i = 3; i < command.argc; i += 1) {
      const option = timeOption(command, i)
      if (option !== undefined) {
        form = option
        timeAt = i += 1
      } else if (isIf(command, i)) {
        hasCondition = true
        i += 1
      } else if (isArg(command, i, 'KEEPTTL')) {
        keepTtl = true
      }
    }
    if (form === undefined) {
      if (keepTtl && !this.#options.target.keepTtl) return this.#setKeepingTtl(command, 1, out)
      if (!hasCondition) return VERDICT.SAME
      // The source's condition held, else nothing would have come. Not all servers know it.
      out.begin(keepTtl ? 4 : 3).ascii('SET')
      copyArg(out, command, 1)
      copyArg(out, command, 2)
      if (keepTtl) out.ascii('KEEPTTL')
      return this.#outcome.rewritten()
    }
    const hasPxat = this.#options.target.version >= 60200
    if (this.#isFinal(form) && !hasCondition && hasPxat) return VERDICT.SAME
    const atMs = this.#time(integerArg(command, timeAt), form)
    if (hasPxat) {
      out.begin(5).ascii('SET')
      copyArg(out, command, 1)
      copyArg(out, command, 2)
      out.ascii('PXAT').integer(atMs)
      return this.#outcome.rewritten()
    }
    out.begin(3).ascii('SET')
    copyArg(out, command, 1)
    copyArg(out, command, 2)
    this.#expireAt(command, 1, atMs, out)
    return this.#outcome.rewritten(2)
  }

  /** SETEX key seconds value, of masters before 6.2. */
  #setex(command: CommandDecoder, out: CommandEncoder, form: TimeForm): Verdict {
    if (command.argc !== 4) return VERDICT.SAME
    const atMs = this.#time(integerArg(command, 2), form)
    out.begin(3).ascii('SET')
    copyArg(out, command, 1)
    copyArg(out, command, 3)
    this.#expireAt(command, 1, atMs, out)
    return this.#outcome.rewritten(2)
  }

  #expire(command: CommandDecoder, out: CommandEncoder, form: TimeForm): Verdict {
    if (command.argc < 3) return VERDICT.SAME
    // NX, XX, GT, LT came with 7.0; what came through held on the source.
    const options = command.argc > 3 && this.#options.target.version >= 70000
    const { pexpireat } = this.#options.target
    const isPlain = this.#isFinal(form) && pexpireat
    if (isPlain && (command.argc === 3 || options)) return VERDICT.SAME
    if (!options) {
      this.#expireAt(command, 1, this.#time(integerArg(command, 2), form), out)
      return this.#outcome.rewritten()
    }
    out.begin(command.argc).ascii('PEXPIREAT')
    copyArg(out, command, 1)
    out.integer(this.#time(integerArg(command, 2), form))
    for (let i = 3; i < command.argc; i += 1) copyArg(out, command, i)
    return this.#outcome.rewritten()
  }

  /** GETEX key EX|PX|EXAT|PXAT n | PERSIST, as nobody sends it on: only its effect on the expiry. */
  #getex(command: CommandDecoder, out: CommandEncoder): Verdict {
    if (command.argc === 3 && isArg(command, 2, 'PERSIST')) {
      out.begin(2).ascii('PERSIST')
      copyArg(out, command, 1)
      return this.#outcome.rewritten()
    }
    const form = command.argc === 4 ? timeOption(command, 2) : undefined
    if (form === undefined) return VERDICT.SAME
    this.#expireAt(command, 1, this.#time(integerArg(command, 3), form), out)
    return this.#outcome.rewritten()
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
    const form = absolute ? TIME_FORMS.PXAT : TIME_FORMS.PX
    const ttl = integerArg(command, 2)
    const payload = argBuffer(command, 3)
    if (this.#payloads.isNeeded(payload, this.#clock.shiftMs)) {
      const outcome = this.#payloads.rewrite(
        {
          key: argBuffer(command, 1),
          payload,
          expireAtMs: ttl > 0 ? this.#time(ttl, form) : -1,
          replace,
          idleSeconds,
          freq,
          shiftMs: this.#clock.shiftMs,
        },
        out,
      )
      if (outcome.kind === 'written') return this.#outcome.rewritten(outcome.frames)
      if (outcome.kind === 'lost') return this.#outcome.notHeld(outcome.what)
    }
    const moved = ttl > 0 && (!absolute || this.#clock.shiftMs !== 0)
    if (!moved && isArg(command, 0, 'RESTORE')) return VERDICT.SAME
    const addAbsttl = moved && !absolute
    out.begin(command.argc + (addAbsttl ? 1 : 0)).ascii('RESTORE')
    copyArg(out, command, 1)
    out.integer(moved ? this.#time(ttl, form) : ttl)
    for (let i = 3; i < command.argc; i += 1) copyArg(out, command, i)
    if (addAbsttl) out.ascii('ABSTTL')
    return this.#outcome.rewritten()
  }

  /** HPEXPIREAT key ms [NX|XX|GT|LT] FIELDS n field… */
  #fieldExpire(command: CommandDecoder, out: CommandEncoder, form: TimeForm): Verdict {
    if (!this.#options.target.fieldExpiry) return this.#outcome.notHeld('expiry of hash fields')
    if (command.argc < 6) return VERDICT.SAME
    if (this.#isFinal(form)) return VERDICT.SAME
    const plain = this.#time(integerArg(command, 2), form) - this.#clock.shiftMs
    out.begin(command.argc).ascii('HPEXPIREAT')
    copyArg(out, command, 1)
    out.integer(shiftedFieldMs(plain, this.#clock.shiftMs))
    for (let i = 3; i < command.argc; i += 1) copyArg(out, command, i)
    return this.#outcome.rewritten()
  }

  /** HSETEX key [FNX|FXX] [EX|PX|EXAT|PXAT n|KEEPTTL] FIELDS n field value… */
  #hsetex(command: CommandDecoder, out: CommandEncoder): Verdict {
    let timeAt = -1
    let form: TimeForm | undefined
    let fieldsAt = -1
    for (let i = 2; i < command.argc && fieldsAt < 0; i += 1) {
      const option = timeOption(command, i)
      if (isArg(command, i, 'FIELDS')) {
        fieldsAt = i
      } else if (option !== undefined) {
        form = option
        timeAt = i += 1
      }
    }
    if (fieldsAt < 0) return VERDICT.SAME
    const known = this.#options.hasCommand('HSETEX')
    if (known && (form === undefined || this.#isFinal(form))) return VERDICT.SAME
    const plain =
      form === undefined ? -1 : this.#time(integerArg(command, timeAt), form) - this.#clock.shiftMs
    const firstField = fieldsAt + 2
    const fieldArgs = command.argc - firstField
    if (known) {
      out.begin(fieldArgs + 6).ascii('HSETEX')
      copyArg(out, command, 1)
      out.ascii('PXAT').integer(shiftedFieldMs(plain, this.#clock.shiftMs))
      for (let i = fieldsAt; i < command.argc; i += 1) copyArg(out, command, i)
      return this.#outcome.rewritten()
    }
    out.begin(fieldArgs + 2).ascii('HSET')
    copyArg(out, command, 1)
    for (let i = firstField; i < command.argc; i += 1) copyArg(out, command, i)
    if (form === undefined) return this.#outcome.rewritten()
    if (!this.#options.target.fieldExpiry) {
      this.#options.onLoss('expiry of hash fields')
      return this.#outcome.rewritten()
    }
    out.begin(fieldArgs / 2 + 5).ascii('HPEXPIREAT')
    copyArg(out, command, 1)
    out.integer(shiftedFieldMs(plain, this.#clock.shiftMs)).ascii('FIELDS')
    out.integer(fieldArgs / 2)
    for (let i = firstField; i < command.argc; i += 2) copyArg(out, command, i)
    return this.#outcome.rewritten(2)
  }

  /** MSETEX n key value… [NX|XX] [EX|PX|EXAT|PXAT n|KEEPTTL] */
  #msetex(command: CommandDecoder, out: CommandEncoder): Verdict {
    const count = integerArg(command, 1)
    const optionsAt = 2 + 2 * count
    if (optionsAt > command.argc) return VERDICT.SAME
    let timeAt = -1
    let form: TimeForm | undefined
    let keepTtl = false
    for (let i = optionsAt; i < command.argc; i += 1) {
      const option = timeOption(command, i)
      if (option !== undefined) {
        form = option
        timeAt = i += 1
      } else if (isArg(command, i, 'KEEPTTL')) {
        keepTtl = true
      }
    }
    const known = this.#options.hasCommand('MSETEX')
    if (known && (form === undefined || this.#isFinal(form))) return VERDICT.SAME
    const atMs = form === undefined ? -1 : this.#time(integerArg(command, timeAt), form)
    if (known) {
      out.begin(2 + 2 * count + 2).ascii('MSETEX')
      for (let i = 1; i < optionsAt; i += 1) copyArg(out, command, i)
      out.ascii('PXAT').integer(atMs)
      return this.#outcome.rewritten()
    }
    const hasPxat = this.#options.target.version >= 60200
    let frames = 0
    for (let i = 2; i < optionsAt; i += 2) {
      if (keepTtl && !this.#options.target.keepTtl) {
        if (!this.#options.target.scripts) return this.#outcome.notHeld('SET … KEEPTTL')
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
    return this.#outcome.rewritten(frames)
  }

  /**
   * SET … KEEPTTL for a target that lacks it (before 6.0), in one step by a script: the time is read,
   * and set again behind the value. KEYS[1] the key, ARGV[1] the value.
   */
  #setKeepingTtl(command: CommandDecoder, keyAt: number, out: CommandEncoder): Verdict {
    if (!this.#options.target.scripts) return this.#outcome.notHeld('SET … KEEPTTL')
    out.begin(5).ascii('EVAL').ascii(SET_KEEPING_TTL).ascii('1')
    copyArg(out, command, keyAt)
    copyArg(out, command, keyAt + 1)
    return this.#outcome.rewritten()
  }

  /** PEXPIREAT, or what the target has for it. Seconds are rounded up: no key goes before its time. */
  #expireAt(command: CommandDecoder, keyAt: number, atMs: number, out: CommandEncoder): void {
    const { pexpireat } = this.#options.target
    out.begin(3).ascii(pexpireat ? 'PEXPIREAT' : 'EXPIREAT')
    copyArg(out, command, keyAt)
    out.integer(pexpireat ? atMs : Math.ceil(atMs / 1000))
  }

  /** Unix ms as it is to be written. */
  #time(value: number, form: TimeForm): number {
    const { shiftMs } = this.#clock
    if (!form.isRelative) return value * form.unitMs + shiftMs
    const receivedMs = this.#clock.receivedMs()
    if (receivedMs < 0) {
      // A server that loads such a file counts from now, too.
      this.#clock.relativeWithoutTime += 1
      return absoluteMs(value, form, Date.now()) + shiftMs
    }
    return absoluteMs(value, form, receivedMs) + shiftMs
  }

  /** Such a time stands as it is to be written. */
  #isFinal(form: TimeForm): boolean {
    return !form.isRelative && form.unitMs === 1 && this.#clock.shiftMs === 0
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
