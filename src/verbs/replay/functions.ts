/**
 * Functions and scripts of a snapshot, into the target: by the ordered connection, before the keys
 * that follow them. What the target refuses stands in the ledger.
 */
import { Buffer } from 'node:buffer'
import { printable } from '../../bytes/printable.js'
import { ReplyError } from '../../target/server/reply-reader.js'
import type { SnapshotLoader } from '../../target/load/snapshot-loader.js'
import type { StreamTarget } from '../../target/stream/stream-target.js'
import { StreamWriter } from '../../target/stream/stream-writer.js'
import { isTransient } from '../../target/server/target-connection.js'
import type { ServerSettings } from '../../net/server-settings.js'
import { backoffMs, sleep } from '../../net/waiting.js'
import type { Ledger } from '../../target/ledger.js'
import type { TargetFacts } from '../../target/server/target-probe.js'
import type { ReplayCall } from './options.js'

/** A function refused for reasons that pass is tried so often, over about half a minute. */
const MAX_TRANSIENT_ATTEMPTS = 10

/** What is needed of the run that they belong to. */
export interface FunctionLoadsHost {
  readonly options: ReplayCall
  readonly targets: readonly ServerSettings[]
  readonly ledger: Ledger
  readonly facts: TargetFacts
  readonly isDry: boolean
  readonly owner: string
  readonly checkpointKey: Buffer
  readonly retries: number
  readonly streamWriter: Pick<StreamTarget, 'call'> | undefined
}

export class FunctionLoads {
  readonly #session: FunctionLoadsHost
  /** By name, those that this run has loaded: each shard of a cluster brings the same. */
  readonly #loaded = new Map<string, Buffer>()

  constructor(session: FunctionLoadsHost) {
    this.#session = session
  }

  /** Those that the loader has met since the last call. */
  async load(loader: SnapshotLoader): Promise<void> {
    const { isDry, ledger } = this.#session
    for (const code of loader.functions.splice(0)) await this.#loadFunction(code)
    for (const code of loader.scripts.splice(0)) {
      if (isDry) continue
      const reply = await this.#call('SCRIPT', 'LOAD', code)
      ledger.note(reply instanceof ReplyError ? 'scripts refused' : 'scripts loaded')
    }
  }

  async #loadFunction(code: Buffer): Promise<void> {
    const session = this.#session
    const { ledger, options } = session
    const onConflict = options.onConflict ?? 'fail'
    const counts = ledger.functions
    counts.read += 1
    if (!session.facts.capabilities.functions) {
      counts.failed += 1
      ledger.name({
        db: 0,
        key: functionName(code),
        type: 'function',
        reason: 'the target has no functions (7.0)',
      })
      return
    }
    if (session.isDry) {
      counts.written += 1
      return
    }
    const replace = onConflict === 'replace' || options.source.kind === 'server'
    const name = functionName(code)
    if (this.#loaded.get(name)?.equals(code) === true) {
      counts.written += 1
      return
    }
    const reply = await this.#call('FUNCTION', 'LOAD', ...(replace ? ['REPLACE'] : []), code)
    if (!(reply instanceof ReplyError)) {
      counts.written += 1
      this.#loaded.set(name, code)
    } else if (onConflict === 'skip' && reply.text.includes('already exists')) {
      counts.skipped += 1
    } else {
      counts.failed += 1
      ledger.name({
        db: 0,
        key: functionName(code),
        type: 'function',
        command: 'FUNCTION LOAD',
        reason: printable(Buffer.from(reply.text)),
      })
    }
  }

  /** Answers that pass by themselves are waited out, as for keys. */
  async #call(...args: readonly (string | Uint8Array)[]): Promise<unknown> {
    for (let attempt = 1; ; attempt += 1) {
      const reply = await this.#callOnce(...args)
      const passes = reply instanceof ReplyError && isTransient(reply.text)
      if (!passes || attempt >= MAX_TRANSIENT_ATTEMPTS) return reply
      await sleep(backoffMs(attempt), this.#session.options.signal)
    }
  }

  /** On the ordered connection; a replay of keys alone has none and opens one for this at each server. Of
   * several the first that refuses is told. */
  async #callOnce(...args: readonly (string | Uint8Array)[]): Promise<unknown> {
    const { streamWriter, targets } = this.#session
    if (streamWriter !== undefined) return await streamWriter.call(...args)
    const replies: unknown[] = []
    for (const server of targets) replies.push(await this.#callAt(server, args))
    return replies.find((reply) => reply instanceof ReplyError) ?? replies[0]
  }

  async #callAt(
    settings: ServerSettings,
    args: readonly (string | Uint8Array)[],
  ): Promise<unknown> {
    const { options, owner, checkpointKey, retries, ledger } = this.#session
    const writer = new StreamWriter({
      settings,
      clientName: `rrep-${owner}:functions`,
      checkpointKey,
      importSource: false,
      retries,
      ledger,
      signal: options.signal,
    })
    try {
      await writer.open()
      return await writer.connection.call(...args)
    } finally {
      writer.close()
    }
  }
}

function functionName(code: Buffer): string {
  return printable(code, 0, Math.max(0, code.indexOf(10)), 100)
}
