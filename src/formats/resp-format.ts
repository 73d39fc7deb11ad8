/** Commands that rebuild the keys, for `redis-cli --pipe`: a rewrite without a server behind it. */
import type { OutputBuffer } from '../bytes/output-buffer.js'
import { CommandWriter } from '../rewrite/command-writer.js'
import { METHOD } from '../rewrite/key-plan.js'
import { KeyRewriter } from '../rewrite/key-rewriter.js'
import { capabilitiesOfWriter } from '../rewrite/writing-server.js'
import type { KeyFormat, KeyFormatCounts, KeyFormatRun, KeyWriter } from './key-format.js'

export const RESP: KeyFormat = {
  extensions: ['resp', 'aof'],
  isBinary: true,
  modules: 'payload',
  goesInPieces: true,
  functions: true,
  create: (run) => new RespWriter(run),
}

class RespWriter implements KeyWriter {
  readonly visitor: KeyRewriter
  readonly #out: OutputBuffer
  readonly #writer: CommandWriter
  #keys = 0

  constructor({ out, kernel, head, wanted, isFree, target }: KeyFormatRun) {
    this.#out = out
    this.#writer = new CommandWriter(out)
    this.visitor = new KeyRewriter({
      target: target ?? capabilitiesOfWriter(head),
      writer: this.#writer,
      restore: 'never',
      conflict: 'ignore',
      kernel,
      key: wanted,
      rows: isFree ? { kernel, taken: (keys) => (this.#keys += keys) } : undefined,
      keyDone: (_header, _stats, outcome) => {
        if (outcome.method !== METHOD.SKIP) this.#keys += 1
      },
    })
  }

  get counts(): KeyFormatCounts {
    const { functions, losses } = this.visitor
    const { commands } = this.#writer
    const keys = this.#keys
    return { keys, functions, commands, losses, inexactStrings: 0, unorderedValues: 0 }
  }

  get selectedDb(): number {
    return this.#writer.selectedDb
  }

  goOnIn(dbnum: number): void {
    this.#writer.selectedDb = dbnum
  }

  finish(): void {
    this.#out.flush()
  }
}
