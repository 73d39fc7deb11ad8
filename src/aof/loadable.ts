/**
 * Stream commands in the form that a server can load from an append-only file.
 *
 * Nearly all of a stream can be stored as it came. The exceptions, found on real servers:
 *
 *   SET … EX|PX, SETEX, PSETEX, EXPIRE, PEXPIRE, GETEX, RESTORE with a ttl   masters up to 6.2
 *       send times relative to the reception: made absolute
 *   XADD … IDMP p i *       a duplicate that added nothing: would add an entry when loaded later
 *   XADD … IDMP p i <id>    the producer's ids age by the clock of the loading server, which
 *       then takes a later entry for a duplicate: XADD without, and XIDMPRECORD
 *   VADD … CAS              stops Redis 8 while it loads: CAS is dropped, the effect is the same
 *   CLUSTER SYNCSLOTS, SETSLOT   talk among the nodes of a cluster; stops servers outside of one
 *   TRIMSLOTS, CLUSTER FLUSHSLOT   delete what was in slots, which only a node can tell
 *   PING, REPLCONF          keep a link alive; count in offsets only
 *   PUBLISH __sentinel__:hello …   what Sentinels tell each other twice a second through the
 *       master: megabytes a day that mean nothing later
 *   RREPLAY                 of KeyDB: what it wraps is stored, by whoever reads the stream
 */
import { copyArg, integerOf } from '../resp/command-args.js'
import { isArg } from '../resp/command-table.js'
import { nameTable, type CommandDecoder } from '../resp/decoder.js'
import type { CommandEncoder } from '../resp/encoder.js'
import {
  absoluteMs,
  casOfVadd,
  isHello,
  TIME_FORMS,
  timeOption,
  XaddArguments,
  type TimeForm,
} from '../resp/propagated.js'

const { EX, PX } = TIME_FORMS

const xadd = new XaddArguments()

/** What to store for a command. */
export const LOADABLE = {
  /** The command as it is. */
  AS_IS: 0,
  /** What was encoded instead. */
  REWRITTEN: 1,
  /** Nothing: it has no effect on data (PING, REPLCONF, CLUSTER SETSLOT, a duplicate XADD). */
  NOTHING: 2,
  /** Nothing, though it had an effect: TRIMSLOTS, CLUSTER FLUSHSLOT. To be counted and told. */
  DROPPED: 3,
} as const

export type Loadable = (typeof LOADABLE)[keyof typeof LOADABLE]

const ALWAYS = [
  'PING',
  'REPLCONF',
  'XADD',
  'VADD',
  'CLUSTER',
  'TRIMSLOTS',
  'SETEX',
  'PSETEX',
  'EXPIRE',
  'PEXPIRE',
  'GETEX',
  'RESTORE',
  'RESTORE-ASKING',
] as const
/** State that a reader of the stream must follow. */
const STATE = ['SELECT', 'MULTI', 'EXEC', 'RREPLAY'] as const

/** Looked at where they are small, and stored as they are where they are not. */
const NOISE = ['PUBLISH'] as const

/** Names that must be looked at: `makeLoadable` for them, and the reader's own state. */
export const SPECIAL_NAMES = nameTable([...ALWAYS, ...STATE, ...NOISE])
/** The same for streams of masters up to 6.2, where SET may hold a relative time. */
export const SPECIAL_NAMES_RELATIVE = nameTable([...ALWAYS, ...STATE, ...NOISE, 'SET'])
/** Of these, the ones that have to be held whole to be looked at. */
export const REWRITABLE_NAMES = nameTable([...ALWAYS, 'SELECT', 'RREPLAY'])
export const REWRITABLE_NAMES_RELATIVE = nameTable([...ALWAYS, 'SELECT', 'RREPLAY', 'SET'])

/**
 * Decides on the decoder's current command; for REWRITTEN the command to store instead is
 * appended to `out`, and one that should follow it (without which the data is still right) to
 * `companion`.
 *
 * @param nowMs when the command was received, unix milliseconds
 */
export function makeLoadable(
  command: CommandDecoder,
  out: CommandEncoder,
  companion: CommandEncoder,
  nowMs: number,
): Loadable {
  const nameStart = command.args[0]!
  const length = command.args[1]! - nameStart
  switch ((length << 5) | (command.bytes[nameStart]! & 31)) {
    case (3 << 5) | 19:
      return isArg(command, 0, 'SET') ? absoluteSet(command, out, nowMs) : LOADABLE.AS_IS
    case (4 << 5) | 16:
      return isArg(command, 0, 'PING') ? LOADABLE.NOTHING : LOADABLE.AS_IS
    case (8 << 5) | 18:
      return isArg(command, 0, 'REPLCONF') ? LOADABLE.NOTHING : LOADABLE.AS_IS
    case (4 << 5) | 24:
      return isArg(command, 0, 'XADD') ? plainXadd(command, out, companion) : LOADABLE.AS_IS
    case (4 << 5) | 22:
      return isArg(command, 0, 'VADD') ? vaddWithoutCas(command, out) : LOADABLE.AS_IS
    case (7 << 5) | 3:
      if (!isArg(command, 0, 'CLUSTER')) return LOADABLE.AS_IS
      return command.argc > 1 && isArg(command, 1, 'FLUSHSLOT')
        ? LOADABLE.DROPPED
        : LOADABLE.NOTHING
    case (9 << 5) | 20:
      return isArg(command, 0, 'TRIMSLOTS') ? LOADABLE.DROPPED : LOADABLE.AS_IS
    case (5 << 5) | 19:
      return isArg(command, 0, 'SETEX') ? setWithTime(command, out, nowMs, EX) : LOADABLE.AS_IS
    case (6 << 5) | 16:
      return isArg(command, 0, 'PSETEX') ? setWithTime(command, out, nowMs, PX) : LOADABLE.AS_IS
    case (6 << 5) | 5:
      return isArg(command, 0, 'EXPIRE') ? expireAt(command, out, nowMs, EX) : LOADABLE.AS_IS
    case (7 << 5) | 16:
      if (isArg(command, 0, 'PEXPIRE')) return expireAt(command, out, nowMs, PX)
      return isHello(command) ? LOADABLE.NOTHING : LOADABLE.AS_IS
    case (5 << 5) | 7:
      return isArg(command, 0, 'GETEX') ? getexAt(command, out, nowMs) : LOADABLE.AS_IS
    case (7 << 5) | 18:
      return isArg(command, 0, 'RESTORE') ? restoreAt(command, out, nowMs) : LOADABLE.AS_IS
    case (14 << 5) | 18:
      return isArg(command, 0, 'RESTORE-ASKING') ? restoreAt(command, out, nowMs) : LOADABLE.AS_IS
    default:
      return LOADABLE.AS_IS
  }
}

/** SET k v … EX s | PX ms → SET k v … PXAT ms */
function absoluteSet(command: CommandDecoder, out: CommandEncoder, nowMs: number): Loadable {
  for (let i = 3; i + 1 < command.argc; i++) {
    const form = timeOption(command, i)
    if (form?.isRelative !== true) continue
    const atMs = absolute(command, i + 1, form, nowMs)
    if (atMs === undefined) return LOADABLE.AS_IS
    out.begin(command.argc)
    for (let k = 0; k < command.argc; k++) {
      if (k === i) out.ascii('PXAT')
      else if (k === i + 1) out.integer(atMs)
      else copyArg(out, command, k)
    }
    return LOADABLE.REWRITTEN
  }
  return LOADABLE.AS_IS
}

/** SETEX k s v, PSETEX k ms v → SET k v PXAT ms */
function setWithTime(
  command: CommandDecoder,
  out: CommandEncoder,
  nowMs: number,
  form: TimeForm,
): Loadable {
  if (command.argc !== 4) return LOADABLE.AS_IS
  const atMs = absolute(command, 2, form, nowMs)
  if (atMs === undefined) return LOADABLE.AS_IS
  out.begin(5).ascii('SET')
  copyArg(out, command, 1)
  copyArg(out, command, 3)
  out.ascii('PXAT').integer(atMs)
  return LOADABLE.REWRITTEN
}

/** EXPIRE k s [NX|XX|GT|LT], PEXPIRE k ms … → PEXPIREAT k ms … */
function expireAt(
  command: CommandDecoder,
  out: CommandEncoder,
  nowMs: number,
  form: TimeForm,
): Loadable {
  if (command.argc < 3) return LOADABLE.AS_IS
  const atMs = absolute(command, 2, form, nowMs)
  if (atMs === undefined) return LOADABLE.AS_IS
  out.begin(command.argc).ascii('PEXPIREAT')
  copyArg(out, command, 1)
  out.integer(atMs)
  for (let k = 3; k < command.argc; k++) copyArg(out, command, k)
  return LOADABLE.REWRITTEN
}

/** GETEX k EX s | PX ms → PEXPIREAT k ms */
function getexAt(command: CommandDecoder, out: CommandEncoder, nowMs: number): Loadable {
  if (command.argc !== 4) return LOADABLE.AS_IS
  const form = timeOption(command, 2)
  const atMs = form?.isRelative === true ? absolute(command, 3, form, nowMs) : undefined
  if (atMs === undefined) return LOADABLE.AS_IS
  out.begin(3).ascii('PEXPIREAT')
  copyArg(out, command, 1)
  out.integer(atMs)
  return LOADABLE.REWRITTEN
}

/** RESTORE k ttl payload … without ABSTTL → with it */
function restoreAt(command: CommandDecoder, out: CommandEncoder, nowMs: number): Loadable {
  if (command.argc < 4) return LOADABLE.AS_IS
  for (let i = 4; i < command.argc; i++) if (isArg(command, i, 'ABSTTL')) return LOADABLE.AS_IS
  const ttl = storableTime(command, 2)
  if (ttl === undefined || ttl <= 0) return LOADABLE.AS_IS
  out.begin(command.argc + 1)
  copyArg(out, command, 0)
  copyArg(out, command, 1)
  out.integer(absoluteMs(ttl, PX, nowMs))
  for (let k = 3; k < command.argc; k++) copyArg(out, command, k)
  out.ascii('ABSTTL')
  return LOADABLE.REWRITTEN
}

/** XADD … IDMP: the entry, and the record of its producer's id, where that is told. */
function plainXadd(
  command: CommandDecoder,
  out: CommandEncoder,
  companion: CommandEncoder,
): Loadable {
  if (!xadd.read(command) || xadd.idmpAt < 0) return LOADABLE.AS_IS
  if (xadd.isDuplicate(command)) return LOADABLE.NOTHING
  out.begin(command.argc - xadd.idmpArgs)
  for (let k = 0; k < command.argc; k++) if (!xadd.isIdmp(k)) copyArg(out, command, k)
  if (!xadd.isAuto) {
    companion.begin(5).ascii('XIDMPRECORD')
    copyArg(companion, command, 1)
    copyArg(companion, command, xadd.idmpAt + 1)
    copyArg(companion, command, xadd.idmpAt + 2)
    copyArg(companion, command, xadd.idAt)
  }
  return LOADABLE.REWRITTEN
}

function vaddWithoutCas(command: CommandDecoder, out: CommandEncoder): Loadable {
  const casAt = casOfVadd(command)
  if (casAt < 0) return LOADABLE.AS_IS
  out.begin(command.argc - 1)
  for (let k = 0; k < command.argc; k++) if (k !== casAt) copyArg(out, command, k)
  return LOADABLE.REWRITTEN
}

/** Unix ms of a relative time, at least 1 so that what is past stays past; undefined: no number. */
function absolute(
  command: CommandDecoder,
  i: number,
  form: TimeForm,
  nowMs: number,
): number | undefined {
  const value = storableTime(command, i)
  return value === undefined ? undefined : Math.max(1, absoluteMs(value, form, nowMs))
}

/** Undefined where it is no number, or one too large for a sum of it to be exact. */
function storableTime(command: CommandDecoder, i: number): number | undefined {
  const value = integerOf(command, i)
  return value === undefined || Math.abs(value) >= 1e15 ? undefined : value
}
