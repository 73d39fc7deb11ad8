/** Makes the dump that a target loads: filters, other names and transforms on the way, in a form that
 * it knows. Each time anew, since a target that lost its link asks for all of it again. */
import { Buffer } from 'node:buffer'
import { Writable } from 'node:stream'
import { printable } from '../../../bytes/printable.js'
import { TargetError } from '../../../errors.js'
import { lossText } from '../../../target/loss-text.js'
import type { Loss } from '../../../servers/loss.js'
import type { PipedSnapshot } from '../../../serving/origin/piped-snapshot.js'
import type { StoredSource } from '../../../source/classify.js'
import { exportKeys } from '../../export/run.js'
import type { ExportOptions, ExportResult } from '../../export/options.js'
import { isBuiltIn, providesType } from '../../../servers/module-types.js'
import type { ServerFamily } from '../../../servers/version.js'
import type { TargetFacts } from '../../../target/server/target-probe.js'
import type { ReplaySession } from '../session.js'
import { unfit } from './fitness.js'
import { LoadTally } from './tally.js'

const MAX_NAMED = 5

export type DumpSource = StoredSource

export class DumpWriter {
  readonly #session: ReplaySession
  readonly #source: DumpSource
  #tally: LoadTally | undefined
  #result: ExportResult | undefined

  constructor(session: ReplaySession, source: DumpSource) {
    this.#session = session
    this.#source = source
  }

  /** Resolves when all was written; rejects with what exportKeys rejects with. */
  async write(snapshot: PipedSnapshot): Promise<void> {
    await this.#export({ output: '', sink: snapshot }, (name) => isHeld(this.#session.facts, name))
  }

  /** What would be. */
  async writeNowhere(): Promise<void> {
    await this.#export({ output: nowhere() }, (name) => isHeld(this.#session.facts, name))
    this.#book()
  }

  /** Rejects with ProtocolError where the target would end at a type of a module that it may lack. One
   * without modules of others is sent none of them. */
  async requireModules(): Promise<void> {
    const { modules, name } = this.#session.facts
    if (modules?.every(isBuiltIn) === true) return
    const missing = new Set<string>()
    await this.#export({ output: nowhere() }, (type) => {
      if (modules?.some((each) => providesType(each, type)) !== true) {
        missing.add(type)
      }
      return true
    })
    this.#session.ledger.forgetKeys()
    if (missing.size > 0) throw unfit(name, lackText([...missing], modules))
  }

  /** The target has these keys, by db: all that were sent, or the load is no load. */
  confirm(keys: ReadonlyMap<number, number>): void {
    const { sent } = this.#tally!
    for (const db of new Set([...sent.keys(), ...keys.keys()])) {
      const wanted = sent.get(db) ?? 0
      const found = keys.get(db) ?? 0
      if (wanted === found) continue
      throw new TargetError(
        'ERR_LOAD_INCOMPLETE',
        `db ${db} of the target has ${found} keys, and ${wanted} were sent`,
        { details: { db, found, wanted } },
      )
    }
    this.#book()
  }

  #book(): void {
    const { ledger } = this.#session
    const result = this.#result!
    ledger.confirmKeys()
    for (const [loss, count] of Object.entries(result.losses) as [Loss, number][]) {
      // Of whole values the ledger knows the keys.
      if (loss !== 'value' && loss !== 'stream' && loss !== 'disputed-length') {
        ledger.notHeld(lossText(loss), count)
      }
    }
    const lost = result.losses.function ?? 0
    ledger.functions.read = result.functions
    ledger.functions.written = result.functions - lost
    ledger.functions.failed = lost
    if (result.keysInConflict > 0) ledger.note('keys of one name twice', result.keysInConflict)
  }

  async #export(
    to: Pick<ExportOptions, 'output' | 'sink'>,
    hasModule: (type: string) => boolean,
  ): Promise<void> {
    const session = this.#session
    const { options, facts, ledger } = session
    // What was counted of an attempt that broke off is counted anew.
    ledger.forgetKeys()
    const tally = new LoadTally(ledger, session.mapping)
    this.#tally = tally
    this.#result = undefined
    this.#result = await exportKeys(this.#source, {
      ...to,
      format: 'rdb',
      target: kindOf(facts),
      filter: options.filter,
      mapDb: options.mapDb,
      rewriteKey: options.rewriteKey,
      transform: options.transform,
      until: options.until,
      withServer: options.withServer,
      identity: options.identity,
      signal: options.signal,
      loader: {
        databases: facts.databases,
        hasModule,
        tally,
      },
      onProgress: ({ done, total }) =>
        session.progress({ phase: 'load', done, total, unit: 'bytes' }),
      onEvent: ({ message }) => session.event({ event: 'warning', message }),
    })
  }
}

function nowhere(): Writable {
  return new Writable({ write: (_chunk, _encoding, done) => done() })
}

/** What is not known was refused before. */
function isHeld({ modules }: TargetFacts, type: string): boolean {
  return modules === undefined || modules.some((each) => providesType(each, type))
}

function lackText(types: readonly string[], modules: readonly string[] | undefined): string {
  const named = types.slice(0, MAX_NAMED)
  const rest = types.length > MAX_NAMED ? ` and ${types.length - MAX_NAMED} more` : ''
  const has =
    modules === undefined
      ? 'which modules it has is not told (MODULE LIST)'
      : `of its modules (${printable(Buffer.from(modules.join(', ')))}) none is known for that`
  return `the dump has data of the module types ${named.join(', ')}${rest}, at which it would end: ${has}`
}

/** The target as a server that a dump is for. */
export function kindOf({ capabilities: { family, version } }: TargetFacts): {
  family: ServerFamily
  version: string
} {
  const parts = [Math.floor(version / 10_000), Math.floor(version / 100) % 100, version % 100]
  return { family, version: parts.join('.') }
}
