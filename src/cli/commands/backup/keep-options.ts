/** The rules of `--keep-…`, as options and as a policy. */
import type { Command } from 'commander'
import type { RetentionPolicy } from '../../../verbs/backup/run.js'
import { parseCount, parseDuration } from '../../units.js'

export interface KeepOptions {
  keepLast?: number
  keepHourly?: number
  keepDaily?: number
  keepWeekly?: number
  keepMonthly?: number
  keepYearly?: number
  keepWithin?: number
}

export function addKeepOptions(command: Command): void {
  for (const name of ['last', 'hourly', 'daily', 'weekly', 'monthly', 'yearly']) {
    const what = name === 'last' ? 'the last so many' : `so many ${name} ones`
    command.option(`--keep-${name} <n>`, what, parseCount)
  }
  command.option('--keep-within <time>', 'all not older than this before the newest', parseDuration)
}

export function policyOf(options: KeepOptions): RetentionPolicy | undefined {
  const policy: RetentionPolicy = {
    last: options.keepLast,
    hourly: options.keepHourly,
    daily: options.keepDaily,
    weekly: options.keepWeekly,
    monthly: options.keepMonthly,
    yearly: options.keepYearly,
    withinMs: options.keepWithin,
  }
  return Object.values(policy).some((each) => each !== undefined) ? policy : undefined
}
