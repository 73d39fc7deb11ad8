/**
 * Which RDB version a replica takes. One that is sent a newer version flushes its data first,
 * fails, and begins again, for ever (only Valkey 9.1 looks before it flushes). So who cannot take
 * a snapshot is refused before the first byte of it, and who could take its content under a
 * lower version is given that.
 *
 * Accepted versions were measured on the servers themselves: 7.0 takes 1 to 10, 8.6 1 to 13,
 * Valkey 9.1 REDIS 1 to 11 and VALKEY 80.
 */
import { serverVersionNumber, type ServerFamily } from './version.js'

/** What an RDB begins with: whose magic, and the version behind it. */
export interface RdbMagic {
  readonly family: ServerFamily
  readonly version: number
}

export function formatRdbMagic(magic: RdbMagic): string {
  return magic.family === 'redis' ? `RDB ${magic.version}` : `VALKEY RDB ${magic.version}`
}

export interface ServerKind {
  family: ServerFamily | 'redict'
  /** Such as `7.0.15`. */
  version: string
}

/** Newest RDB versions that a server loads: with the magic REDIS, and with VALKEY (0: none). */
export interface Accepted {
  redis: number
  valkey: number
}

type Row = readonly [family: ServerKind['family'], since: number, accepted: Accepted]

/**
 * The one table of which server knows which version of the format: [family, since, what it loads],
 * each row up to the next of its family. What a server writes, the footer of its DUMP payloads and
 * the types of value it knows follow from it. Newer servers than the table knows are taken to load
 * what the newest known one does. A new version of a server is a row here.
 */
const ROWS: readonly Row[] = [
  ['redis', 20200, { redis: 1, valkey: 0 }],
  ['redis', 20400, { redis: 2, valkey: 0 }],
  ['redis', 20600, { redis: 6, valkey: 0 }],
  ['redis', 30200, { redis: 7, valkey: 0 }],
  ['redis', 40000, { redis: 8, valkey: 0 }],
  ['redis', 50000, { redis: 9, valkey: 0 }],
  ['redis', 70000, { redis: 10, valkey: 0 }],
  ['redis', 70200, { redis: 11, valkey: 0 }],
  ['redis', 70400, { redis: 12, valkey: 0 }],
  ['redis', 80600, { redis: 13, valkey: 0 }],
  ['redis', 80800, { redis: 14, valkey: 0 }],
  ['redis', 81000, { redis: 15, valkey: 0 }],
  ['redict', 0, { redis: 11, valkey: 0 }],
  // It writes and loads RDB 12, though it calls itself Redis 7.2.4 beside.
  ['redict', 70300, { redis: 12, valkey: 0 }],
  ['valkey', 0, { redis: 11, valkey: 0 }],
  ['valkey', 90000, { redis: 11, valkey: 80 }],
  ['valkey', 90200, { redis: 11, valkey: 81 }],
]
const FIRST_VALKEY = 70200
const NOTHING: Accepted = { redis: 0, valkey: 0 }

/** `version` as `serverVersionNumber` has it. */
export function acceptedVersions(family: ServerKind['family'], version: number): Accepted {
  let found = NOTHING
  for (const [each, since, accepted] of ROWS) {
    if (each === family && version >= since) found = accepted
  }
  return found
}

/** The oldest server of each family that loads it, such as `redis 7.0.0`. */
export function oldestThatLoad(magic: RdbMagic): readonly string[] {
  return (['redis', 'valkey'] as const).flatMap((family) => {
    const row = ROWS.find(([each, , accepted]) => each === family && accepts(accepted, magic))
    return row === undefined ? [] : [`${family} ${versionText(row[1])}`]
  })
}

/** 70200 → `7.2.0`; the first Valkey was 7.2. */
function versionText(number: number): string {
  const of = number === 0 ? FIRST_VALKEY : number
  return [Math.floor(of / 10_000), Math.floor(of / 100) % 100, of % 100].join('.')
}

/** What a server of a version that it names itself loads. */
export function acceptedBy({ family, version }: ServerKind): Accepted {
  return acceptedVersions(family, serverVersionNumber(version) ?? 0)
}

/**
 * The server that a version of the format stands for, where nothing else tells: of those that write
 * it the one that most files are of.
 */
export function versionOfRdb(rdbVersion: number): number {
  const usual = USUAL_WRITERS.get(rdbVersion)
  if (usual !== undefined) return usual
  const family: ServerFamily = rdbVersion >= FIRST_VALKEY_RDB ? 'valkey' : 'redis'
  let found = 0
  for (const [each, since, accepted] of ROWS) {
    if (each === family && accepted[family] <= rdbVersion) found = since
  }
  return found
}

export const FIRST_VALKEY_RDB = 80
const USUAL_WRITERS: ReadonlyMap<number, number> = new Map([
  [6, 20800],
  [9, 60200],
  [12, 80000],
  [80, 90100],
])

export interface HandshakeHints {
  /** `capa` values announced. */
  capabilities: ReadonlySet<string>
  /** Whether requests came inline, as up to 4.0. */
  isInline: boolean
}

/** What a server surely accepts by its handshake alone: it says `rdb-channel-repl` from Redis 8.0
 * on, speaks RESP from 5.0 on, knows psync2 from 4.0 on and eof from 2.8.22 on. Who says none of these may be 2.2. */
export function surelyAccepted(hints: HandshakeHints): Accepted {
  if (hints.capabilities.has('rdb-channel-repl')) return { redis: 12, valkey: 0 }
  if (!hints.capabilities.has('psync2')) {
    return { redis: hints.capabilities.has('eof') ? 6 : 1, valkey: 0 }
  }
  return { redis: hints.isInline ? 8 : 9, valkey: 0 }
}

export function accepts(accepted: Accepted, magic: RdbMagic): boolean {
  return magic.version <= (magic.family === 'redis' ? accepted.redis : accepted.valkey)
}

/** How to give the snapshot to a server that accepts this: as it is, under a lower version that
 * its content permits, or not at all. */
export function formFor(
  accepted: Accepted,
  magic: RdbMagic,
  neededVersion: number | undefined,
): { kind: 'as-is' } | { kind: 'relabel'; version: number } | { kind: 'refuse' } {
  if (accepts(accepted, magic)) return { kind: 'as-is' }
  if (neededVersion === undefined || neededVersion > accepted.redis) return { kind: 'refuse' }
  return { kind: 'relabel', version: accepted.redis }
}
