/** The master that a target replicates from for one load: listens, gives it the dump, and waits until
 * it has all of it. */
import {
  AbortedError,
  LinkError,
  ProtocolError,
  TargetError,
  type RrepError,
} from '../../../errors.js'
import type { ControlClient } from '../../../net/control.js'
import { keyspaceOf, type InfoFields } from '../../../net/info.js'
import { sleep } from '../../../net/waiting.js'
import type { ServerKind } from '../../../servers/rdb-version.js'
import { DEFAULT_REPLICA_LIMITS } from '../../../serving/limits.js'
import { Master } from '../../../serving/master.js'
import { PipedOrigin } from '../../../serving/origin/piped-origin.js'
import type { PipedSnapshot } from '../../../serving/origin/piped-snapshot.js'
import { replidOfLoad } from '../../../target/replica/once-password.js'
import type { Fitness } from './fitness.js'

const LOOK_MS = 25
/** A target that loads a large value takes nothing meanwhile. */
const PATIENCE_MS = 600_000

export interface LoadMasterOptions {
  readonly fitness: Fitness
  readonly password: string
  readonly target: ServerKind
  /** So often the target may ask for all of it. */
  readonly attempts: number
  /** Resolves when all was written to the snapshot; rejects with what the source has, and then nothing
   * helps. */
  readonly write: (snapshot: PipedSnapshot) => Promise<void>
}

export class LoadMaster {
  readonly port: number
  readonly #master: Master
  readonly #replid: string
  readonly #state: LoadState

  static async listen(options: LoadMasterOptions): Promise<LoadMaster> {
    const state = new LoadState(options)
    const replid = replidOfLoad(options.password)
    const origin = new PipedOrigin({
      replid,
      writer: options.target,
      write: (snapshot) => state.begin(snapshot),
    })
    const master = new Master({
      origin,
      password: options.password,
      tls: options.fitness.tls && { ...options.fitness.tls },
      limits: DEFAULT_REPLICA_LIMITS,
      timeoutMs: PATIENCE_MS,
      maxConnections: 16,
      connectionsPerSecond: 20,
      probeReplicas: false,
      assumedReplica: options.target,
      onEvent: (event) => {
        if (event.event === 'replica-refused') {
          state.fail(
            new ProtocolError('ERR_VIA_REPLICA', `the target was refused: ${event.reason}`),
          )
        }
      },
    })
    const { host, port } = options.fitness.listen
    const address = await master.listen(host, port)
    return new LoadMaster(master, origin, address.port, replid, state)
  }

  readonly #origin: PipedOrigin

  private constructor(
    master: Master,
    origin: PipedOrigin,
    port: number,
    replid: string,
    state: LoadState,
  ) {
    this.#master = master
    this.#origin = origin
    this.port = port
    this.#replid = replid
    this.#state = state
  }

  /** Until the target has all of it. Resolves to its keys by db, which nothing changes while it is a
   * replica. */
  async untilLoaded(
    control: ControlClient,
    {
      runId,
      timeoutMs,
      signal,
    }: { runId: string | undefined; timeoutMs: number; signal: AbortSignal | undefined },
  ): Promise<ReadonlyMap<number, number>> {
    const fromMs = performance.now()
    const stop = new AbortController()
    // A server that loads a large value answers nothing for a while.
    const gone = aborted(signal, stop.signal)
    try {
      for (;;) {
        if (this.#state.failure !== undefined) throw this.#state.failure
        const info = await Promise.race([control.info(), gone])
        refuseOther(info, runId)
        if (this.#state.isWritten && isLoaded(info, this.#replid)) return keyspaceOf(info)
        if (!this.#state.isBegun && performance.now() - fromMs > timeoutMs) throw this.#notReached()
        await sleep(LOOK_MS, signal)
      }
    } finally {
      stop.abort()
    }
  }

  async close(): Promise<void> {
    await this.#master.close()
    await this.#origin.close()
  }

  #notReached(): RrepError {
    const { connections, refusedConnections } = this.#master.stats
    return new LinkError(
      'ERR_TIMEOUT',
      connections + refusedConnections === 0
        ? `the target does not reach this machine at port ${this.port}`
        : 'the target connects, and asks for nothing: does it trust the certificate?',
      { hint: 'say where it reaches this machine: `listen`' },
    )
  }
}

/** How far it has come. */
class LoadState {
  failure: Error | undefined
  isBegun = false
  isWritten = false
  readonly #options: LoadMasterOptions
  #attempts = 0

  constructor(options: LoadMasterOptions) {
    this.#options = options
  }

  begin(snapshot: PipedSnapshot): void {
    this.isBegun = true
    this.isWritten = false
    this.#attempts += 1
    if (this.#attempts > this.#options.attempts) {
      const error = new LinkError('ERR_LINK_LOST', 'the target lost its link to us each time')
      this.fail(error)
      snapshot.fail(error)
      return
    }
    void this.#write(snapshot)
  }

  fail(error: Error): void {
    this.failure ??= error
  }

  async #write(snapshot: PipedSnapshot): Promise<void> {
    try {
      await this.#options.write(snapshot)
      snapshot.complete()
      this.isWritten = snapshot.state === 'complete'
    } catch (error) {
      // The replica went away, and comes again; what else goes wrong does so each time.
      if (snapshot.state === 'failed') return
      snapshot.fail(error as Error)
      this.fail(error as Error)
    }
  }
}

function isLoaded(info: InfoFields, replid: string): boolean {
  return info.get('master_link_status') === 'up' && info.get('master_replid') === replid
}

/** Restarted, or somebody has made it a master meanwhile. */
function refuseOther(info: InfoFields, runId: string | undefined): void {
  if (info.get('run_id') !== runId) {
    throw new TargetError(
      'ERR_TARGET_RESTARTED',
      'the target was restarted in the middle of the load',
    )
  }
  if (info.get('role') !== 'slave') {
    throw new TargetError('ERR_TARGET_IN_USE', 'somebody has made the target a master meanwhile')
  }
}

/** Rejects when the signal says so, until the other one does. */
function aborted(signal: AbortSignal | undefined, until: AbortSignal): Promise<never> {
  const told = new Promise<never>((_, reject) => {
    if (signal?.aborted === true) reject(new AbortedError())
    signal?.addEventListener('abort', () => reject(new AbortedError()), { signal: until })
  })
  // Nobody may be waiting for it just then.
  told.catch(() => undefined)
  return told
}
