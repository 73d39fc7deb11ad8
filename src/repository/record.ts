/**
 * `rrep-backup.json`: what a backup is, written last. A directory without it is no backup. What stands
 * in it is checked like any input: names are names, not paths. Its last field is the hash of its text.
 */
import { InternalError } from '../errors.js'
import { sealJson } from '../storage/sealed-json.js'

export const RECORD_FILE = 'rrep-backup.json'
const FORMAT = 1

export interface BackupFile {
  /** In the directory of the backup. */
  file: string
  bytes: number
  /** Hex. */
  sha256: string
  /** Of the dump inside, as it is stored at its end, hex; undefined where it has none. */
  crc64?: string | undefined
  keys: number
  expires: number
  /** Of a cluster: the master's id and its slots. */
  node?: string | undefined
  slots?: readonly (readonly [first: number, last: number])[] | undefined
  /** Where its stream was at the moment that all are of. */
  replOffset?: number | undefined
}

export interface DatabaseCount {
  readonly keys: number
  readonly expires: number
}

export interface BackupRecord {
  format: 1
  /** `<time>-<random>`: also the name of the directory. */
  id: string
  /** Backups of one name belong together: retention looks at one name only. */
  name: string
  /** Without secrets. */
  source: string
  /** ISO 8601, UTC. */
  startedAt: string
  finishedAt: string
  replid?: string | undefined
  replOffset?: number | undefined
  serverVersion?: string | undefined
  /** Of the server that gave it, where it said so. */
  role?: 'master' | 'replica' | undefined
  rdbVersion: number
  /** The oldest servers that load it, such as `redis 7.0.0`; one a family. */
  loadableBy?: readonly string[] | undefined
  keys: number
  expires: number
  /** By database number. */
  databases: Readonly<Record<string, DatabaseCount>>
  /** `used-mem` of the server when it saved, bytes. */
  usedMemory?: number | undefined
  tags: readonly string[]
  /** One dump, or those of a cluster's shards; and beside these `nodes.json`. */
  files: readonly BackupFile[]
  isCluster: boolean
  /** All shards are of one moment, ISO 8601: when the first and the last of them were asked where they are. */
  moment?: { readonly from: string; readonly to: string } | undefined
  /** The dumps are; this record and `nodes.json` are not. */
  encryption?: 'age' | undefined
  /** Of `nodes.json`. */
  nodes?: { readonly bytes: number; readonly sha256: string } | undefined
  /** Far fewer keys than the last backup without this mark, which had so many: that one is the measure
   * of the next ones, until the keys are back or the new level is accepted. */
  farFewerThan?: number | undefined
}

/** A new id: its order as text is that of time. */
export function backupId(at: Date, random: string): string {
  return `${idTime(at)}-${random}`
}

/** To the second. */
export function idTime(at: Date): string {
  return at.toISOString().replaceAll(/[-:]|\.\d+/g, '')
}

export const BACKUP_ID = /^\d{8}T\d{6}Z-[0-9a-f]{4,}$/

/** Unix ms, or undefined for what is no id. */
export function timeOfId(id: string): number | undefined {
  return BACKUP_ID.test(id) ? timeOfIdTime(id.slice(0, id.indexOf('-'))) : undefined
}

/** Unix ms, or undefined for what is none. */
export function timeOfIdTime(text: string): number | undefined {
  const found = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text)
  if (found === null) return undefined
  const [, year, month, day, hour, minute, second] = found.map(Number)
  return Date.UTC(year!, month! - 1, day, hour, minute, second)
}

export function writeRecord(record: Omit<BackupRecord, 'format'>): string {
  const text = sealJson({ format: FORMAT, ...record })
  if (parseRecord(text) === undefined) throw new InternalError('a record that cannot be read back')
  return text
}

/** Undefined for what is none, or of a format that is not known. */
export function parseRecord(text: string): BackupRecord | undefined {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof parsed !== 'object' || parsed === null) return undefined
  const record = parsed as Partial<BackupRecord> & { sha256?: unknown }
  // Of this text, not of what is known by it.
  delete record.sha256
  const { format, id, name, source, files, databases, tags, startedAt, finishedAt } = record
  const isSound =
    format === FORMAT &&
    [id, name, source, startedAt, finishedAt].every((each) => typeof each === 'string') &&
    BACKUP_ID.test(id!) &&
    isName(name!) &&
    timeOfId(id!) === Math.floor(Date.parse(startedAt!) / 1000) * 1000 &&
    [record.keys, record.expires, record.rdbVersion].every(Number.isSafeInteger) &&
    (record.farFewerThan === undefined || Number.isSafeInteger(record.farFewerThan)) &&
    isObject(databases) &&
    Object.values(databases!).every(isCount) &&
    Array.isArray(tags) &&
    Array.isArray(files) &&
    files.length > 0 &&
    files.every(isFile) &&
    (record.nodes === undefined || isHashed(record.nodes)) &&
    (record.encryption === undefined || (record.encryption as string) === 'age')
  return isSound ? (record as BackupRecord) : undefined
}

/** Of a backup, or of a file in one: nothing that leads elsewhere. */
export function isName(text: string): boolean {
  return text !== '' && text !== '.' && text !== '..' && !/[/\\\0]/.test(text) && text.length < 256
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null
}

function isCount(each: unknown): boolean {
  const { keys, expires } = (isObject(each) ? each : {}) as Partial<DatabaseCount>
  return Number.isSafeInteger(keys) && Number.isSafeInteger(expires)
}

function isHashed(each: { readonly bytes?: unknown; readonly sha256?: unknown }): boolean {
  const { bytes, sha256 } = each
  return Number.isSafeInteger(bytes) && typeof sha256 === 'string' && /^[0-9a-f]{64}$/.test(sha256)
}

function isFile(each: unknown): boolean {
  if (typeof each !== 'object' || each === null) return false
  const { file, keys, expires } = each as Partial<BackupFile>
  return (
    typeof file === 'string' &&
    isName(file) &&
    isHashed(each) &&
    [keys, expires].every(Number.isSafeInteger)
  )
}
