/** What a backup was, as metrics for Prometheus. Pure. */
import type { Backup } from '../../../repository/catalogue.js'
import type { BackupResult } from '../../../verbs/backup/run.js'
import { EXIT } from '../../exit-codes.js'

type Values = Partial<Record<keyof typeof METRICS, number>>

const METRICS = {
  last_run_timestamp_seconds: 'When the last run ended.',
  last_success_timestamp_seconds: 'When the last run ended that was a success.',
  last_exit_code: 'Exit status of the last run.',
  duration_seconds: 'How long the last run took.',
  keys: 'Keys in the newest backup.',
  size_bytes: 'Stored bytes of the newest backup.',
  sets: 'Backups of this name.',
  oldest_timestamp_seconds: 'When the oldest backup of this name was begun.',
  proven_timestamp_seconds: 'When a backup of this name was last proven.',
  restore_seconds: 'How long its restore took when a backup was last proven by this run.',
} as const

export interface RunFacts {
  exitCode: number
  startedMs: number
  result: BackupResult | undefined
}

export function metricsOf(
  name: string,
  run: RunFacts,
  backups: readonly Backup[] | undefined,
): string {
  const nowMs = Date.now()
  const newest = backups?.at(-1)?.record
  const oldest = backups?.[0]
  const proven = (backups ?? []).flatMap((each) => each.provenAtMs ?? [])
  const restoreMs = run.result?.proof?.restoreMs
  const values: Values = {
    last_run_timestamp_seconds: nowMs / 1000,
    last_exit_code: run.exitCode,
    duration_seconds: (nowMs - run.startedMs) / 1000,
    ...(run.exitCode === EXIT.OK ? { last_success_timestamp_seconds: nowMs / 1000 } : {}),
    ...(backups === undefined ? {} : { sets: backups.length }),
    ...(oldest === undefined || newest === undefined
      ? {}
      : {
          keys: newest.keys,
          size_bytes: newest.files.reduce((sum, { bytes }) => sum + bytes, 0),
          oldest_timestamp_seconds: oldest.atMs / 1000,
        }),
    ...(proven.length === 0 ? {} : { proven_timestamp_seconds: Math.max(...proven) / 1000 }),
    ...(restoreMs === undefined ? {} : { restore_seconds: restoreMs / 1000 }),
  }
  const label = name.replaceAll(/[\\"]/g, '\\$&').replaceAll('\n', '\\n')
  return Object.entries(values)
    .map(([metric, value]) => `rrep_backup_${metric}{name="${label}"} ${value}\n`)
    .join('')
}

const LINE = /^(rrep_backup_(\w+)\{name="(?:[^"\\]|\\.)*"\}) \S+$/

/** What this run does not tell anew stays as the last one told it. Each metric stands with its help. */
export function mergeMetrics(old: string, fresh: string): string {
  const lines = new Map<string, { metric: string; line: string }>()
  for (const line of `${old}\n${fresh}`.split('\n')) {
    const found = LINE.exec(line)
    if (found !== null) lines.set(found[1]!, { metric: found[2]!, line })
  }
  return Object.entries(METRICS)
    .map(([metric, help]) => {
      const own = [...lines.values()].filter((each) => each.metric === metric)
      if (own.length === 0) return ''
      const head = `# HELP rrep_backup_${metric} ${help}\n# TYPE rrep_backup_${metric} gauge\n`
      return `${head}${own.map(({ line }) => `${line}\n`).join('')}`
    })
    .join('')
}
