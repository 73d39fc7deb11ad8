/**
 * What lies in a repository: `REPO/NAME/<time>-<random>/` with plain dumps and a record. No index and no
 * lock: the directories are the truth, and what has no sound record is no backup.
 */
import { timeOf } from '../bytes/time-text.js'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { errnoOf, fileError } from '../disk/file-error.js'
import { removeLeftovers } from '../disk/leftovers.js'
import { temporaryState } from '../disk/owner.js'
import { statOf } from '../disk/stat.js'
import { FileError, ProtocolError, UsageError } from '../errors.js'
import { BACKUP_ID, parseRecord, RECORD_FILE, type BackupRecord } from './record.js'

/** A record is some hundred bytes a shard. */
const MAX_RECORD_BYTES = 64 << 20

export interface Backup {
  readonly directory: string
  readonly record: BackupRecord
  /** Unix ms: when it began. */
  readonly atMs: number
}

export interface Catalogue {
  /** Oldest first. */
  readonly backups: readonly Backup[]
  /** Directories that look like backups and have no sound record. */
  readonly unfinished: readonly string[]
}

/** `name`: of that name only. Throws FileError where the repository cannot be read. */
export function readCatalogue(repository: string, name?: string): Catalogue {
  refuseRemote(repository)
  const backups: Backup[] = []
  const unfinished: string[] = []
  for (const each of name === undefined ? directoriesIn(repository) : [name]) {
    const place = join(repository, each)
    if (statOf(place)?.isDirectory() !== true) continue
    for (const id of directoriesIn(place)) {
      if (!BACKUP_ID.test(id)) continue
      const directory = join(place, id)
      const record = recordIn(directory)
      if (record?.id !== id || record.name !== each) {
        unfinished.push(directory)
      } else backups.push({ directory, record, atMs: Date.parse(record.startedAt) })
    }
  }
  return { backups: backups.sort(inTime), unfinished }
}

/** Two may have begun in the same second, which is as far as an id tells. */
function inTime(a: Backup, b: Backup): number {
  return a.atMs - b.atMs || (a.record.id < b.record.id ? -1 : 1)
}

/** What killed runs left on their way to become a backup: hidden, and their process has ended. */
export function removeUnborn(repository: string, name: string): void {
  removeLeftovers(join(repository, name), (each) => {
    const id = /^\.(\d{8}T\d{6}Z-[0-9a-f]+)\./.exec(each)?.[1]
    return id === undefined ? undefined : temporaryState(each, id)
  })
}

/** Where a selector leads: the dump, or the directory of a cluster's dumps. */
export function sourceOfBackup({ directory, record }: Backup): string {
  return record.isCluster ? directory : join(directory, record.files[0]!.file)
}

const SELECTOR = /^(.+)@(latest|~\d+|\d{4}-\d\d-\d\d\S*|\d{9,11}|\d{8}T\d{6}Z-[0-9a-f]+)$/

/** True for `REPO@latest`, `REPO/NAME@~1`, `…@2026-11-25T10:00Z`, `…@ID`. */
export function isBackupSelector(text: string): boolean {
  return SELECTOR.test(text)
}

/** `REPO[@SEL]`, `REPO/NAME[@SEL]`; without a selector the latest. Throws UsageError or FileError. */
export function selectBackup(text: string): Backup {
  const found = SELECTOR.exec(text)
  const place = found?.[1] ?? text
  const selector = found?.[2] ?? 'latest'
  const { backups, name } = backupsAt(place)
  if (backups.length === 0) {
    throw new FileError('ERR_NO_BACKUP', `there is no backup in ${place}`, {
      hint: 'a backup is a directory with rrep-backup.json in it',
    })
  }
  const names = [...new Set(backups.map(({ record }) => record.name))]
  if (names.length > 1 && name === undefined) {
    throw new UsageError(
      `${place} holds backups of several names: ${names.slice(0, 10).join(', ')}`,
      {
        hint: `name one: ${place}/${names[0]!}@${selector}`,
      },
    )
  }
  const backup = chosen(backups, selector)
  if (backup !== undefined) return backup
  throw new FileError('ERR_NO_BACKUP', `${place} holds no backup for @${selector}`, {
    hint: `the oldest is ${backups[0]!.record.id}, the newest ${backups.at(-1)!.record.id}`,
  })
}

/** Throws ProtocolError for what is no directory by its name. */
export function refuseRemote(place: string): void {
  const scheme = /^[a-z][a-z0-9+.-]*:\/\//i.exec(place)?.[0]
  if (scheme === undefined) return
  throw new ProtocolError('ERR_NOT_SUPPORTED', `a repository at ${scheme} is not supported`, {
    hint: 'name a directory; what it holds are plain files, which any tool copies elsewhere',
  })
}

function backupsAt(place: string): { backups: readonly Backup[]; name: string | undefined } {
  refuseRemote(place)
  if (statOf(place)?.isDirectory() !== true) {
    throw new FileError('ERR_NO_SUCH_DIRECTORY', `no such directory: ${place}`)
  }
  const all = readCatalogue(place)
  if (all.backups.length > 0) return { backups: all.backups, name: undefined }
  const name = basename(place)
  return { backups: readCatalogue(dirname(place), name).backups, name }
}

function chosen(backups: readonly Backup[], selector: string): Backup | undefined {
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

function recordIn(directory: string): BackupRecord | undefined {
  const path = join(directory, RECORD_FILE)
  try {
    if (statSync(path).size > MAX_RECORD_BYTES) return undefined
    return parseRecord(readFileSync(path, 'utf8'))
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw fileError(path, 'read', error)
  }
}

function directoriesIn(path: string): readonly string[] {
  try {
    return readdirSync(path, { withFileTypes: true })
      .filter((each) => each.isDirectory())
      .map((each) => each.name)
      .sort()
  } catch (error) {
    throw fileError(path, 'read', error)
  }
}
