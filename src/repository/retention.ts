/**
 * Which backups are kept, with the words and the meaning of restic: each rule keeps the newest backup of
 * each of the last so many periods that have one; the rules are ORed. Besides them the newest is always
 * kept, the newest that did not lose far too many keys, the newest that was proven, and what is dated in
 * the future. Pure.
 */

export interface RetentionPolicy {
  last?: number | undefined
  hourly?: number | undefined
  daily?: number | undefined
  weekly?: number | undefined
  monthly?: number | undefined
  yearly?: number | undefined
  /** All that are no older than this before the newest one, ms. */
  withinMs?: number | undefined
}

export interface Kept<Item> {
  readonly item: Item
  /** Why: `last`, `daily`, …; empty: it is to go. */
  readonly reasons: readonly string[]
}

export function isEmptyPolicy(policy: RetentionPolicy): boolean {
  return Object.values(policy).every((each) => each === undefined || each === 0)
}

export interface Marks<Item> {
  isSuspect?: (item: Item) => boolean
  isProven?: (item: Item) => boolean
}

/** Periods are those of the local calendar, weeks those of ISO 8601. Newest first. */
export function applyPolicy<Item extends { readonly atMs: number }>(
  items: readonly Item[],
  policy: RetentionPolicy,
  nowMs: number,
  { isSuspect, isProven }: Marks<Item> = {},
): readonly Kept<Item>[] {
  const newestFirst = [...items].sort((a, b) => b.atMs - a.atMs)
  const newestMs = newestFirst[0]?.atMs ?? 0
  const newestGood = newestFirst.find((item) => isSuspect?.(item) !== true)
  const newestProven = newestFirst.find((item) => isProven?.(item) === true)
  const rules: { name: string; left: number; period: (at: Date) => string; seen?: string }[] = [
    { name: 'last', left: policy.last ?? 0, period: (at) => String(at.getTime()) },
    { name: 'hourly', left: policy.hourly ?? 0, period: (at) => `${dayOf(at)} ${at.getHours()}` },
    { name: 'daily', left: policy.daily ?? 0, period: dayOf },
    { name: 'weekly', left: policy.weekly ?? 0, period: weekOf },
    {
      name: 'monthly',
      left: policy.monthly ?? 0,
      period: (at) => `${at.getFullYear()}-${at.getMonth()}`,
    },
    { name: 'yearly', left: policy.yearly ?? 0, period: (at) => String(at.getFullYear()) },
  ]
  return newestFirst.map((item, index) => {
    const reasons: string[] = []
    const at = new Date(item.atMs)
    for (const rule of rules) {
      if (rule.left === 0) continue
      const period = rule.name === 'last' ? String(index) : rule.period(at)
      if (period === rule.seen) continue
      rule.seen = period
      rule.left -= 1
      reasons.push(rule.name)
    }
    const { withinMs } = policy
    if (withinMs !== undefined && withinMs > 0 && item.atMs > newestMs - withinMs) {
      reasons.push('within')
    }
    if (item.atMs > nowMs) reasons.push('future')
    if (index === 0) reasons.push('newest')
    else if (item === newestGood) reasons.push('good')
    if (item === newestProven) reasons.push('proven')
    return { item, reasons }
  })
}

function dayOf(at: Date): string {
  return `${at.getFullYear()}-${at.getMonth()}-${at.getDate()}`
}

/** The year and week of ISO 8601: weeks begin on Monday, the first has the year's first Thursday. */
function weekOf(at: Date): string {
  const thursday = new Date(at.getFullYear(), at.getMonth(), at.getDate())
  thursday.setDate(thursday.getDate() + 3 - ((thursday.getDay() + 6) % 7))
  const first = new Date(thursday.getFullYear(), 0, 4)
  const days = Math.round((thursday.getTime() - first.getTime()) / 86_400_000)
  const week = 1 + Math.round((days - 3 + ((first.getDay() + 6) % 7)) / 7)
  return `${thursday.getFullYear()} week ${week}`
}
