/**
 * `replay --via-replica`: the fastest way into an empty server. The target replicates from a master of
 * ours for the load, which makes the dump that it wants while it is sent, and is a master again at the
 * end, with the settings that it had:
 *
 *   record on disk ─▶ masterauth, REPLICAOF ─▶ all of it is there ─▶ REPLICAOF NO ONE, settings ─▶ record
 *   (load-record.ts)                           (its replid says so)                               removed
 *
 * Whatever breaks in between, the target is made a master again: by this run, and where that is killed
 * by the next one, or by `replay --finish`.
 */
import { formatSize } from '../../../bytes/figures-text.js'
import { AbortedError, TargetError, UsageError } from '../../../errors.js'
import { ControlClient } from '../../../net/control.js'
import type { InfoFields } from '../../../net/info.js'
import { untilOpen } from '../../../net/waiting.js'
import type { ServerSettings } from '../../../net/server-settings.js'
import { keepRecord } from '../../../target/replica/load-record.js'
import { makeOncePassword } from '../../../target/replica/once-password.js'
import { atDb0, dataOf, makeMaster } from '../../../target/replica/put-right.js'
import { readReplicaSettings, setForLoad } from '../../../target/replica/replica-settings.js'
import { isReadOnce } from '../checks.js'
import { keepInput } from '../kept-input.js'
import type { ReplayOutcome } from '../options.js'
import { closeParts, openParts } from '../parts.js'
import type { ReplaySession } from '../session.js'
import { checkParts } from '../source-check.js'
import { DumpWriter, kindOf, type DumpSource } from './dump-writer.js'
import { requireFit, type Fitness } from './fitness.js'
import { stateDirOf } from './left.js'
import { LoadMaster } from './load-master.js'
import { isVouched } from './vouch.js'

const NOT_EMPTY = 'the target is not empty, and a load by replication replaces all that it holds'

export async function replayViaReplica(session: ReplaySession): Promise<ReplayOutcome> {
  const { options } = session
  const { source, signal } = options
  if (source.kind === 'server') throw new UsageError('not a file')
  await session.meetTarget()
  const control = await ControlClient.open(patient(options.target))
  // What is read once only is kept: the target may ask for it again.
  const kept = isReadOnce(source) ? await keepInput(source, options) : undefined
  try {
    const stored: DumpSource = kept === undefined ? source : { kind: 'file', path: kept.path }
    const fitness = await requireFit(control, session.facts, options.listen)
    const writer = new DumpWriter(session, stored)
    await writer.requireModules()
    if (session.isDry) {
      await writer.writeNowhere()
    } else {
      await requireEmpty(session, control, stored)
      const isDiskless = await isVouched(stored, signal)
      await new Load(session, control, fitness, writer).run(isDiskless)
    }
    return { replOffset: undefined, stopped: false }
  } finally {
    control.close()
    kept?.remove()
  }
}

/** A server that loads answers when it comes to it. */
function patient(server: ServerSettings): ServerSettings {
  return { ...atDb0(server), timeoutMs: Math.max(server.timeoutMs, 600_000) }
}

/** Deletes what the target holds where that is meant, once the source is known to be whole. */
async function requireEmpty(
  session: ReplaySession,
  control: ControlClient,
  source: DumpSource,
): Promise<void> {
  const libraries = await control.call('FUNCTION', 'LIST').catch(() => [])
  const hasFunctions = Array.isArray(libraries) && libraries.length > 0
  if (session.targetWasEmpty && !hasFunctions) return
  if (!session.isToBeEmptied) {
    throw new TargetError('ERR_TARGET_CONFLICT', NOT_EMPTY, {
      hint: 'mean it: `emptyTarget`; or leave out `viaReplica`',
    })
  }
  const { identity, signal } = session.options
  const opened = await openParts({ ...session.options, source })
  try {
    const onProgress = (done: number, total: number | undefined): void =>
      session.progress({ phase: 'check', done, total, unit: 'bytes' })
    await checkParts(opened.parts, { moment: opened.moment, identity, signal, onProgress })
  } finally {
    closeParts(opened.parts)
  }
  await session.emptyTarget()
}

class Load {
  readonly #session: ReplaySession
  readonly #control: ControlClient
  readonly #fitness: Fitness
  readonly #writer: DumpWriter

  constructor(
    session: ReplaySession,
    control: ControlClient,
    fitness: Fitness,
    writer: DumpWriter,
  ) {
    this.#session = session
    this.#control = control
    this.#fitness = fitness
    this.#writer = writer
  }

  /** @param isDiskless the target may load from the line: no damage will meet it */
  async run(isDiskless: boolean): Promise<void> {
    const { options, facts, retries } = this.#session
    const { before, runId } = this.#fitness
    const password = makeOncePassword(before)
    const record = keepRecord(stateDirOf(options), { target: facts.name, password, before })
    let isChanged = false
    let master: LoadMaster | undefined
    try {
      master = await LoadMaster.listen({
        fitness: this.#fitness,
        password,
        target: kindOf(facts),
        write: (snapshot) => this.#writer.write(snapshot),
        attempts: retries + 1,
      })
      isChanged = true
      await setForLoad(this.#control, before, password, isDiskless)
      await this.#control.call('SLAVEOF', this.#fitness.announcedHost, master.port)
      const from = `${this.#fitness.announcedHost}:${master.port}`
      this.#session.event({ event: 'replicates', from })
      const keys = await master.untilLoaded(this.#control, {
        runId,
        timeoutMs: options.target.timeoutMs,
        signal: options.signal,
      })
      this.#writer.confirm(keys)
      const after = await makeMaster(this.#control, await this.#control.info(), before)
      isChanged = false
      this.#tellMemory(after)
      this.#session.event({ event: 'loaded', keys: this.#session.ledger.totals.written })
    } catch (error) {
      // First: what loads from the line hears that no more comes.
      await master?.close()
      if (isChanged && (await this.#breakOff(password, error))) isChanged = false
      throw error
    } finally {
      await master?.close()
      // What could not be put right is put right by the next run, from the record.
      if (!isChanged) record.remove()
    }
  }

  /** A replica takes more than its limit, a master then throws out or refuses. */
  #tellMemory(info: InfoFields): void {
    const limit = Number(info.get('maxmemory') ?? 0)
    const used = Number(info.get('used_memory') ?? 0)
    if (limit === 0 || used <= limit) return
    this.#session.event({
      event: 'warning',
      message:
        `the target holds more than its maxmemory (${formatSize(used)} of ${formatSize(limit)}): by ` +
        `${info.get('maxmemory_policy') ?? 'its policy'} it throws keys out now, or takes no writes`,
    })
  }

  /** Makes the target a master again, and says what it holds. False: it cannot be reached, and the next
   * run does that. */
  async #breakOff(password: string, cause: unknown): Promise<boolean> {
    const { options, ledger, retries } = this.#session
    const why = cause instanceof AbortedError ? 'interrupted' : 'the load broke off'
    let control: ControlClient | undefined
    try {
      this.#control.close()
      // It may be loading what it has, and takes no command before it is through.
      control = await untilOpen(
        async () => await ControlClient.open(patient(options.target)),
        cause instanceof AbortedError ? 1 : retries,
      )
      const info = await control.info()
      // A restart has put the settings back, and brought its own data.
      const isOurs = (await readReplicaSettings(control))?.masterauth === password
      const after = isOurs ? await makeMaster(control, info, this.#fitness.before) : info
      const { data: found, keys } = dataOf(after, password)
      const isCounted = (cause as Partial<TargetError>).code === 'ERR_LOAD_INCOMPLETE'
      const data = found === 'whole' && isCounted ? 'part' : found
      if (data === 'whole') ledger.confirmKeys()
      this.#session.event({ event: 'put-right', why, data, keys, isIncomplete: false })
      return true
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      this.#session.event({
        event: 'warning',
        message:
          `${why}, and the target could not be made a master again (${message}): the next ` +
          'replay into it does that, or `finishReplay()`',
      })
      return false
    } finally {
      control?.close()
    }
  }
}
