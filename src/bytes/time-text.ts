/** ISO 8601 (without a zone: local time) or unix seconds → unix ms; undefined for what is no time. */
export function timeOf(text: string): number | undefined {
  const trimmed = text.trim()
  if (/^\d+(\.\d+)?$/.test(trimmed)) return Math.round(Number(trimmed) * 1000)
  // A bare date is taken as UTC by Date.
  const iso = /^\d{4}-\d{2}-\d{2}$/.test(trimmed) ? `${trimmed}T00:00:00` : trimmed
  const ms = /^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}/.test(iso) ? Date.parse(iso) : Number.NaN
  return Number.isNaN(ms) ? undefined : ms
}
