/** What each of several shards says, as one key space has it. */
import { copyArg } from '../../../../resp/command-args.js'
import { isArg } from '../../../../resp/command-table.js'
import { CommandDecoder, RESP } from '../../../../resp/decoder.js'
import { CommandEncoder } from '../../../../resp/encoder.js'

/** Each shard says of its functions what the others say of theirs, and of keys that came what is only so
 * for a key that is not there. */
export class LibraryWatch {
  readonly #deleted = new Set<string>()
  readonly #out = new CommandEncoder(1 << 12)
  readonly #again = new CommandDecoder({ lines: 'none' })

  /** Undefined: another shard has said it already. */
  asTold(command: CommandDecoder): CommandDecoder | undefined {
    if (isArg(command, 0, 'RESTORE-ASKING')) return this.#withReplace(command, 4, command.argc)
    if (!isArg(command, 0, 'FUNCTION') || command.argc < 2) return command
    if (isArg(command, 1, 'LOAD') && command.argc > 2) {
      this.#deleted.clear()
      return this.#withReplace(command, 2, 2)
    }
    if (isArg(command, 1, 'DELETE') && command.argc > 2) {
      const name = command.arg(2).toString('latin1')
      if (this.#deleted.has(name)) return undefined
      this.#deleted.add(name)
      return command
    }
    this.#deleted.clear()
    return command
  }

  /** @param from where the word may stand already; `at`: where it goes */
  #withReplace(command: CommandDecoder, from: number, at: number): CommandDecoder {
    for (let i = from; i < command.argc; i += 1) if (isArg(command, i, 'REPLACE')) return command
    const out = this.#out
    out.reset()
    out.begin(command.argc + 1)
    for (let i = 0; i < command.argc; i += 1) {
      if (i === at) out.ascii('REPLACE')
      copyArg(out, command, i)
    }
    if (at === command.argc) out.ascii('REPLACE')
    this.#again.reset()
    this.#again.feed(out.bytes, 0, out.length)
    return this.#again.next() === RESP.COMMAND ? this.#again : command
  }
}
