/**
 * What was written in all: over time, by command, prefix, key and database, and what removed much at
 * once. In bounded memory, whatever came. A stream has no client and no reads.
 */
import type { CommandInfo, CommandTable } from '../../resp/command-table.js'
import type { CommandDecoder } from '../../resp/decoder.js'
import { CommandStats, type StatsRow } from './command-stats.js'
import { TimeLine, type TimeBin } from './time-line.js'

/** FLUSHALL, FLUSHDB, SWAPDB; DEL and UNLINK of many keys. */
export interface TrafficEvent {
  readonly command: string
  /** -1: not known. */
  readonly db: number
  /** Unix ms, or -1. */
  readonly unixMs: number
  /** Behind it: of the stream, or of the file where that has none. */
  readonly replOffset: number
  /** Of DEL and UNLINK. */
  readonly keys: number
}

export interface TrafficReport {
  readonly commands: number
  readonly bytes: number
  /** Unix ms of the first command and of the last one; -1 where no time is known. */
  readonly fromMs: number
  readonly toMs: number
  /** Behind the first command and the last one; -1: there was none. */
  readonly fromReplOffset: number
  readonly toReplOffset: number
  readonly binMs: number
  readonly bins: readonly TimeBin[]
  /** Most commands first. */
  readonly byCommand: readonly StatsRow[]
  /** Those with most. */
  readonly byPrefix: readonly StatsRow[]
  readonly byKey: readonly StatsRow[]
  readonly byDb: readonly StatsRow[]
  /** The first ones. */
  readonly events: readonly TrafficEvent[]
  readonly eventsInAll: number
  /** Named by DEL and UNLINK, whether they were there or not. */
  readonly deletedKeys: number
}

const FLUSHES = new Set(['FLUSHALL', 'FLUSHDB', 'SWAPDB'])
const DELETES = new Set(['DEL', 'UNLINK'])
const MANY_KEYS = 10
const MOST_EVENTS = 200
const MOST_BINS = 240
const MOST_ROWS = 100

interface Place {
  dbnum: number
  unixMs: number
  replOffset: number
}

export class Traffic {
  readonly #stats: CommandStats
  readonly #line = new TimeLine()
  readonly #events: TrafficEvent[] = []
  #eventsInAll = 0
  #deletedKeys = 0
  #fromMs = -1
  #toMs = -1
  #fromReplOffset = -1
  #toReplOffset = -1

  constructor(table: CommandTable, separator?: string) {
    this.#stats = new CommandStats(table, separator, ['command', 'prefix', 'key', 'db'])
  }

  /** @param keyArg argument that is the first key, or -1 */
  count(command: CommandDecoder, info: CommandInfo, keyArg: number, place: Readonly<Place>): void {
    this.#stats.count(command, info, keyArg, place)
    const { unixMs, replOffset } = place
    if (unixMs >= 0) {
      this.#line.add(unixMs, command.end - command.start)
      if (this.#fromMs < 0) this.#fromMs = unixMs
      if (unixMs > this.#toMs) this.#toMs = unixMs
    }
    if (this.#fromReplOffset < 0) this.#fromReplOffset = replOffset
    this.#toReplOffset = replOffset
    const isDelete = DELETES.has(info.name)
    const keys = isDelete ? command.argc - 1 : 0
    this.#deletedKeys += keys
    if (isDelete ? keys < MANY_KEYS : !FLUSHES.has(info.name)) return
    this.#eventsInAll += 1
    if (this.#events.length >= MOST_EVENTS) return
    this.#events.push({ command: info.name, db: place.dbnum, unixMs, replOffset, keys })
  }

  /** All of it, to be called once. */
  report(): TrafficReport {
    const { commands, bytes, byCommand, byPrefix, byKey, byDb } = this.#stats.take(0)
    const { widthMs, bins } = this.#line.bins(MOST_BINS)
    return {
      commands,
      bytes,
      fromMs: this.#fromMs,
      toMs: this.#toMs,
      fromReplOffset: this.#fromReplOffset,
      toReplOffset: this.#toReplOffset,
      binMs: widthMs,
      bins,
      byCommand: byCommand.slice(0, MOST_ROWS),
      byPrefix: byPrefix.slice(0, MOST_ROWS),
      byKey: byKey.slice(0, MOST_ROWS),
      byDb: byDb.slice(0, MOST_ROWS),
      events: this.#events,
      eventsInAll: this.#eventsInAll,
      deletedKeys: this.#deletedKeys,
    }
  }
}
