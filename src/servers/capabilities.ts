/**
 * What a server of a given version takes: which DUMP payloads by RESTORE, which commands, and
 * what it cannot hold at all. Facts from measurement (reference of the format, section 7: the
 * footer versions and type bytes that fifteen servers accepted).
 */
import { UsageError } from '../errors.js'
import { serverVersionNumber } from './version.js'

export type ServerFamily = 'redis' | 'valkey'

/** How the back-length of a listpack entry of exactly 16383, 2097151 or 268435455 bytes is
 * stored. Servers of one habit misread the other's, and may lose a field silently. */
export type BacklenHabit = 'wide' | 'narrow' | 'unknown'

export interface TargetCapabilities {
  readonly family: ServerFamily
  /** major * 10,000 + minor * 100 + patch: 70015 is 7.0.15. */
  readonly version: number
  /** The footer version that RESTORE payloads get. */
  readonly dumpVersion: number
  readonly backlen: BacklenHabit
  /** RESTORE … REPLACE (3.0). */
  readonly restoreReplace: boolean
  /** RESTORE … ABSTTL, IDLETIME, FREQ (5.0). */
  readonly restoreAbsttl: boolean
  /** SET … NX (2.6.12), PXAT (6.2). */
  readonly setPxat: boolean
  /** HSET with many fields (4.0); before that HMSET. */
  readonly variadicHset: boolean
  /** UNLINK (4.0). */
  readonly unlink: boolean
  readonly streams: boolean
  /** XGROUP CREATECONSUMER (6.2). */
  readonly createConsumer: boolean
  /** XSETID … ENTRIESADDED MAXDELETEDID, XGROUP CREATE … ENTRIESREAD (7.0). */
  readonly streamCounters: boolean
  /** FUNCTION LOAD (7.0). */
  readonly functions: boolean
  /** SCRIPT LOAD (2.6). */
  readonly scripts: boolean
  /** HPEXPIREAT (Redis 7.4, Valkey 9.0). */
  readonly fieldExpiry: boolean
  /** XCFGSET, XIDMPRECORD (Redis 8.6). */
  readonly idempotence: boolean
  /** KEY_META in front of a payload's type byte (Redis 8.6). */
  readonly keyMeta: boolean
}

/** First versions that a footer stands for; each row up to the next. */
const REDIS_DUMP_VERSIONS: readonly (readonly [since: number, dumpVersion: number])[] = [
  [20600, 6],
  [30200, 7],
  [40000, 8],
  [50000, 9],
  [70000, 10],
  [70200, 11],
  [70400, 12],
  [80600, 13],
  [80800, 14],
  [81000, 15],
]

const VALKEY_9_DUMP_VERSION = 80

/** From which version a type byte is taken, where all servers of the family agree. */
const TYPE_SINCE: readonly (readonly [type: number, since: number])[] = [
  ...[0, 1, 2, 3, 4, 9, 10, 11, 12, 13].map((type) => [type, 20600] as const),
  [14, 30200],
  [5, 40000],
  [7, 40000],
  [15, 50000],
  ...[16, 17, 18, 19].map((type) => [type, 70000] as const),
  [20, 70200],
  [21, 70200],
]
const REDIS_TYPE_SINCE: readonly (readonly [type: number, since: number])[] = [
  ...[22, 23, 24, 25].map((type) => [type, 70400] as const),
  [26, 80600],
  [27, 80800],
  [28, 80800],
]
/** Types from here on mean different things in the two families. */
const FIRST_FAMILY_TYPE = 22
const VALKEY_HASH_2 = 22

/** As `serverVersionNumber`, for what a user or a server says. Throws UsageError. */
export function parseServerVersion(text: string): number {
  const version = serverVersionNumber(text)
  if (version === undefined) {
    throw new UsageError(`not a server version: ${text}`, { hint: 'write 7.0 or 8.1.3' })
  }
  return version
}

export function targetCapabilities(family: ServerFamily, version: number): TargetCapabilities {
  const redis = family === 'redis'
  return {
    family,
    version,
    dumpVersion: dumpVersionOf(family, version),
    backlen: backlenHabit(family, version),
    restoreReplace: version >= 30000,
    restoreAbsttl: version >= 50000,
    setPxat: version >= 60200,
    variadicHset: version >= 40000,
    unlink: version >= 40000,
    streams: version >= 50000,
    createConsumer: version >= 60200,
    streamCounters: version >= 70000,
    functions: version >= 70000,
    scripts: version >= 20600,
    fieldExpiry: version >= (redis ? 70400 : 90000),
    idempotence: redis && version >= 80600,
    keyMeta: redis && version >= 80600,
  }
}

/** The footer for RESTORE; 0 where the server has no RESTORE. */
export function dumpVersionOf(family: ServerFamily, version: number): number {
  if (family === 'valkey') return version >= 90000 ? VALKEY_9_DUMP_VERSION : 11
  let found = 0
  for (const [since, dumpVersion] of REDIS_DUMP_VERSIONS) if (version >= since) found = dumpVersion
  return found
}

export function backlenHabit(family: ServerFamily, version: number): BacklenHabit {
  if (family === 'redis') return version >= 80800 ? 'narrow' : 'wide'
  if (version >= 90100) return 'narrow'
  return version >= 90000 ? 'unknown' : 'wide'
}

/**
 * Whether the target understands a value of this type byte as a server of `sourceFamily` wrote
 * it. Type 22 and up are never carried from one family to the other: they would be read as
 * something else, without an error.
 */
export function acceptsType(
  target: TargetCapabilities,
  type: number,
  sourceFamily: ServerFamily,
): boolean {
  if (target.dumpVersion === 0) return false
  if (type < FIRST_FAMILY_TYPE) return isSince(TYPE_SINCE, type, target.version)
  if (sourceFamily !== target.family) return false
  if (target.family === 'valkey') return type === VALKEY_HASH_2 && target.version >= 90000
  return isSince(REDIS_TYPE_SINCE, type, target.version)
}

/** The footer version for a payload of this type: Valkey 9 takes 80 and up to 11, not between. */
export function footerVersion(target: TargetCapabilities, type: number): number {
  return type < FIRST_FAMILY_TYPE && target.dumpVersion >= VALKEY_9_DUMP_VERSION
    ? 11
    : target.dumpVersion
}

function isSince(
  table: readonly (readonly [type: number, since: number])[],
  type: number,
  version: number,
): boolean {
  for (const [each, since] of table) if (each === type) return version >= since
  return false
}
