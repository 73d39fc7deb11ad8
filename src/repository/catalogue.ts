/**
 * What lies in a repository: `REPO/NAME/<time>-<random>/` with plain dumps and a record. No index and no
 * lock: the directories are the truth, and what has no sound record is no backup.
 */
import { timeOf } from '../bytes/time-text.js'
import type { Until } from '../archive/moment.js'
import { isArchiveId } from '../archive/shipping.js'
import { endOfSecond } from '../archive/state.js'
import { APPEND_DIR, SIDECAR } from '../archive/layout.js'
import { type AofError, FileError, RdbError, UsageError } from '../errors.js'
import {
  archivesOf,
  damagedSidecar,
  type RepositoryArchive,
  type StoredArchive,
} from './archives.js'
import { isBucketPlace, openStore, splitPlace } from '../storage/open-store.js'
import { sealOf, type Seal } from '../storage/sealed-json.js'
import type { Store, StorePath } from '../storage/store.js'
import { newestProof } from './proof.js'
import { BACKUP_ID, parseRecord, RECORD_FILE, timeOfId, type BackupRecord } from './record.js'

/** A record is some hundred bytes a shard. */
const MAX_RECORD_BYTES = 64 << 20
/** So many records are asked for at once: each is a request where a network lies between. */
const READ_AT_ONCE = 16

export interface Backup {
  readonly directory: string
  readonly record: BackupRecord
  /** Unix ms: when it began. */
  readonly atMs: number
  /** Unix ms of the newest proof that it can be restored; undefined: none. */
  readonly provenAtMs: number | undefined
}

export interface Catalogue {
  /** Oldest first. */
  readonly backups: readonly Backup[]
  /** Directories that look like backups and have no record. */
  readonly unfinished: readonly string[]
  /** Backups with a record, and archives with a sidecar, that are damaged or of a later version: they are
   * kept. */
  readonly damaged: readonly string[]
  /** What `tail` has shipped, oldest first. */
  readonly archives: readonly RepositoryArchive[]
}

/** The same with the way to what lies there. */
export interface StoredBackup extends Backup {
  readonly store: Store
  readonly path: StorePath
}

export interface StoredCatalogue {
  readonly backups: readonly StoredBackup[]
  readonly unfinished: readonly StorePath[]
  readonly damaged: readonly StorePath[]
}

/** `name`: of that name only. Rejects with FileError where the repository cannot be read. */
export async function readCatalogue(
  repository: string,
  name?: string,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<Catalogue> {
  const store = await openStore(repository, options)
  const { backups, unfinished, damaged } = await catalogueOf(await there(store), name)
  const broken = [...damaged]
  const archives = await archivesOf(store, name, (path, what) => {
    if (what === 'damaged') broken.push(path)
  })
  return {
    backups: backups.map(plain),
    unfinished: unfinished.map((path) => store.pathOf(path)),
    damaged: broken.map((path) => store.pathOf(path)),
    archives: archives.map(({ name: of, id, directory, source, windows, provenAtMs }) => {
      return { name: of, id, directory, source, windows, provenAtMs }
    }),
  }
}

/** `REPO[@SEL]`, `REPO/NAME[@SEL]`; without a selector the latest. Rejects with UsageError or FileError. */
export async function selectBackup(
  text: string,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<Backup> {
  return plain(await findBackup(text, options.signal))
}

function plain({ directory, record, atMs, provenAtMs }: StoredBackup): Backup {
  return { directory, record, atMs, provenAtMs }
}

/** Nothing in a store that is not there yet. */
export async function catalogueOf(store: Store, name?: string): Promise<StoredCatalogue> {
  const backups: StoredBackup[] = []
  const unfinished: StorePath[] = []
  const damaged: StorePath[] = []
  const paths: StorePath[] = []
  for (const each of name === undefined ? await store.folders([]) : [name]) {
    for (const id of await store.folders([each])) if (BACKUP_ID.test(id)) paths.push([each, id])
  }
  for (let at = 0; at < paths.length; at += READ_AT_ONCE) {
    const some = paths.slice(at, at + READ_AT_ONCE)
    const found = await Promise.all(some.map(async (path) => await lookAt(store, path)))
    for (const [index, path] of some.entries()) {
      const { record, provenAtMs } = found[index]!
      if (record === undefined) unfinished.push(path)
      else if (record === 'damaged' || record.name !== path[0] || record.id !== path[1]) {
        damaged.push(path)
      } else {
        const atMs = Date.parse(record.startedAt)
        backups.push({ directory: store.pathOf(path), record, atMs, provenAtMs, store, path })
      }
    }
  }
  return { backups: backups.sort(inTime), unfinished, damaged }
}

/** Two may have begun in the same second, which is as far as an id tells. */
function inTime(a: Backup, b: Backup): number {
  return a.atMs - b.atMs || (a.record.id < b.record.id ? -1 : 1)
}

async function lookAt(
  store: Store,
  path: StorePath,
): Promise<{ record: BackupRecord | 'damaged' | undefined; provenAtMs: number | undefined }> {
  const text = await store.readText([...path, RECORD_FILE], MAX_RECORD_BYTES)
  if (text === undefined) return { record: undefined, provenAtMs: undefined }
  const names = (await store.files(path)).map(({ name }) => name)
  return { record: parseRecord(text) ?? 'damaged', provenAtMs: newestProof(names) }
}

/** What killed runs left of backups and archives of this name that were to be, or to go. `unfinished`: those
 * that have no record. */
export async function removeUnborn(
  store: Store,
  name: string,
  unfinished: readonly StorePath[],
): Promise<void> {
  const ids = unfinished.filter((path) => path[0] === name).map((path) => path[1]!)
  await store.removeUnborn([name], ids, (id) => BACKUP_ID.test(id) || isArchiveId(id))
}

/** Where a selector leads: the dump, or the directory of a cluster's dumps (in a bucket, its record). */
export function sourceOfBackup({ directory, store, path, record }: StoredBackup): string {
  if (!record.isCluster) return store.pathOf([...path, record.files[0]!.file])
  return isBucketPlace(directory) ? store.pathOf([...path, RECORD_FILE]) : directory
}

const SELECTOR =
  /^(.+)@(latest|archive(?:-\d{8}T\d{6}Z-[0-9a-f]+)?|~\d+|\d{4}-\d\d-\d\d\S*|\d{9,11}|\d{8}T\d{6}Z-[0-9a-f]+)$/

/** True for `REPO@latest`, `REPO/NAME@~1`, `…@2026-11-25T10:00Z`, `…@ID`, `…@archive`. */
export function isBackupSelector(text: string): boolean {
  return SELECTOR.test(text)
}

/** `REPO@archive` (the newest one), `REPO/NAME@archive-…`; also `@latest` where there is nothing but archives.
 * `until`: the one that has begun by then is meant. Undefined: a backup is. */
export async function findArchive(
  text: string,
  options: { signal?: AbortSignal | undefined; until?: Until } = {},
): Promise<StoredArchive | undefined> {
  const { signal, until } = options
  const found = SELECTOR.exec(text)
  const place = found?.[1] ?? text
  const selector = found?.[2] ?? 'latest'
  // A backup has one moment only.
  const isMeant = selector.startsWith('archive') || until !== undefined
  if (!isMeant && selector !== 'latest') return undefined
  if (!isMeant && (await backupsAt(place, signal)).backups.length > 0) return undefined
  const store = await openStore(place, { signal })
  const damaged: AofError[] = []
  const look = async (at: Store, name?: string): Promise<readonly StoredArchive[]> =>
    await archivesOf(at, name, (path, what) => {
      const isWanted = !isArchiveId(selector) || path.at(-1) === selector
      if (isWanted && what === 'damaged')
        damaged.push(damagedSidecar(at, [...path, APPEND_DIR, SIDECAR]))
    })
  let archives = await look(store)
  if (archives.length === 0) {
    const { outer, name } = splitPlace(place)
    if (name !== '') archives = await look(await openStore(outer, { signal }), name)
  }
  const names = new Set(archives.map(({ name }) => name))
  if (names.size > 1 && !isArchiveId(selector)) throw severalNames(place, [...names], selector)
  const chosen = isArchiveId(selector)
    ? archives.find(({ id }) => id === selector)
    : (archives.findLast((each) => beganBefore(each, until)) ?? archives.at(-1))
  // The newest is meant, and nobody knows whether it is.
  const [fault] = damaged
  if (isMeant && fault !== undefined) throw fault
  if (chosen !== undefined || !isMeant) return chosen
  throw new FileError('ERR_NO_BACKUP', `${place} holds no archive for @${selector}`)
}

function beganBefore({ windows }: StoredArchive, until: Until): boolean {
  if (until === undefined || !('unixMs' in until)) return true
  return windows.some(({ fromMs }) => fromMs <= endOfSecond(until.unixMs))
}

/** As `selectBackup`. */
export async function findBackup(text: string, signal?: AbortSignal): Promise<StoredBackup> {
  const found = SELECTOR.exec(text)
  const place = found?.[1] ?? text
  const selector = found?.[2] ?? 'latest'
  const { store, backups, damaged, name } = await backupsAt(place, signal)
  const isWhole = backups.length > 0 && damaged.every(([, id]) => id !== selector)
  if (!isWhole && damaged.length > 0) {
    throw damagedRecord(store, damaged.find(([, id]) => id === selector) ?? damaged.at(-1)!)
  }
  if (backups.length === 0) {
    throw new FileError('ERR_NO_BACKUP', `there is no backup in ${place}`, {
      hint: 'a backup is a directory with rrep-backup.json in it',
    })
  }
  const names = [...new Set(backups.map(({ record }) => record.name))]
  if (names.length > 1 && name === undefined) {
    throw severalNames(place, names, selector)
  }
  const backup = chosen(backups, selector)
  if (backup !== undefined) return backup
  throw new FileError('ERR_NO_BACKUP', `${place} holds no backup for @${selector}`, {
    hint: `the oldest is ${backups[0]!.record.id}, the newest ${backups.at(-1)!.record.id}`,
  })
}

/** Throws RdbError where the newest of its name has a damaged record, so that it is not the newest. */
export async function checkNewest({ store, record }: StoredBackup): Promise<void> {
  const { damaged } = await catalogueOf(store, record.name)
  // Of two that began in one second nobody knows which one is newer.
  const ofItsSecond = timeOfId(record.id)!
  const newer = damaged.findLast(([, id]) => timeOfId(id!)! >= ofItsSecond)
  if (newer !== undefined) throw damagedRecord(store, newer)
}

/** Whether an older version wrote it, which wrote no hash. Throws RdbError where it is not what was written. */
export async function checkRecord({ store, path }: StoredBackup): Promise<Seal> {
  const text = await store.readText([...path, RECORD_FILE], MAX_RECORD_BYTES)
  const seal = text === undefined ? 'broken' : sealOf(text)
  if (seal === 'broken') throw damagedRecord(store, path)
  return seal
}

function damagedRecord(store: Store, path: StorePath): RdbError {
  const file = store.pathOf([...path, RECORD_FILE])
  return new RdbError('ERR_RDB_CORRUPT', { file }, 'the record of the backup is damaged', {
    hint: 'its dumps may be sound: each is a source by its own name, which needs no record',
  })
}

function severalNames(place: string, names: readonly string[], selector: string): UsageError {
  return new UsageError(
    `${place} holds backups of several names: ${names.slice(0, 10).join(', ')}`,
    { hint: `name one: ${place}/${names[0]!}@${selector}` },
  )
}

async function backupsAt(
  place: string,
  signal: AbortSignal | undefined,
): Promise<StoredCatalogue & { store: Store; name: string | undefined }> {
  const store = await there(await openStore(place, { signal }))
  const all = await catalogueOf(store)
  const { outer, name } = splitPlace(place)
  const isAny = all.backups.length > 0 || all.damaged.length > 0
  if (isAny || name === '') return { ...all, store, name: undefined }
  const outerStore = await openStore(outer, { signal })
  return { ...(await catalogueOf(outerStore, name)), store: outerStore, name }
}

async function there(store: Store): Promise<Store> {
  if (await store.isThere()) return store
  throw new FileError('ERR_NO_SUCH_DIRECTORY', `no such directory: ${store.place}`)
}

function chosen(backups: readonly StoredBackup[], selector: string): StoredBackup | undefined {
  if (selector === 'latest') return backups.at(-1)
  if (selector.startsWith('~')) return backups.at(-1 - Number(selector.slice(1)))
  if (BACKUP_ID.test(selector)) return backups.find(({ record }) => record.id === selector)
  const ms = timeOf(selector)
  if (ms === undefined) {
    throw new UsageError(`@${selector} is no time`, {
      hint: 'write @2026-11-25T10:00Z (without Z: local time) or @ and unix seconds',
    })
  }
  return backups.findLast(({ atMs }) => atMs <= ms)
}
