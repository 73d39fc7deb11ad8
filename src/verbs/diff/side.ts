/**
 * One side of a comparison, as an RDB file that can be read as often as need be: the file named,
 * or a temporary one with what a server holds. Commands behind a snapshot are applied in a scratch
 * server (built-state.ts), and what it then holds is taken as from any server.
 */
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { AuthError, ProtocolError, UsageError } from '../../errors.js'
import type { ServerSettings } from '../../net/server-settings.js'
import type { WithLane } from '../../rdb/lane/lane.js'
import { RdbParser } from '../../rdb/parser.js'
import type { RdbVisitor } from '../../rdb/visitor.js'
import { isClusterArchive } from '../../archive/cluster-record.js'
import { buildState } from '../keys/built-state.js'
import { buildClusterState } from '../keys/cluster-state.js'
import type { DiffProgress, DiffSideResult, ServerWay } from './options.js'
import type { Until } from '../../archive/moment.js'
import { checkMomentOfDump, hasPreamble } from '../../source/dump-head.js'
import { openRdbInput, pumpRdb } from '../../source/rdb-input.js'
import { nameOfSource, pathOf, type Source, type StoredSource } from '../../source/classify.js'
import { isShardDirectory } from '../../source/shards.js'
import { openInput, type OpenInputOptions } from '../../source/source.js'
import { scanToRdb } from '../../source/scan-server.js'
import { fetchSource, isFarArchive } from '../../source/fetched-archive.js'
import { isPipe, storePipe, storeSource } from '../../source/stored-pipe.js'
import type { RetryEvent, WarningEvent } from '../../source/progress.js'
import type { ClusterSeeds } from '../../topology/cluster.js'
import { syncCluster } from '../sync/cluster.js'
import { sync } from '../sync/run.js'
import type { DigestJob, PieceSizes } from '../threads/options.js'
import { canReadInPieces, readInPieces } from '../threads/read-pieces.js'
import { statOf } from '../../disk/stat.js'

export interface SideOptions {
  until?: Until
  retries?: number | undefined
  stdin?: Readable | undefined
  identity?: string | undefined
  by?: ServerWay | undefined
  withServer?: string | undefined
  signal?: AbortSignal | undefined
  onProgress?: ((progress: DiffProgress) => void) | undefined
  onEvent?: ((event: WarningEvent | RetryEvent) => void) | undefined
}

export interface SumThreads {
  readonly count: number
  readonly sizes: PieceSizes | undefined
  readonly job: DigestJob
  /** Of this thread, which reads the rest into `buffer`. */
  readonly own: RdbVisitor & WithLane
  readonly buffer: Buffer
  readonly add: (sums: Uint8Array) => void
}

export class OpenSide {
  readonly result: DiffSideResult
  /** Times from here on carry it as a constant; undefined: none do. */
  shiftMs: number | undefined
  readonly #side: 'a' | 'b'
  readonly #options: SideOptions
  readonly #directory: string
  /** Where the RDB is. */
  #path: string

  private constructor(side: 'a' | 'b', source: Source, options: SideOptions, directory: string) {
    this.#side = side
    this.#options = options
    this.#directory = directory
    this.#path = source.kind === 'server' || source.kind === 'cluster' ? '' : pathOf(source)
    const name = nameOfSource(source)
    const by =
      source.kind === 'server'
        ? (options.by ?? 'sync')
        : source.kind === 'cluster'
          ? 'sync'
          : 'file'
    this.result = { name, keys: 0, rdbVersion: 0, by }
  }

  /** Takes what a server holds, and applies commands; a file that is read as it is waits. */
  static async open(
    side: 'a' | 'b',
    source: Source,
    options: SideOptions,
    directory: string,
  ): Promise<OpenSide> {
    const opened = new OpenSide(side, source, options, directory)
    if (source.kind === 'server') await opened.#take(source.server)
    else if (source.kind === 'cluster') await opened.#takeAll(source.seeds)
    else await opened.#look(source)
    return opened
  }

  /** Everything once through the visitor, by way of `buffer` (see PumpRdbOptions). Commands found
   * behind the snapshot are applied first, and all is read again: `begin` is called before each
   * reading. */
  async read(
    phase: 'read' | 'compare' | 'values',
    buffer: Buffer | undefined,
    begin: () => RdbVisitor & WithLane,
  ): Promise<void> {
    if (await this.#readOnce(phase, buffer, begin())) return
    await this.#build()
    await this.#readOnce(phase, buffer, begin())
  }

  /** The same, each piece by one of several threads, whose sums are told; false: it cannot be read so,
   * or something is wrong in it, and what was told does not count. */
  async sum(threads: SumThreads): Promise<boolean> {
    const rdb = await openRdbInput(this.#path, this.#reading)
    try {
      if (rdb.increments.length > 0 || !canReadInPieces(rdb, threads.count)) return false
      const { signal } = this.#options
      const read = await readInPieces(
        rdb,
        {
          threads: threads.count,
          sizes: threads.sizes,
          job: threads.job,
          parser: { file: this.result.name },
          signal,
          onProgress: (bytes) => this.#progress('read', bytes, rdb.input.sizeBytes),
          bytes: () => undefined,
          tally: () => undefined,
          rest: () => ({ visitor: threads.own, buffer: threads.buffer }),
          drain: () => undefined,
        },
        () => undefined,
      )
      if (read.sums === undefined || read.trailingBytes > 0) return false
      this.result.rdbVersion = read.summary.version
      for (const sums of read.sums) threads.add(sums)
      return true
    } finally {
      rdb.close()
    }
  }

  /** Once more, with times as they are: behind `read`, for who needs no other digests. */
  async readAgain(visitor: RdbVisitor & WithLane): Promise<void> {
    await this.#readOnce('stat', undefined, visitor, this.shiftMs)
  }

  /** False: there are commands behind the snapshot. */
  async #readOnce(
    phase: DiffProgress['phase'],
    buffer: Buffer | undefined,
    visitor: RdbVisitor & WithLane,
    timeShiftMs = 0,
  ): Promise<boolean> {
    const { signal } = this.#options
    const rdb = await openRdbInput(this.#path, this.#reading)
    try {
      if (rdb.increments.length > 0) return false
      const parser = new RdbParser(visitor, {
        file: this.result.name,
        lane: visitor.lane,
        timeShiftMs,
      })
      const { summary, trailingBytes } = await pumpRdb(rdb, parser, {
        signal,
        buffer,
        onProgress: (bytes) => this.#progress(phase, bytes, rdb.input.sizeBytes),
      })
      this.result.rdbVersion = summary.version
      return trailingBytes === 0
    } finally {
      rdb.close()
    }
  }

  async #look(source: StoredSource): Promise<void> {
    const { until } = this.#options
    // All is read twice, which a pipe cannot be.
    if (source.kind === 'stdin') {
      const { stdin } = this.#options
      if (stdin === undefined) throw new UsageError('there is no standard input to read')
      await this.#copy(stdin)
    } else if (isFarArchive(source)) {
      const path = this.#temporary('archive')
      await fetchSource(source.path, until, path, this.#options.signal)
      this.#path = path
    } else if (isPipe(source.path)) {
      const path = this.#temporary('in')
      await storeSource(source.path, path, this.result.name, this.#reading)
      this.#path = path
    }
    if (isClusterArchive(this.#path)) {
      await this.#buildCluster()
      return
    }
    if (until !== undefined && (await this.#isDumpOf(until))) return
    if (until !== undefined || (await this.#isMoreThanSnapshot())) await this.#build()
  }

  /** A dump by itself; throws where it is younger than that. */
  async #isDumpOf(until: Until): Promise<boolean> {
    const isSet = statOf(this.#path)?.isDirectory() === true && !isShardDirectory(this.#path)
    if (isSet) return false
    const input = await openInput(this.#path, this.#reading)
    input.close()
    if (input.kind !== 'rdb' || hasPreamble(input.head)) return false
    checkMomentOfDump(input.head, this.result.name, until)
    return true
  }

  async #copy(input: Readable): Promise<void> {
    const path = this.#temporary('in')
    await storePipe(input, path, this.result.name, this.#options.signal)
    this.#path = path
  }

  get #reading(): OpenInputOptions {
    const { identity, signal } = this.#options
    return { identity, signal }
  }

  /** As far as that can be told without reading it. */
  async #isMoreThanSnapshot(): Promise<boolean> {
    try {
      const rdb = await openRdbInput(this.#path, this.#reading)
      rdb.close()
      return rdb.increments.length > 0
    } catch (error) {
      if (error instanceof ProtocolError && /^ERR_NO_(RDB|BASE)$/.test(error.code)) return true
      throw error
    }
  }

  async #build(): Promise<void> {
    const { until, withServer, signal, onEvent } = this.#options
    const { name } = this.result
    const state = await buildState({
      path: this.#path,
      name,
      until,
      withServer,
      signal,
      onProgress: ({ done, total }) => this.#progress('build', done, total),
      onEvent: ({ message }) => onEvent?.({ event: 'warning', message: `${name}: ${message}` }),
    })
    try {
      const { complete, ledger } = state
      this.#path = this.#temporary('built')
      await this.#sync(state.server.settings, 0)
      this.shiftMs = state.shiftMs === 0 ? undefined : state.shiftMs
      this.result.by = 'replay'
      this.result.built = { server: state.server.description, complete, ledger }
      if (state.replOffset !== undefined) this.result.replOffset = state.replOffset
    } finally {
      await state.server.stop()
    }
  }

  async #buildCluster(): Promise<void> {
    const { until, withServer, signal, onEvent } = this.#options
    const { name } = this.result
    const output = this.#temporary('shards')
    const { server, complete, ledger, shiftMs } = await buildClusterState({
      path: this.#path,
      name,
      output,
      until,
      withServer,
      signal,
      onProgress: ({ done, total }) => this.#progress('build', done, total),
      onEvent: ({ message }) => onEvent?.({ event: 'warning', message: `${name}: ${message}` }),
    })
    this.#path = output
    this.shiftMs = shiftMs === 0 ? undefined : shiftMs
    this.result.by = 'replay'
    this.result.built = { server, complete, ledger }
  }

  async #takeAll(seeds: ClusterSeeds): Promise<void> {
    this.#path = this.#temporary('shards')
    await syncCluster(seeds, {
      output: this.#path,
      retries: this.#options.retries,
      signal: this.#options.signal,
      onEvent: this.#options.onEvent,
      onProgress: ({ done, total }) => this.#progress('sync', done, total),
    })
  }

  async #take(server: ServerSettings): Promise<void> {
    this.#path = this.#temporary('rdb')
    if (this.result.by === 'scan') {
      await this.#scan(server)
      return
    }
    try {
      const { replid, replOffset } = await this.#sync(server, this.#options.retries)
      this.result.replid = replid
      this.result.replOffset = replOffset
    } catch (error) {
      if (this.#options.by !== undefined || !isRefusal(error)) throw error
      const message = `${error.message}: going on by SCAN and DUMP, key after key while the server moves`
      this.#options.onEvent?.({ event: 'warning', message })
      this.result.by = 'scan'
      await this.#scan(server)
    }
  }

  async #sync(
    server: ServerSettings,
    retries: number | undefined,
  ): Promise<{ replid: string | undefined; replOffset: number | undefined }> {
    return await sync(server, {
      output: this.#path,
      retries,
      signal: this.#options.signal,
      onEvent: this.#options.onEvent,
      onProgress: ({ done, total }) => this.#progress('sync', done, total),
    })
  }

  async #scan(server: ServerSettings): Promise<void> {
    await scanToRdb({
      server,
      path: this.#path,
      signal: this.#options.signal,
      onProgress: (bytes) => this.#progress('scan', bytes, undefined),
    })
  }

  #temporary(what: string): string {
    return join(this.#directory, `${this.#side}.${what}`)
  }

  #progress(phase: DiffProgress['phase'], done: number, total: number | undefined): void {
    const side = this.#side
    this.#options.onProgress?.({ phase, side, done, total, unit: 'bytes' })
  }
}

/** The server will not replicate to us, now or later. */
function isRefusal(error: unknown): error is AuthError | ProtocolError {
  if (error instanceof AuthError) return error.code === 'ERR_NOPERM'
  return error instanceof ProtocolError && /^ERR_(NOT_SUPPORTED|REFUSED)$/.test(error.code)
}
