/** Which backups of a repository are kept, and the others removed: within one name each. */
import { APPEND_DIR, SIDECAR } from '../../archive/layout.js'
import { FileError, UsageError } from '../../errors.js'
import { archivesOf, type StoredArchive } from '../../repository/archives.js'
import {
  catalogueOf,
  removeUnborn,
  type Backup,
  type StoredBackup,
} from '../../repository/catalogue.js'
import { RECORD_FILE } from '../../repository/record.js'
import { applyPolicy, isEmptyPolicy, type Marks } from '../../repository/retention.js'
import { openStore } from '../../storage/open-store.js'
import type { KeptBackup, PruneOptions, PruneResult } from './options.js'

/** What has no record may be on its way. */
const UNFINISHED_MS = 24 * 3600 * 1000

/** Rejects with UsageError (a policy that keeps nothing) or FileError. */
export async function prune(repository: string, options: PruneOptions): Promise<PruneResult> {
  if (isEmptyPolicy(options.keep)) {
    throw new UsageError('a policy that keeps nothing is none: all would be removed')
  }
  const nowMs = Date.now()
  const store = await openStore(repository, { signal: options.signal })
  if (!(await store.isThere())) {
    throw new FileError('ERR_NO_SUCH_DIRECTORY', `no such directory: ${repository}`)
  }
  const isReal = options.dryRun !== true
  const { backups, unfinished } = await catalogueOf(store, options.name)
  const kept: KeptBackup[] = []
  const removed: string[] = []
  const unborn = [...unfinished]
  const archives = await archivesOf(store, options.name, (path, what) => {
    if (what === 'without a sidecar') unborn.push(path)
  })
  const names = [...backups.map(({ record }) => record.name), ...unborn.map(([name]) => name!)]
  for (const name of isReal ? new Set([...names, ...archives.map((each) => each.name)]) : []) {
    await removeUnborn(store, name, unborn)
  }
  for (const [, group] of byName(backups)) {
    for (const { item, reasons } of applyPolicy(group, options.keep, nowMs, MARKS)) {
      const { directory, record, path } = item
      kept.push({ name: record.name, id: record.id, directory, reasons })
      if (reasons.length > 0 || !isReal) continue
      await store.removeFolder(path, RECORD_FILE)
      removed.push(directory)
    }
  }
  for (const { archive, reasons } of chooseArchives(archives, options)) {
    const { name, id, directory, path } = archive
    kept.push({ name, id, directory, reasons })
    if (reasons.length > 0 || !isReal) continue
    await store.removeFolder(path, `${APPEND_DIR}/${SIDECAR}`)
    removed.push(directory)
  }
  const unfinishedRemoved: string[] = []
  for (const path of isReal ? unfinished : []) {
    const changedAtMs = (await store.changedAtMs(path)) ?? nowMs
    if (nowMs - changedAtMs <= UNFINISHED_MS) continue
    await store.removeFolder(path, RECORD_FILE)
    unfinishedRemoved.push(store.pathOf(path))
  }
  return { backups: kept, removed, unfinishedRemoved }
}

/** A window is kept or goes as a whole: the newest archive of a name stays, and so does each that reaches
 * into the time to keep. Without such a time all stay. */
function chooseArchives(
  archives: readonly StoredArchive[],
  { keep: { withinMs } }: PruneOptions,
): readonly { archive: StoredArchive; reasons: readonly string[] }[] {
  const newest = new Map(archives.map((each) => [each.name, each]))
  return archives.map((archive) => {
    const last = newest.get(archive.name)!
    if (archive === last) return { archive, reasons: ['newest'] }
    if (withinMs === undefined || withinMs === 0) return { archive, reasons: ['archive'] }
    return { archive, reasons: endOf(archive) > endOf(last) - withinMs ? ['within'] : [] }
  })
}

function endOf({ windows }: StoredArchive): number {
  return windows.at(-1)?.toMs ?? 0
}

const MARKS: Marks<Backup> = {
  isSuspect: ({ record }) => record.farFewerThan !== undefined,
  isProven: ({ provenAtMs }) => provenAtMs !== undefined,
}

function byName(backups: readonly StoredBackup[]): ReadonlyMap<string, readonly StoredBackup[]> {
  const names = new Map<string, StoredBackup[]>()
  for (const each of backups) {
    const group = names.get(each.record.name)
    if (group === undefined) names.set(each.record.name, [each])
    else group.push(each)
  }
  return names
}
