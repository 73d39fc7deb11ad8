/** The commands of an AOF or an archive, as the table `commands`. */
import { Buffer } from 'node:buffer'
import { printable } from '../../bytes/printable.js'
import { UsageError } from '../../errors.js'
import type { CommandPlace } from '../../formats/command-format.js'
import { CommandTable, KeyPositions } from '../../resp/command-table.js'
import type { CommandDecoder } from '../../resp/decoder.js'
import { nameOfSource, type Source } from '../../source/classify.js'
import { tailRecorded } from '../tail/recorded.js'
import type { Feed } from './feed.js'
import type { SqlOptions } from './options.js'
import type { Column } from './protocol.js'

const ROWS_OF_BLOCK = 2048
/** A block is sent before its texts are longer. */
const MAX_BLOCK_BYTES = 8 << 20

/** Sends all rows; `wanted` are the columns that are looked at. Rejects as `tailRecorded` does. */
export async function scanCommands(
  source: Source,
  feed: Feed,
  wanted: readonly number[],
  options: SqlOptions & { signal: AbortSignal },
): Promise<void> {
  if (source.kind === 'server' || source.kind === 'cluster') {
    throw new UsageError(`${nameOfSource(source)} is a server: it keeps no commands of its past`, {
      hint: 'they are in an archive, which tail keeps, or in an append-only file',
    })
  }
  const rows = new CommandRows(wanted, feed)
  const { dbs, match, noMatch, regex } = options.filter ?? {}
  await tailRecorded(source, {
    stdin: options.stdin,
    until: options.until,
    signal: options.signal,
    filter: {
      ...(dbs === undefined ? {} : { dbs }),
      ...(match === undefined ? {} : { match }),
      ...(noMatch === undefined ? {} : { noMatch }),
      ...(regex === undefined ? {} : { regex }),
    },
    onCommand: (command, place) => rows.add(command, place),
    onTooLarge: (name, bytes, place) => rows.addLarge(name, bytes, place),
    drain: () => feed.drain(),
    onEvent: (event) => {
      if (event.event === 'warning') options.onEvent?.(event)
    },
  })
  rows.flush()
}

const ARGS = 5
const KEY = 4

class CommandRows {
  readonly #wanted: readonly number[]
  readonly #feed: Feed
  readonly #table = new CommandTable()
  readonly #positions = new KeyPositions()
  #block = new CommandBlock()

  constructor(wanted: readonly number[], feed: Feed) {
    this.#wanted = wanted
    this.#feed = feed
  }

  add(command: CommandDecoder, place: Readonly<CommandPlace>): void {
    const name = this.#begin(command.arg(0), place, command.end - command.start)
    const block = this.#block
    if (this.#wanted.includes(KEY)) {
      const count = this.#positions.find(name, command)
      const at = this.#positions.positions[0]!
      block.keys.add(count > 0 && at < command.argc ? printable(command.arg(at)) : undefined)
    }
    if (this.#wanted.includes(ARGS)) {
      for (let at = 1; at < command.argc; at += 1) block.args.add(printable(command.arg(at)))
      block.argEnds.push(block.args.count)
    }
    this.#end()
  }

  /** Nobody has held its arguments. */
  addLarge(name: string, bytes: number, place: Readonly<CommandPlace>): void {
    this.#begin(Buffer.from(name), place, bytes)
    this.#block.keys.add(undefined)
    this.#block.argEnds.push(this.#block.args.count)
    this.#end()
  }

  flush(): void {
    const block = this.#block
    if (block.count === 0) return
    this.#block = new CommandBlock()
    const all = block.columns()
    this.#feed.send(
      block.count,
      all.map((column, place) => (this.#wanted.includes(place) ? column : undefined)),
    )
  }

  #begin(
    name: Buffer,
    { unixMs, replOffset, dbnum }: Readonly<CommandPlace>,
    bytes: number,
  ): ReturnType<CommandTable['findOrAdd']> {
    const block = this.#block
    const row = block.count
    block.times[row] = unixMs > 0 ? unixMs : Number.NaN
    block.offsets[row] = replOffset
    block.dbs[row] = dbnum
    block.bytes[row] = bytes
    block.count += 1
    const info = this.#table.findOrAdd(name, 0, name.length)
    block.names.add(info === this.#table.other ? printable(name) : info.name)
    return info
  }

  #end(): void {
    const block = this.#block
    const isLong = block.args.bytes + block.keys.bytes > MAX_BLOCK_BYTES
    if (block.count === ROWS_OF_BLOCK || isLong) this.flush()
  }
}

class CommandBlock {
  count = 0
  readonly times = new Float64Array(ROWS_OF_BLOCK)
  readonly offsets = new Float64Array(ROWS_OF_BLOCK)
  readonly dbs = new Int32Array(ROWS_OF_BLOCK)
  readonly bytes = new Float64Array(ROWS_OF_BLOCK)
  readonly names = new Texts()
  readonly keys = new Texts()
  readonly args = new Texts()
  readonly argEnds: number[] = []

  /** In the order of the table. */
  columns(): readonly Column[] {
    const args = this.args.column()
    return [
      { kind: 'time', values: this.times },
      { kind: 'bigint', values: this.offsets },
      { kind: 'integer', values: this.dbs },
      this.names.column(),
      this.keys.column(),
      {
        kind: 'texts',
        bytes: args.bytes,
        ends: args.ends,
        listEnds: Uint32Array.from(this.argEnds),
      },
      { kind: 'bigint', values: this.bytes },
    ]
  }
}

class Texts {
  count = 0
  bytes = 0
  readonly #parts: Buffer[] = []
  readonly #ends: number[] = []
  readonly #nulls: number[] = []

  add(text: string | undefined): void {
    if (text !== undefined && text !== '') {
      const part = Buffer.from(text)
      this.#parts.push(part)
      this.bytes += part.length
    }
    this.#ends.push(this.bytes)
    this.#nulls.push(text === undefined ? 1 : 0)
    this.count += 1
  }

  column(): Extract<Column, { kind: 'text' }> {
    const bytes = new Uint8Array(this.bytes)
    let at = 0
    for (const part of this.#parts) {
      bytes.set(part, at)
      at += part.length
    }
    const nulls = Uint8Array.from(this.#nulls)
    return { kind: 'text', bytes, ends: Uint32Array.from(this.#ends), nulls }
  }
}
