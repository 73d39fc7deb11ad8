/**
 * KeyDB with `active-replica yes` wraps every command of its stream, each of a transaction too:
 *
 *   RREPLAY <uuid> "<the command as RESP>" <db> <mvcc>
 *
 * No other server knows it. Its stream has no SELECT: the db is the argument.
 */
import { isArg } from './command-table.js'
import { CommandDecoder, RESP } from './decoder.js'

/** A command that came through so many masters, each wrapping it once more, is none. */
const MAX_DEPTH = 8

export class RreplayUnwrapper {
  /** Of the command unwrapped last; -1 where it is not told. */
  dbnum = -1
  readonly #decoders: CommandDecoder[] = []

  /** True for what `unwrap` is for. */
  static wraps(command: CommandDecoder): boolean {
    return command.argc > 0 && isArg(command, 0, 'RREPLAY')
  }

  /** The command inside, valid as long as the outer one and until the next call. Undefined where
   * there is not exactly one: what it does is not known. */
  unwrap(command: CommandDecoder): CommandDecoder | undefined {
    this.dbnum = -1
    let outer = command
    for (let depth = 0; depth < MAX_DEPTH; depth += 1) {
      if (outer.argc < 3) return undefined
      if (outer.argc > 3) this.dbnum = databaseOf(outer)
      const inner = (this.#decoders[depth] ??= new CommandDecoder({ lines: 'none' }))
      inner.reset()
      inner.feed(outer.bytes, outer.args[4], outer.args[5])
      if (inner.next() !== RESP.COMMAND || !inner.atBoundary) return undefined
      if (!RreplayUnwrapper.wraps(inner)) return inner
      outer = inner
    }
    return undefined
  }
}

/** Argument 3. */
function databaseOf(command: CommandDecoder): number {
  const text = command.arg(3).toString('latin1')
  return /^\d{1,9}$/.test(text) ? Number(text) : -1
}
