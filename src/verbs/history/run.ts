/**
 * `history`: every command of an archive or an AOF that touched a key, and what the key was behind each.
 *
 * A stream has neither clients nor reads in it: who wrote, and who looked, nobody can tell from it.
 */
import { UsageError } from '../../errors.js'
import { pathOf, readStored, type StoredSource } from '../../source/classify.js'
import { tailCommands } from '../tail/commands.js'
import type { HistoryEntry, HistoryOptions, UndoOptions, UndoResult } from './options.js'
import { TouchLook, type KeyName } from './touch.js'
import { undo, valuesOf } from './values.js'

export type * from './options.js'

const DEFAULT_LIMIT = 1000

/** Throws FileError, AofError, RdbError, UsageError, ProtocolError (no commands, no server) or
 * AbortedError. */
export async function* history(
  source: string | StoredSource,
  key: string | Buffer,
  options: HistoryOptions = {},
): AsyncGenerator<HistoryEntry, void, undefined> {
  const wanted = { db: options.db ?? 0, key: Buffer.from(key) }
  const stored = readStored(source)
  if (options.values !== true) {
    yield* touching(stored, wanted, options)
    return
  }
  if (stored.kind === 'stdin') {
    throw new UsageError('values are found by reading more than once: not of standard input')
  }
  const entries: HistoryEntry[] = []
  for await (const entry of touching(stored, wanted, options)) entries.push(entry)
  const limit = options.limit ?? DEFAULT_LIMIT
  const offsets = entries.slice(-limit).map(({ offset }) => offset)
  const values = await valuesOf(pathOf(stored), wanted, offsets, options)
  for (const entry of entries) {
    yield values.has(entry.offset) ? { ...entry, value: values.get(entry.offset) ?? null } : entry
  }
}

/** What makes a key what it was before a command, as a command. Nothing is changed. Rejects as `history`. */
export async function undoCommand(
  source: string | StoredSource,
  key: string | Buffer,
  options: UndoOptions,
): Promise<UndoResult> {
  const stored = readStored(source)
  if (stored.kind === 'stdin') {
    throw new UsageError('what a key was is found by reading more than once: not of standard input')
  }
  return await undo(pathOf(stored), { db: options.db ?? 0, key: Buffer.from(key) }, options)
}

async function* touching(
  source: StoredSource,
  wanted: KeyName,
  { fromMs, until, stdin, signal, onEvent }: HistoryOptions,
): AsyncGenerator<HistoryEntry, void, undefined> {
  const look = new TouchLook()
  const transactions: (number | undefined)[] = []
  const commands = tailCommands(source, {
    ...{ fromMs, until, stdin, signal },
    takes: (command, place) => {
      const info = look.infoOf(command, place)
      if (!look.touches(info, command, place.dbnum, wanted)) return false
      transactions.push(look.transaction)
      return true
    },
    onEvent: (event) => {
      if (event.event === 'warning') onEvent?.(event)
      else if (event.event === 'gap') onEvent?.({ event: 'warning', message: gapText(event) })
    },
  })
  for await (const command of commands) yield { ...command, transaction: transactions.shift() }
}

function gapText({ fromReplOffset, toReplOffset }: Record<string, unknown>): string {
  return `a gap: what came from offset ${String(fromReplOffset)} on is missing, up to ${String(toReplOffset)}`
}
