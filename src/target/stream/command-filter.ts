/** Which commands of a stream a filter of keys lets pass, and what is left of those of which it takes a part. */
import { Buffer } from 'node:buffer'
import { copyArg } from '../../resp/command-args.js'
import { KeyPositions, type CommandInfo } from '../../resp/command-table.js'
import { CommandDecoder, RESP } from '../../resp/decoder.js'
import { CommandEncoder } from '../../resp/encoder.js'
import { InternalError } from '../../errors.js'
import type { KeyFilter } from '../../source/key-filter.js'
import { typeOfCommand } from './command-types.js'

/** What a filter says of a command. */
export const PASS = { NONE: 0, ALL: 1, SOME: 2 } as const

export class CommandFilter {
  readonly #selection: KeyFilter
  readonly #keys = new KeyPositions()
  readonly #reduced = new CommandEncoder(1 << 10)
  readonly #again = new CommandDecoder({ lines: 'none' })

  constructor(selection: KeyFilter) {
    this.#selection = selection
  }

  /** Of its keys, all of them being in this db. */
  passOf(info: CommandInfo, command: CommandDecoder, db: number): number {
    const selection = this.#selection
    if (!selection.db(db)) return PASS.NONE
    if (!selection.type(typeOfCommand(info.name) ?? '')) {
      // Commands for keys of any type do no harm to those that are not there.
      if (typeOfCommand(info.name) !== undefined) return PASS.NONE
    }
    const count = this.#keys.find(info, command)
    let passing = 0
    for (let k = 0; k < count; k += 1) {
      const i = this.#keys.positions[k]!
      if (selection.name(command.bytes, command.args[2 * i]!, command.args[2 * i + 1]!)) {
        passing += 1
      }
    }
    if (count === 0 || passing === count) return PASS.ALL
    return passing === 0 ? PASS.NONE : PASS.SOME
  }

  /** With those keys of DEL, UNLINK, MSET, MSETNX that pass; undefined for other commands. Valid until the
   * next call. */
  reduced(info: CommandInfo, command: CommandDecoder): CommandDecoder | undefined {
    if (!/^(DEL|UNLINK|MSET|MSETNX|PFCOUNT)$/.test(info.name)) return undefined
    const width = info.name.startsWith('MSET') ? 2 : 1
    const kept: number[] = []
    for (let i = 1; i + width <= command.argc; i += width) {
      const [start, end] = [command.args[2 * i]!, command.args[2 * i + 1]!]
      if (this.#selection.name(command.bytes, start, end)) kept.push(i)
    }
    const out = this.#reduced
    out.reset()
    out.begin(1 + kept.length * width).ascii(info.name)
    for (const i of kept) for (let w = 0; w < width; w += 1) copyArg(out, command, i + w)
    return decodeOne(this.#again, out)
  }

  /** Only dbs are selected by, if anything. */
  get takesWholeDbs(): boolean {
    return this.#selection.name(Buffer.from('\0'), 0, 1) && this.#selection.type('')
  }
}

/** The one command in the encoder; valid until the encoder is used again. */
export function decodeOne(decoder: CommandDecoder, out: CommandEncoder): CommandDecoder {
  decoder.reset()
  decoder.feed(out.bytes, 0, out.length)
  if (decoder.next() !== RESP.COMMAND) throw new InternalError('an encoded command is none')
  return decoder
}
