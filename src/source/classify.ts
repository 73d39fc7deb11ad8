/**
 * What a name means, for all commands alike: what exists on disk is a file or a directory, `-` is
 * standard input, everything else a server. `redis://` forces that reading.
 */
import { resolve } from 'node:path'
import { FileError, ProtocolError, UsageError } from '../errors.js'
import { formatServerAddress, maskSecrets, parseServerAddress } from '../net/address.js'
import {
  findArchive,
  isBackupSelector,
  findBackup,
  sourceOfBackup,
} from '../repository/catalogue.js'
import { isBucketPlace } from '../storage/open-store.js'
import {
  clusterSeeds,
  isClusterAddress,
  nameOfCluster,
  type ClusterSeeds,
} from '../topology/cluster.js'
import { isSentinelAddress, parseSentinelAddress } from '../topology/sentinel-address.js'
import { settingsOf } from '../topology/settings.js'
import type { ServerSettings } from '../net/server-settings.js'
import { statOf } from '../disk/stat.js'

/** Where a positional argument points. */
export type SourceSpec =
  | { kind: 'server'; address: string }
  | { kind: 'cluster'; address: string }
  | { kind: 'file'; path: string }
  | { kind: 'directory'; path: string }
  | { kind: 'stdin' }

/** What a verb reads. `file`: an RDB, an AOF, a manifest or a pipe; its kind is found from its
 * bytes. `directory`: in multi-part AOF form. `stdin`: what the options name so. */
export type Source =
  | { kind: 'server'; server: ServerSettings }
  /** All shards of a cluster; any of its nodes that are known. */
  | { kind: 'cluster'; seeds: ClusterSeeds }
  | { kind: 'file'; path: string }
  | { kind: 'directory'; path: string }
  | { kind: 'stdin' }

/** What lies somewhere, in place of a server. */
export type StoredSource = Exclude<Source, { kind: 'server' | 'cluster' }>

/** As a name (a path, an address, `-`) or opened up already. */
export type SourceName = string | Source | ServerSettings
/** `host:6379`, `redis://…`, `unix://…`, or all that is known of how to reach it. */
export type ServerName = string | ServerSettings

/** What a name stands for. Rejects as `classifySource` does, and UsageError for a bad address. */
export async function readSource(name: SourceName): Promise<Source> {
  if (typeof name !== 'string') return 'kind' in name ? name : { kind: 'server', server: name }
  const spec = await classifySource(name)
  if (spec.kind === 'cluster') return { kind: 'cluster', seeds: clusterSeeds(spec.address) }
  if (spec.kind !== 'server') return spec
  return { kind: 'server', server: readServer(spec.address) }
}

export function readServer(name: ServerName): ServerSettings {
  return typeof name === 'string' ? settingsOf(name) : name
}

/** The same of what cannot be a server: a path that is not there is told as such later. */
export function readStored(name: string | StoredSource): StoredSource {
  if (typeof name !== 'string') return name
  if (name === '-') return { kind: 'stdin' }
  return { kind: statOf(name)?.isDirectory() === true ? 'directory' : 'file', path: name }
}

/** As `openInput` takes it: `-` is standard input. */
export function pathOf(source: StoredSource): string {
  return source.kind === 'stdin' ? '-' : source.path
}

/** For messages, without secrets. */
export function nameOfSource(source: Source): string {
  if (source.kind === 'server') return formatServerAddress(source.server.address)
  if (source.kind === 'cluster') return nameOfCluster(source.seeds)
  return source.kind === 'stdin' ? 'stdin' : source.path
}

/** The database that an address names (`/2`); 0 for what has none. */
export function dbOfSource(source: Source): number {
  return source.kind === 'server' ? source.server.address.db : 0
}

const SERVER_SCHEME = /^(rediss?|valkeys?|unix|redis\+unix|redis\+socket):\/\//i

/** Rejects with FileError where a path is meant that is not there, ProtocolError for what cannot be read
 * yet. */
export async function classifySource(text: string): Promise<SourceSpec> {
  if (text === '-') return { kind: 'stdin' }
  if (SERVER_SCHEME.test(text) || isSentinelAddress(text)) return { kind: 'server', address: text }
  if (isClusterAddress(text)) return { kind: 'cluster', address: text }
  if (isBucketPlace(text)) {
    return isBackupSelector(text) ? await classifyBackup(text) : { kind: 'file', path: text }
  }
  const stat = statOf(text)
  if (stat?.isSocket() === true || (stat === undefined && /^[./].*\.sock$/.test(text))) {
    throw new UsageError(`${text} is the name of a unix socket, not of a file`, {
      hint: `a server there is written unix://${resolve(text)}`,
    })
  }
  if (stat !== undefined) return { kind: stat.isDirectory() ? 'directory' : 'file', path: text }
  if (isBackupSelector(text)) return await classifyBackup(text)
  // A path that is not there is a mistyped path, not a host name.
  if (text.includes('/') || /\.(rdb|aof|manifest|gz|zst)$/i.test(text)) {
    throw new FileError('ERR_NO_SUCH_FILE', `no such file or directory: ${maskSecrets(text)}`, {
      hint: 'for a server of this name write redis://…',
    })
  }
  return { kind: 'server', address: text }
}

async function classifyBackup(text: string): Promise<SourceSpec> {
  const archive = await findArchive(text)
  if (archive !== undefined) return { kind: 'directory', path: archive.directory }
  const path = sourceOfBackup(await findBackup(text))
  return { kind: statOf(path)?.isDirectory() === true ? 'directory' : 'file', path }
}

/** For verbs that make one stream of it, which cannot be done yet. Throws ProtocolError. */
export function refuseCluster(source: Source): Exclude<Source, { kind: 'cluster' }> {
  if (source.kind !== 'cluster') return source
  throw new ProtocolError(
    'ERR_NOT_SUPPORTED',
    `${nameOfSource(source)}: the streams of a whole cluster cannot be followed as one yet`,
    { hint: 'they are kept by `archiveCluster()`, which can be read as one source at any moment' },
  )
}

/** Where all databases go together, `/2` in an address cannot be done. Throws UsageError. */
export function refuseDb(address: string, what: string): void {
  if (isSentinelAddress(address)) {
    if (parseSentinelAddress(address).db === 0) return
    throw new UsageError(`${what} takes all databases, and the address says which one`)
  }
  const parsed = parseServerAddress(address)
  if (parsed.db === 0) return
  throw new UsageError(`${what} takes all databases, and the address says /${parsed.db}`, {
    hint: `name ${formatServerAddress({ ...parsed, db: 0 })}`,
  })
}
