/**
 * Where things stand in the commands that masters send in a form of their own: read by whoever stores
 * a stream (aof/loadable.ts) and by whoever applies one to another server (target/stream/).
 */
import { isArg } from './command-table.js'
import type { CommandDecoder } from './decoder.js'

/** How a time stands in a command: in which unit, and whether it counts from the reception. */
export interface TimeForm {
  readonly unitMs: 1 | 1000
  readonly isRelative: boolean
}

/**
 * By the options that a time follows (SET, GETEX, MSETEX, HSETEX). Commands with their time as an
 * argument of its own have one of these, too: SETEX, EXPIRE, HEXPIRE as EX, PSETEX, PEXPIRE,
 * HPEXPIRE and RESTORE as PX, EXPIREAT and HEXPIREAT as EXAT, PEXPIREAT, HPEXPIREAT and RESTORE …
 * ABSTTL as PXAT. Masters up to 6.2 send relative ones.
 */
export const TIME_FORMS = {
  EX: { unitMs: 1000, isRelative: true },
  PX: { unitMs: 1, isRelative: true },
  EXAT: { unitMs: 1000, isRelative: false },
  PXAT: { unitMs: 1, isRelative: false },
} as const satisfies Record<string, TimeForm>

/** Argument i is the option that a time follows; undefined: it is not. */
export function timeOption(command: CommandDecoder, i: number): TimeForm | undefined {
  if (isArg(command, i, 'PXAT')) return TIME_FORMS.PXAT
  if (isArg(command, i, 'EX')) return TIME_FORMS.EX
  if (isArg(command, i, 'PX')) return TIME_FORMS.PX
  return isArg(command, i, 'EXAT') ? TIME_FORMS.EXAT : undefined
}

/** Unix ms of a relative time that was received at `receivedMs`. */
export function absoluteMs(value: number, { unitMs }: TimeForm, receivedMs: number): number {
  return receivedMs + value * unitMs
}

/**
 *   XADD key [NOMKSTREAM] [KEEPREF|DELREF|ACKED] [IDMP p i | IDMPAUTO p] [MAXLEN|MINID …] id f v …
 *
 * One object serves for all commands; places are -1 where there is none.
 */
export class XaddArguments {
  /** The first argument that is no option. */
  idAt = -1
  /** IDMP or IDMPAUTO, and how many arguments it comes to. */
  idmpAt = -1
  idmpArgs = 0
  /** IDMPAUTO: the producer's id is a digest that only the server can make. */
  isAuto = false
  /** KEEPREF, DELREF or ACKED (Redis 8.2). */
  refAt = -1

  /** False: there is no id, and nothing to be said. */
  read(command: CommandDecoder): boolean {
    this.idmpAt = -1
    this.idmpArgs = 0
    this.isAuto = false
    this.refAt = -1
    let i = 2
    while (i < command.argc) {
      if (isArg(command, i, 'NOMKSTREAM')) i += 1
      else if (isReference(command, i)) {
        this.refAt = i
        i += 1
      } else if (isArg(command, i, 'IDMP') || isArg(command, i, 'IDMPAUTO')) {
        this.isAuto = !isArg(command, i, 'IDMP')
        this.idmpAt = i
        this.idmpArgs = this.isAuto ? 2 : 3
        i += this.idmpArgs
      } else if (isArg(command, i, 'LIMIT')) i += 2
      else if (isArg(command, i, 'MAXLEN') || isArg(command, i, 'MINID')) {
        i += 1
        if (i < command.argc && (isArg(command, i, '=') || isArg(command, i, '~'))) i += 1
        i += 1
      } else break
    }
    this.idAt = i < command.argc ? i : -1
    return this.idAt >= 0
  }

  /** A duplicate that added nothing: its master keeps the star that the client sent. */
  isDuplicate(command: CommandDecoder): boolean {
    return this.idmpAt >= 0 && isArg(command, this.idAt, '*')
  }

  /** Whether argument k belongs to IDMP or IDMPAUTO. */
  isIdmp(k: number): boolean {
    return this.idmpAt >= 0 && k >= this.idmpAt && k < this.idmpAt + this.idmpArgs
  }
}

function isReference(command: CommandDecoder, i: number): boolean {
  return isArg(command, i, 'KEEPREF') || isArg(command, i, 'DELREF') || isArg(command, i, 'ACKED')
}

const HELLO = '__sentinel__:hello'

/** A Sentinel tells the others of itself, through the master: no word for other servers' Sentinels. */
export function isHello(command: CommandDecoder): boolean {
  if (!isArg(command, 0, 'PUBLISH') || command.argc !== 3) return false
  const length = command.args[3]! - command.args[2]!
  return length === HELLO.length && command.arg(1).toString('latin1') === HELLO
}

/**
 * Where CAS stands in `VADD key [REDUCE n] (FP32 blob | VALUES n x…) element [CAS] [NOQUANT|Q8|BIN]
 * [EF n] …`; -1: nowhere. The element may be called so, too.
 */
export function casOfVadd(command: CommandDecoder): number {
  let i = 2
  if (i < command.argc && isArg(command, i, 'REDUCE')) i += 2
  if (i >= command.argc) return -1
  if (isArg(command, i, 'FP32')) {
    i += 2
  } else if (isArg(command, i, 'VALUES') && i + 1 < command.argc) {
    const count = Number(command.arg(i + 1).toString('latin1'))
    if (!(count >= 0)) return -1
    i += 2 + count
  } else {
    return -1
  }
  // The element, then options, some with a value.
  for (i += 1; i < command.argc; i += 1) {
    if (isArg(command, i, 'SETATTR') || isArg(command, i, 'EF') || isArg(command, i, 'M')) i += 1
    else if (isArg(command, i, 'CAS')) return i
  }
  return -1
}
