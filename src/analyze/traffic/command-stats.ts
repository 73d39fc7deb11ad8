/**
 * What is being written: commands and bytes by command, by prefix of the first key, by key, by database, by
 * minute. Counters in arrays; of prefixes and keys the most frequent ones, in bounded memory.
 */
import { Buffer } from 'node:buffer'
import { printable } from '../../bytes/printable.js'
import { HeavyHitters } from './heavy-hitters.js'
import type { CommandInfo, CommandTable } from '../../resp/command-table.js'
import type { CommandDecoder } from '../../resp/decoder.js'

export interface StatsRow {
  /** Safe to print. */
  name: string
  commands: number
  bytes: number
  /** Too many at most, where not all names could be held. */
  error?: number
}

export type StatsTable = 'command' | 'prefix' | 'key' | 'db' | 'minute'
export const STATS_TABLES: readonly StatsTable[] = ['command', 'prefix', 'key', 'db', 'minute']

export interface StatsSnapshot {
  /** Length of the interval. */
  intervalMs: number
  commands: number
  bytes: number
  /** Most commands first; empty where it was not asked for. */
  byCommand: StatsRow[]
  byPrefix: StatsRow[]
  /** By the first key. */
  byKey: StatsRow[]
  byDb: StatsRow[]
  /** In order; the first second of each, ISO 8601, UTC. */
  byMinute: StatsRow[]
}

const MINUTE_MS = 60_000
const MAX_NAMES = 10_000
const MAX_PREFIX_BYTES = 64
/** Longer keys are counted as one with those that begin like them. */
const MAX_KEY_BYTES = 256
/** Half a year; later ones count for the last. */
const MAX_MINUTES = 262_144

export interface CommandTime {
  dbnum: number
  /** -1: not known. */
  unixMs: number
}

export class CommandStats {
  readonly #table: CommandTable
  readonly #separator: number
  #commandCounts = new Float64Array(1024)
  #commandBytes = new Float64Array(1024)
  readonly #tables: ReadonlySet<StatsTable>
  readonly #prefixes = new HeavyHitters(MAX_NAMES)
  readonly #keys = new HeavyHitters(MAX_NAMES)
  readonly #minutes = new Map<number, { commands: number; bytes: number }>()
  readonly #dbs = new Map<number, { commands: number; bytes: number }>()
  #commands = 0
  #bytes = 0

  constructor(
    table: CommandTable,
    separator = ':',
    tables: readonly StatsTable[] = ['command', 'prefix', 'db'],
  ) {
    this.#table = table
    this.#tables = new Set(tables)
    this.#separator = separator.charCodeAt(0)
  }

  /** @param keyArg argument that is the first key, or -1 */
  count(
    command: CommandDecoder,
    info: CommandInfo,
    keyArg: number,
    { dbnum, unixMs }: Readonly<CommandTime>,
  ): void {
    const bytes = command.end - command.start
    this.#commands += 1
    this.#bytes += bytes
    if (info.index >= this.#commandCounts.length) this.#growTo(info.index)
    this.#commandCounts[info.index]! += 1
    this.#commandBytes[info.index]! += bytes
    if (this.#tables.has('db')) add(this.#dbs, dbnum, bytes)
    if (this.#tables.has('minute') && unixMs >= 0) this.#countMinute(unixMs, bytes)
    if (keyArg < 0) return
    if (this.#tables.has('prefix')) this.#countPrefix(command, keyArg, bytes)
    if (this.#tables.has('key')) {
      this.#keys.add(command.arg(keyArg).toString('latin1', 0, MAX_KEY_BYTES), bytes)
    }
  }

  /** The interval's figures; counting begins anew. */
  take(intervalMs: number): StatsSnapshot {
    const byCommand: StatsRow[] = []
    for (const { name, index } of this.#table.entries) {
      const commands = this.#commandCounts[index] ?? 0
      if (commands > 0) byCommand.push({ name, commands, bytes: this.#commandBytes[index] ?? 0 })
    }
    const snapshot = {
      intervalMs,
      commands: this.#commands,
      bytes: this.#bytes,
      byCommand: this.#tables.has('command') ? byCommand.sort(byCount) : [],
      byPrefix: named(this.#prefixes),
      byKey: named(this.#keys),
      byDb: rows(this.#dbs, (dbnum) => (dbnum < 0 ? '?' : String(dbnum))),
      byMinute: [...this.#minutes]
        .sort(([a], [b]) => a - b)
        .map(([minute, each]) => ({ name: new Date(minute * MINUTE_MS).toISOString(), ...each })),
    }
    this.#commandCounts.fill(0)
    this.#commandBytes.fill(0)
    this.#dbs.clear()
    this.#minutes.clear()
    this.#commands = this.#bytes = 0
    return snapshot
  }

  /** The key up to its first separator; keys without one count as `(none)`. */
  #countPrefix(command: CommandDecoder, keyArg: number, bytes: number): void {
    const start = command.args[2 * keyArg]!
    const end = command.args[2 * keyArg + 1]!
    const limit = Math.min(end, start + MAX_PREFIX_BYTES)
    let at = start
    while (at < limit && command.bytes[at] !== this.#separator) at += 1
    const prefix =
      at === limit
        ? '(none)'
        : Buffer.from(
            command.bytes.buffer,
            command.bytes.byteOffset + start,
            at + 1 - start,
          ).toString('latin1')
    this.#prefixes.add(prefix, bytes)
  }

  #countMinute(unixMs: number, bytes: number): void {
    const minute = Math.floor(unixMs / MINUTE_MS)
    const isNew = !this.#minutes.has(minute)
    const last =
      isNew && this.#minutes.size >= MAX_MINUTES ? [...this.#minutes.keys()].at(-1) : minute
    add(this.#minutes, last ?? minute, bytes)
  }

  #growTo(index: number): void {
    const size = Math.max(2 * this.#commandCounts.length, index + 1)
    const counts = new Float64Array(size)
    const bytes = new Float64Array(size)
    counts.set(this.#commandCounts)
    bytes.set(this.#commandBytes)
    this.#commandCounts = counts
    this.#commandBytes = bytes
  }
}

/** Safe to print. */
function named(hitters: HeavyHitters): StatsRow[] {
  return hitters.take().map(({ name, commands, bytes, error }) => ({
    name: printable(Buffer.from(name, 'latin1')),
    ...{ commands, bytes },
    ...(error > 0 ? { error } : {}),
  }))
}

function add<K>(map: Map<K, { commands: number; bytes: number }>, key: K, bytes: number): void {
  const known = map.get(key)
  if (known === undefined) {
    map.set(key, { commands: 1, bytes })
  } else {
    known.commands += 1
    known.bytes += bytes
  }
}

function rows<K>(
  map: Map<K, { commands: number; bytes: number }>,
  name: (key: K) => string,
): StatsRow[] {
  return [...map].map(([key, value]) => ({ name: name(key), ...value })).sort(byCount)
}

function byCount(a: StatsRow, b: StatsRow): number {
  return b.commands - a.commands || (a.name < b.name ? -1 : 1)
}
