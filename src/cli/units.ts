/** Sizes, durations, times and lists as the command line takes them: text → value, pure. */
import { timeOf } from '../bytes/time-text.js'
import { UsageError } from '../errors.js'

export { countOf, formatCount, formatDuration, formatSize } from '../bytes/figures-text.js'

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

/** `host`, `host:port` or `[::1]:port`, to listen on; port 0 is any that is free. */
export function parsePlace(text: string): { host: string; port: number } {
  const found = /^(?:\[([0-9a-f:.]+)\]|([^:\s]+))(?::(\d{1,5}))?$/i.exec(text)
  const port = Number(found?.[3] ?? 0)
  if (found === null || port > 65_535) {
    throw new UsageError(`not an address to listen on: ${text}`, {
      hint: 'write 10.0.0.5, 10.0.0.5:6390 or [fd00::5]:6390',
    })
  }
  return { host: found[1] ?? found[2]!, port }
}
