/** `rrep backup list`: what a repository holds, whether it is young enough, and why each is kept. */
import type { Command } from 'commander'
import type { RepositoryArchive } from '../../../repository/archives.js'
import { readCatalogue } from '../../../repository/catalogue.js'
import { prune } from '../../../verbs/backup/prune.js'
import { addCommonOptions, type CommandContext } from '../../command.js'
import { optionsFromEnvironment } from '../../options/environment.js'
import { EXIT } from '../../exit-codes.js'
import { lookOf, renderTable, type Column } from '../../render/inspect-table.js'
import { countOf, formatCount, formatDuration, formatSize, parseDuration } from '../../units.js'
import { addKeepOptions, policyOf, type KeepOptions } from './keep-options.js'

interface ListOptions extends KeepOptions {
  name?: string
  maxAge?: number
}

const LIST: readonly Column[] = [
  { title: 'name' },
  { title: 'id' },
  { title: 'age', align: 'right' },
  { title: 'keys', align: 'right' },
  { title: 'proven', align: 'right' },
  { title: 'size', align: 'right' },
  { title: 'server', spare: 1 },
  { title: 'source', spare: 2 },
]

const KEPT: readonly Column[] = [...LIST, { title: 'kept', spare: 3 }]

const WINDOWS: readonly Column[] = [
  { title: 'name' },
  { title: 'archive' },
  { title: 'any second from' },
  { title: 'until' },
  { title: 'proven', align: 'right' },
  { title: 'source', spare: 1 },
]

export function registerList(parent: Command, context: CommandContext): void {
  const command = optionsFromEnvironment(parent.command('list'))
    .description('The backups of a repository, newest last; with rules, why each is kept.')
    .argument('<repo>')
    .option('--name <name>', 'of this name only')
    .option('--max-age <time>', 'status 7 where the newest of a name is older', parseDuration)
  addKeepOptions(command)
  addCommonOptions(command, [
    'rrep backup list /var/backups/redis --max-age 26h',
    'rrep backup list /var/backups/redis --keep-daily 7 --keep-weekly 4',
  ])
  command.action(
    context.action<ListOptions>(async ({ args, options, talk, signal }) => {
      const { backups, unfinished, damaged, archives } = await readCatalogue(
        args[0]!,
        options.name,
        {
          signal,
        },
      )
      const reasons = await reasonsOf(args[0]!, options, signal)
      const nowMs = Date.now()
      if (talk.json) {
        const rows = backups.map(({ directory, record, provenAtMs }) => ({
          directory,
          provenAt: provenAtMs === undefined ? null : new Date(provenAtMs).toISOString(),
          ...(reasons === undefined ? {} : { kept: reasons.get(directory) ?? [] }),
          ...record,
        }))
        await talk.event({
          event: 'backups',
          backups: rows,
          unfinished,
          damaged,
          archives: archives.map(archiveRow),
        })
      } else if (backups.length > 0) {
        const rows = backups.map(({ directory, record, atMs, provenAtMs }) => [
          record.name,
          record.id,
          formatDuration(nowMs - atMs),
          formatCount(record.keys),
          provenAtMs === undefined ? '' : `${formatDuration(nowMs - provenAtMs)} ago`,
          formatSize(record.files.reduce((sum, { bytes }) => sum + bytes, 0)),
          record.serverVersion ?? '?',
          record.isCluster ? countOf(record.files.length, 'shard') : record.source,
          ...(reasons === undefined ? [] : [keptText(reasons.get(directory))]),
        ])
        const columns = reasons === undefined ? LIST : KEPT
        await talk.write(`${renderTable(columns, rows, lookOf(talk))}\n`)
      } else if (archives.length === 0) talk.say(`no backup in ${args[0]!}`)
      if (!talk.json && archives.length > 0) {
        const rows = archives.flatMap((archive) => windowRows(archive, nowMs))
        await talk.write(`${renderTable(WINDOWS, rows, lookOf(talk))}\n`)
      }
      for (const each of unfinished) talk.warn(`${each} has no record: it is no backup`)
      for (const each of damaged) {
        talk.warn(
          `${each} has a damaged record, or one of a later version: it is kept, and not counted`,
        )
      }
      const { maxAge } = options
      if (maxAge === undefined) return EXIT.OK
      const newest = new Map<string, number>()
      for (const { record, atMs } of backups) {
        // What is dated in the future says nothing of how old the newest is.
        newest.set(record.name, atMs <= nowMs ? atMs : (newest.get(record.name) ?? -Infinity))
      }
      const stale = [...newest].filter(([, atMs]) => nowMs - atMs > maxAge).map(([name]) => name)
      if (newest.size === 0) talk.problem('there is no backup')
      for (const name of stale) {
        talk.problem(`the newest backup of ${name} is older than ${formatDuration(maxAge)}`)
      }
      return newest.size > 0 && stale.length === 0 ? EXIT.OK : EXIT.DIFFERENT
    }),
  )
}

function windowRows(
  { name, id, source, windows, provenAtMs }: RepositoryArchive,
  nowMs: number,
): string[][] {
  const proven = provenAtMs === undefined ? '' : `${formatDuration(nowMs - provenAtMs)} ago`
  return windows.map(({ fromMs, toMs }) => [
    name,
    id,
    timeText(fromMs),
    timeText(toMs),
    proven,
    source,
  ])
}

function archiveRow({ windows, provenAtMs, ...archive }: RepositoryArchive): object {
  const spans = windows.map(({ fromMs, toMs }) => ({ from: timeText(fromMs), to: timeText(toMs) }))
  const provenAt = provenAtMs === undefined ? null : timeText(provenAtMs)
  return { ...archive, windows: spans, provenAt }
}

function timeText(unixMs: number): string {
  return new Date(unixMs).toISOString()
}

/** By directory; undefined where there are no rules. Nothing is removed. */
async function reasonsOf(
  repository: string,
  options: ListOptions,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, readonly string[]> | undefined> {
  const keep = policyOf(options)
  if (keep === undefined) return undefined
  const { backups } = await prune(repository, { name: options.name, keep, dryRun: true, signal })
  return new Map(backups.map(({ directory, reasons }) => [directory, reasons]))
}

function keptText(reasons: readonly string[] = []): string {
  return reasons.length > 0 ? reasons.join(', ') : 'would go'
}
