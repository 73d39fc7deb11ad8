/**
 * What a server of a given version takes: which DUMP payloads by RESTORE, which commands, and
 * what it cannot hold at all. Measured: fifteen servers were given every footer version and type byte.
 * A new version of a server is a row in rdb-version.ts, and a line here for each command it brings.
 */
import { UsageError } from '../errors.js'
import { acceptedVersions } from './rdb-version.js'
import { isDevelopmentVersion, serverVersionNumber, type ServerFamily } from './version.js'

export type { ServerFamily } from './version.js'

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
  /** PEXPIREAT (2.6); before that EXPIREAT, in seconds. */
  readonly pexpireat: boolean
  /** SET … KEEPTTL (6.0). */
  readonly keepTtl: boolean
  /** COPY, GETEX, GETDEL (6.2). */
  readonly copy: boolean
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
  /** XNACK … FORCE (Redis 8.8). */
  readonly nack: boolean
  /** Vector sets (Redis 8.0), which stand in files as values of a module. */
  readonly vectorSets: boolean
  /** KEY_META in front of a payload's type byte (Redis 8.6). */
  readonly keyMeta: boolean
}

/** Footers of this magic and later are those of Valkey's own format. */
const FIRST_VALKEY_FOOTER = 80
/** The last version that Redis and Valkey write alike. */
const LAST_SHARED_VERSION = 11
/** The first with RESTORE. */
const RESTORE_SINCE = 20600

/** What is asked of a row of the type table. */
interface StoredType {
  readonly family: ServerFamily | 'both'
  readonly since: number
  readonly restorable: boolean
  readonly released: boolean
}

/** As `serverVersionNumber`, for what a user or a server says. Throws UsageError. */
export function parseServerVersion(text: string): number {
  const version = serverVersionNumber(text)
  if (version === undefined) {
    throw new UsageError(`not a server version: ${text}`, { hint: 'write 7.0 or 8.1.3' })
  }
  return version
}

/** Newest versions that the tables know: what a build of a development branch counts as. */
const NEWEST_VERSIONS: Readonly<Record<ServerFamily, number>> = { redis: 81000, valkey: 90200 }
/** A footer is an upper bound: an older one is taken too, and how old the build is nobody says. */
const DEVELOPMENT_DUMP_VERSION = 12

/** For a server at hand, which may be of a development branch (255.255.255). Throws UsageError. */
export function capabilitiesOf(family: ServerFamily, versionText: string): TargetCapabilities {
  if (!isDevelopmentVersion(versionText)) {
    return targetCapabilities(family, parseServerVersion(versionText))
  }
  const newest = targetCapabilities(family, NEWEST_VERSIONS[family])
  return family === 'valkey' ? newest : { ...newest, dumpVersion: DEVELOPMENT_DUMP_VERSION }
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
    pexpireat: version >= 20600,
    keepTtl: version >= 60000,
    copy: version >= 60200,
    variadicHset: version >= 40000,
    unlink: version >= 40000,
    streams: version >= 50000,
    createConsumer: version >= 60200,
    streamCounters: version >= 70000,
    functions: version >= 70000,
    scripts: version >= 20600,
    fieldExpiry: version >= (redis ? 70400 : 90000),
    idempotence: redis && version >= 80600,
    nack: redis && version >= 80800,
    vectorSets: redis && version >= 80000,
    keyMeta: redis && version >= 80600,
  }
}

/** The footer for RESTORE; 0 where the server has no RESTORE. */
export function dumpVersionOf(family: ServerFamily, version: number): number {
  if (family === 'redis' && version < RESTORE_SINCE) return 0
  const { redis, valkey } = acceptedVersions(family, version)
  return valkey === 0 ? redis : FIRST_VALKEY_FOOTER
}

export function backlenHabit(family: ServerFamily, version: number): BacklenHabit {
  if (family === 'redis') return version >= 80800 ? 'narrow' : 'wide'
  if (version >= 90100) return 'narrow'
  return version >= 90000 ? 'unknown' : 'wide'
}

/**
 * Whether the target takes a value of this type by RESTORE. Types of one family alone are never
 * carried to the other: it would read them as something else, without an error.
 */
export function acceptsType(target: TargetCapabilities, type: StoredType): boolean {
  if (target.dumpVersion === 0 || !type.restorable || !type.released) return false
  if (type.family !== 'both' && type.family !== target.family) return false
  const { redis, valkey } = acceptedVersions(target.family, target.version)
  return type.since <= (type.family === 'valkey' ? valkey : redis)
}

/** The footer for a payload of this type: Valkey 9 takes 80 and up to 11, not between. */
export function footerVersion(target: TargetCapabilities, type: StoredType): number {
  return type.family === 'both' && target.dumpVersion >= FIRST_VALKEY_FOOTER
    ? LAST_SHARED_VERSION
    : target.dumpVersion
}
