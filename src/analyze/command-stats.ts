/**
 * What is being written: commands and bytes by command, by prefix of the first key, by database.
 * Counters in arrays; a map from prefixes that is bounded (the rest is counted as one).
 */
import { Buffer } from 'node:buffer'
import { printable } from '../bytes/printable.js'
import type { CommandInfo, CommandTable } from '../resp/command-table.js'
import type { CommandDecoder } from '../resp/decoder.js'

export interface StatsRow {
  /** Safe to print. */
  name: string
  commands: number
  bytes: number
}

export interface StatsSnapshot {
  /** Length of the interval. */
  intervalMs: number
  commands: number
  bytes: number
  /** Most commands first. */
  byCommand: StatsRow[]
  byPrefix: StatsRow[]
  byDb: StatsRow[]
  /** Commands whose prefix found no place any more. */
  otherPrefixes: number
}

const MAX_PREFIXES = 10_000
const MAX_PREFIX_BYTES = 64

export class CommandStats {
  readonly #table: CommandTable
  readonly #separator: number
  #commandCounts = new Float64Array(1024)
  #commandBytes = new Float64Array(1024)
  readonly #prefixes = new Map<string, { commands: number; bytes: number }>()
  readonly #dbs = new Map<number, { commands: number; bytes: number }>()
  #commands = 0
  #bytes = 0
  #otherPrefixes = 0

  constructor(table: CommandTable, separator = ':') {
    this.#table = table
    this.#separator = separator.charCodeAt(0)
  }

  /** @param keyArg argument that is the first key, or -1 */
  count(command: CommandDecoder, info: CommandInfo, keyArg: number, dbnum: number): void {
    const bytes = command.end - command.start
    this.#commands += 1
    this.#bytes += bytes
    if (info.index >= this.#commandCounts.length) this.#growTo(info.index)
    this.#commandCounts[info.index]! += 1
    this.#commandBytes[info.index]! += bytes
    add(this.#dbs, dbnum, bytes)
    if (keyArg >= 0) this.#countPrefix(command, keyArg, bytes)
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
      byCommand: byCommand.sort(byCount),
      byPrefix: rows(this.#prefixes, (prefix) => printable(Buffer.from(prefix, 'latin1'))),
      byDb: rows(this.#dbs, (dbnum) => (dbnum < 0 ? '?' : String(dbnum))),
      otherPrefixes: this.#otherPrefixes,
    }
    this.#commandCounts.fill(0)
    this.#commandBytes.fill(0)
    this.#prefixes.clear()
    this.#dbs.clear()
    this.#commands = this.#bytes = this.#otherPrefixes = 0
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
    const known = this.#prefixes.get(prefix)
    if (known !== undefined) {
      known.commands += 1
      known.bytes += bytes
    } else if (this.#prefixes.size < MAX_PREFIXES) {
      this.#prefixes.set(prefix, { commands: 1, bytes })
    } else {
      this.#otherPrefixes += 1
    }
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
