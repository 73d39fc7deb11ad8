/** Which backups of a repository are kept, and the others removed: within one name each. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileError } from '../../disk/file-error.js'
import { statOf } from '../../disk/stat.js'
import { UsageError } from '../../errors.js'
import { readCatalogue, removeUnborn, type Backup } from '../../repository/catalogue.js'
import { RECORD_FILE } from '../../repository/record.js'
import { applyPolicy, isEmptyPolicy } from '../../repository/retention.js'
import type { KeptBackup, PruneOptions, PruneResult } from './options.js'

/** What has no record may be on its way. */
const UNFINISHED_MS = 24 * 3600 * 1000

/** Throws UsageError (a policy that keeps nothing) or FileError. */
export function prune(repository: string, options: PruneOptions): PruneResult {
  if (isEmptyPolicy(options.keep)) {
    throw new UsageError('a policy that keeps nothing is none: all would be removed')
  }
  const nowMs = Date.now()
  const { backups, unfinished } = readCatalogue(repository, options.name)
  const names = byName(backups)
  const kept: KeptBackup[] = []
  const removed: string[] = []
  for (const [name, group] of names) {
    if (options.dryRun !== true) removeUnborn(repository, name)
    for (const { item, reasons } of applyPolicy(group, options.keep, nowMs, hasFarFewer)) {
      const { directory, record } = item
      kept.push({ name, id: record.id, directory, reasons })
      if (reasons.length > 0 || options.dryRun === true) continue
      remove(directory)
      removed.push(directory)
    }
  }
  const stale = unfinished.filter(
    (each) => nowMs - (statOf(each)?.mtimeMs ?? nowMs) > UNFINISHED_MS,
  )
  if (options.dryRun !== true) for (const each of stale) remove(each)
  return { backups: kept, removed, unfinishedRemoved: options.dryRun === true ? [] : stale }
}

function hasFarFewer({ record }: Backup): boolean {
  return record.farFewerThan !== undefined
}

function byName(backups: readonly Backup[]): ReadonlyMap<string, readonly Backup[]> {
  const names = new Map<string, Backup[]>()
  for (const each of backups) {
    const group = names.get(each.record.name)
    if (group === undefined) names.set(each.record.name, [each])
    else group.push(each)
  }
  return names
}

/** The record first: half a backup is none. */
function remove(directory: string): void {
  try {
    rmSync(join(directory, RECORD_FILE), { force: true })
    rmSync(directory, { recursive: true, force: true })
  } catch (error) {
    throw fileError(directory, 'write', error)
  }
}
