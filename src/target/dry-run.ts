/** A stream's target that takes everything and sends nothing: `--dry-run`. */
import type { Ledger } from './ledger.js'
import { StreamWriter } from './stream/stream-writer.js'

/** Batches are made as for a real target, counted, and thrown away. */
export class DryStreamWriter extends StreamWriter {
  readonly #ledger: Ledger

  constructor(ledger: Ledger) {
    super({
      settings: {
        address: {
          transport: 'tcp',
          host: '',
          port: 0,
          socketPath: undefined,
          db: 0,
          username: undefined,
          password: undefined,
        },
        timeoutMs: 0,
      },
      clientName: '',
      checkpointKey: new Uint8Array(),
      importSource: false,
      retries: 0,
      ledger,
    })
    this.#ledger = ledger
  }

  override open(): Promise<void> {
    return Promise.resolve()
  }

  override seal(): void {
    this.#ledger.commands.written += this.current.sourceCommands
    this.appliedReplOffset = this.current.nextReplOffset
    this.appliedDb = this.current.sourceDb
    const { nextReplOffset, sourceDb } = this.current
    this.current.reset()
    this.current.nextReplOffset = nextReplOffset
    this.current.sourceDb = sourceDb
  }

  override flush(): Promise<void> {
    return Promise.resolve()
  }

  override deleteCheckpoint(): Promise<void> {
    return Promise.resolve()
  }
}
