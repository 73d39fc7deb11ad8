/** Sizes, durations, times and lists as the command line takes them: text → value, pure. */
import { timeOf } from '../bytes/time-text.js'
import { UsageError } from '../errors.js'

const SIZE = /^(\d+(?:\.\d+)?)\s*(b|k|kb|kib|m|mb|mib|g|gb|gib|t|tb|tib)?$/i
const DURATION = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?$/i

/** `512`, `64kb`, `10mb`, `1gb` (1024-based) → bytes. */
export function parseSize(text: string): number {
  const found = SIZE.exec(text.trim())
  const power = 'bkmgt'.indexOf((found?.[2] ?? 'b')[0]!.toLowerCase())
  const bytes = found === null ? Number.NaN : Math.round(Number(found[1]) * 1024 ** power)
  if (!Number.isSafeInteger(bytes)) {
    throw new UsageError(`not a size: ${text}`, { hint: 'write 512, 64kb, 10mb or 1gb' })
  }
  return bytes
}

/** `500ms`, `30s`, `5m`, `2h`, `7d` (a bare number: seconds) → milliseconds. */
export function parseDuration(text: string): number {
  const found = DURATION.exec(text.trim())
  const unitMs = { ms: 1, s: 1e3, m: 6e4, h: 3.6e6, d: 8.64e7 }[
    (found?.[2] ?? 's').toLowerCase() as 'ms' | 's' | 'm' | 'h' | 'd'
  ]
  const ms = found === null ? Number.NaN : Math.round(Number(found[1]) * unitMs)
  if (!Number.isSafeInteger(ms)) {
    throw new UsageError(`not a duration: ${text}`, { hint: 'write 500ms, 30s, 5m, 2h or 7d' })
  }
  return ms
}

/** ISO 8601 (without a zone: local time) or unix seconds → unix milliseconds. */
export function parseTime(text: string): number {
  const ms = timeOf(text)
  if (ms === undefined) {
    throw new UsageError(`not a time: ${text}`, {
      hint: 'write 2026-11-22T10:00:00Z (without Z: local time) or unix seconds',
    })
  }
  return ms
}

export function parseCount(text: string): number {
  const count = /^\d+$/.test(text.trim()) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(count)) throw new UsageError(`not a whole number: ${text}`)
  return count
}

/** `a,b` → ['a', 'b']; empty items are refused. */
export function parseList(text: string): string[] {
  const items = text.split(',').map((item) => item.trim())
  if (items.some((item) => item === '')) throw new UsageError(`empty item in the list ${text}`)
  return items
}

const SIZE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

/** 1536 → `1.50 KiB`; three significant digits, 1024-based. */
export function formatSize(bytes: number): string {
  let value = bytes
  let unit = 0
  while (Math.abs(value) >= 1024 && unit < SIZE_UNITS.length - 1) {
    value /= 1024
    unit += 1
  }
  if (unit === 0) return `${Math.round(value)} B`
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2
  return `${value.toFixed(digits)} ${SIZE_UNITS[unit]!}`
}

/** 1234567 → `1,234,567`. */
export function formatCount(count: number): string {
  return String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, ',')
}

/** `1 key`, `1,234 keys`. */
export function countOf(count: number, noun: string, plural = `${noun}s`): string {
  return `${formatCount(count)} ${count === 1 ? noun : plural}`
}

/** 83_000 → `1m23s`; below a minute with one decimal, below a second in ms. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)}ms`
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)}s`
  const seconds = Math.round(ms / 1000)
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${pad(seconds % 60)}s`
  if (seconds < 86_400) {
    return `${Math.floor(seconds / 3600)}h${pad(Math.floor(seconds / 60) % 60)}m`
  }
  return `${Math.floor(seconds / 86_400)}d${pad(Math.floor(seconds / 3600) % 24)}h`
}

function pad(value: number): string {
  return String(value).padStart(2, '0')
}

/** A place in a stream of commands. */
export type Moment = { unixMs: number } | { offset: number }

/** A time, or `offset:N`. */
export function parseMoment(text: string): Moment {
  const offset = /^offset:(\d{1,16})$/.exec(text.trim())?.[1]
  if (offset !== undefined) return { offset: Number(offset) }
  if (text.trim().startsWith('offset:')) {
    throw new UsageError(`not an offset: ${text}`, { hint: 'write offset:N, as tail shows it' })
  }
  return { unixMs: parseTime(text) }
}

/** Of an option that may be given several times. */
export function collect(text: string, before: string[] | undefined): string[] {
  return [...(before ?? []), text]
}
