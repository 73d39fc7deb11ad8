/**
 * The keys of any source at a moment, as an RDB that can be read: what `inspect`, `export` and
 * their kin open.
 *
 *   a dump                           itself
 *   a server                         its snapshot, taken first into a private temporary file
 *   an AOF or archive                the state that its commands come to, built in a scratch
 *                                    server; the base itself where no commands stand behind it
 *   a pipe with commands in it       written to a temporary file first: it is read twice
 *
 * Nothing of it stays: temporary files are gone when it is closed.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { AofParser } from '../../aof/aof-parser.js'
import { makeTemporaryDir } from '../../disk/temporary-dir.js'
import { FileError, ProtocolError, UsageError } from '../../errors.js'
import { formatServerAddress } from '../../net/address.js'
import { RdbParser } from '../../rdb/parser.js'
import { DEPTH } from '../../rdb/visitor.js'
import { isArg } from '../../resp/command-table.js'
import type { CommandDecoder } from '../../resp/decoder.js'
import type { ServerSettings } from '../../net/server-settings.js'
import { nameOfCluster, type ClusterSeeds } from '../../topology/cluster.js'
import { syncCluster } from '../sync/cluster.js'
import { pathOf, type Source } from '../../source/classify.js'
import type { Until } from '../../archive/moment.js'
import { checkMomentOfDump, hasPreamble } from '../../source/dump-head.js'
import { openRdbInput, pumpRdb, type RdbInput } from '../../source/rdb-input.js'
import type { Progress, RetryEvent, WarningEvent } from '../../source/progress.js'
import { fetchSource, isFarArchive } from '../../source/fetched-archive.js'
import { isShardDirectory } from '../../source/shards.js'
import { openInput, type ByteInput } from '../../source/source.js'
import { isPipe, storeInput } from '../../source/stored-pipe.js'
import type { LedgerReport } from '../../target/ledger.js'
import { sync } from '../sync/run.js'
import { isClusterArchive } from '../../archive/cluster-record.js'
import { buildState } from './built-state.js'
import { buildClusterState } from './cluster-state.js'
import { statOf } from '../../disk/stat.js'

export interface OpenKeysOptions {
  /** What `-` reads. */
  stdin?: Readable | undefined
  /** AOF and archive: the state of this moment. A dump must not be younger. Default: the end. */
  until?: Until
  /** AOF and archive: the snapshot in front alone; `commandsLeftOut` says what it leaves out. */
  baseOnly?: boolean | undefined
  /** The redis-server or valkey-server that commands are applied in. Default: that of PATH. */
  withServer?: string | undefined
  /** The file with the identity that opens what is encrypted with age. */
  identity?: string | undefined
  /** It will be opened again: what comes through a pipe is kept for that. */
  isReadTwice?: boolean | undefined
  /** A server: attempts after a failure that can pass. Default 5. */
  retries?: number | undefined
  signal?: AbortSignal | undefined
  onProgress?: ((progress: KeysProgress) => void) | undefined
  onEvent?: ((event: KeysEvent) => void) | undefined
}

/** Before the reading begins: a server's snapshot comes in (`sync`), or commands are applied in a
 * scratch server (`build`). */
export type KeysProgress = Progress<'sync' | 'build' | 'read'>
export type KeysEvent = WarningEvent | RetryEvent

export interface OpenKeys {
  readonly rdb: RdbInput
  /** What was named: a path, an address, `stdin`. */
  readonly name: string
  /** All times in the RDB carry it: an option of the parser. */
  readonly timeShiftMs: number
  /** Behind the snapshot that is read, and not part of it. */
  readonly commandsLeftOut: number
  /** Of a state that commands came to. */
  readonly built: BuiltFrom | undefined
  /** The same once more, from its begin. The caller closes it. Only with `isReadTwice`. */
  again(): Promise<RdbInput>
  close(): void
}

export interface BuiltFrom {
  server: string
  /** False: not everything could be applied; `ledger` says what. */
  complete: boolean
  ledger: LedgerReport
}

function nowOnly(name: string): UsageError {
  return new UsageError(`${name} is live: its state is that of now`, {
    hint: 'a moment, or the snapshot in front, is for AOFs and archives',
  })
}

/** Rejects with LinkError, AuthError, ProtocolError, InputError, FileError, UsageError, AbortedError. */
export async function openKeys(source: Source, options: OpenKeysOptions): Promise<OpenKeys> {
  const opening = new Opening(options)
  try {
    if (source.kind === 'server') return await opening.server(source.server)
    if (source.kind === 'cluster') return await opening.cluster(source.seeds)
    if (isFarArchive(source)) return await opening.farArchive(source.path)
    return await opening.file(pathOf(source))
  } catch (error) {
    opening.removeTemporary()
    throw error
  }
}

class Opening {
  readonly #options: OpenKeysOptions
  #temporaryDir: string | undefined

  constructor(options: OpenKeysOptions) {
    this.#options = options
  }

  async server(server: ServerSettings): Promise<OpenKeys> {
    const { until, baseOnly, retries } = this.#options
    const name = formatServerAddress(server.address)
    if (until !== undefined || baseOnly === true) throw nowOnly(name)
    const path = this.#temporary('snapshot.rdb')
    await this.#sync(server, path, retries)
    return await this.#read(path, name)
  }

  async cluster(seeds: ClusterSeeds): Promise<OpenKeys> {
    const { until, baseOnly, signal, retries, onEvent, onProgress } = this.#options
    const name = nameOfCluster(seeds)
    if (until !== undefined || baseOnly === true) throw nowOnly(name)
    const output = this.#temporary('shards')
    await syncCluster(seeds, {
      output,
      retries,
      signal,
      onEvent,
      onProgress: ({ done, total, unit }) => onProgress?.({ phase: 'sync', done, total, unit }),
    })
    return await this.#read(output, name)
  }

  async farArchive(path: string): Promise<OpenKeys> {
    const { until, signal } = this.#options
    const here = this.#temporary('archive')
    await fetchSource(path, until, here, signal)
    return await this.#set(here, path)
  }

  async file(path: string): Promise<OpenKeys> {
    const name = path === '-' ? 'stdin' : path
    const isDirectory = path !== '-' && statOf(path)?.isDirectory() === true
    if (isDirectory && isClusterArchive(path)) return await this.#clusterArchive(path, name)
    if (isDirectory && !isShardDirectory(path)) return await this.#set(path, name)
    const { stdin, identity, signal } = this.#options
    const input = await openInput(path, { stdin, identity, signal })
    if (input.kind === 'manifest') {
      input.close()
      return await this.#set(path, name)
    }
    const hasCommands = input.kind === 'aof' || hasPreamble(input.head)
    if (!hasCommands) {
      // One that can be read once only is the one that is read.
      if (isOnceOnly(path, input)) {
        if (this.#options.isReadTwice !== true) return this.#opened(path, input, name)
        this.#checkMoment(input.head, name, input)
        const copy = this.#temporary('input.rdb')
        await storeInput(input, copy, signal)
        return await this.#read(copy, name)
      }
      input.close()
      return await this.#read(path, name)
    }
    if (!isOnceOnly(path, input) && input.compression === 'none') {
      input.close()
      return await this.#aof(path, name)
    }
    const copy = this.#temporary('input.aof')
    await storeInput(input, copy, signal)
    return await this.#aof(copy, name)
  }

  /** A directory in multi-part form, or its manifest. */
  async #set(path: string, name: string): Promise<OpenKeys> {
    const { until, baseOnly, signal } = this.#options
    if (until !== undefined && baseOnly !== true) return await this.#build(path, name)
    let rdb: RdbInput
    try {
      rdb = await openRdbInput(path, { signal })
    } catch (error) {
      // All of it is commands.
      const isCommands =
        error instanceof ProtocolError && ['ERR_NO_BASE', 'ERR_NO_RDB'].includes(error.code)
      if (!isCommands || baseOnly === true) throw error
      return await this.#build(path, name)
    }
    let commands = 0
    for (const increment of rdb.increments) {
      commands += await countCommands(increment, 0, { all: baseOnly === true, signal })
      if (commands > 0 && baseOnly !== true) break
    }
    if (commands > 0 && baseOnly !== true) {
      rdb.close()
      return await this.#build(path, name)
    }
    return this.#result({ ...rdb, increments: [] }, name, { commandsLeftOut: commands })
  }

  /** The archives of all shards of a cluster, at one moment. */
  async #clusterArchive(path: string, name: string): Promise<OpenKeys> {
    const { until, baseOnly, withServer, signal, onProgress, onEvent } = this.#options
    if (baseOnly === true) {
      throw new UsageError(`the snapshots in front are of no one moment in ${name}`, {
        hint: 'name the archive of one shard',
      })
    }
    const output = this.#temporary('shards')
    const { server, complete, ledger, shiftMs } = await buildClusterState({
      path,
      name,
      output,
      until,
      withServer,
      signal,
      onProgress: ({ done, total, unit }) => onProgress?.({ phase: 'build', done, total, unit }),
      onEvent,
    })
    const built = { server, complete, ledger }
    return await this.#read(output, name, { timeShiftMs: shiftMs, built })
  }

  /** A file by itself, with or without a snapshot in front. */
  async #aof(path: string, name: string): Promise<OpenKeys> {
    const { until, baseOnly, signal } = this.#options
    if (until !== undefined && baseOnly !== true) return await this.#build(path, name)
    const rdbBytes = await lengthOfRdb(path, signal)
    if (rdbBytes === undefined && baseOnly === true) {
      throw new ProtocolError('ERR_NO_RDB', `${name} holds commands only, no snapshot`, {
        details: { file: name },
      })
    }
    const commands = await countCommands(path, rdbBytes ?? 0, { all: baseOnly === true, signal })
    if (baseOnly !== true && (commands > 0 || rdbBytes === undefined)) {
      return await this.#build(path, name)
    }
    return await this.#read(path, name, { commandsLeftOut: commands })
  }

  async #build(path: string, name: string): Promise<OpenKeys> {
    const { until, withServer, signal, onProgress, onEvent } = this.#options
    const state = await buildState({
      path,
      name,
      until,
      withServer,
      signal,
      onProgress: ({ done, total, unit }) => onProgress?.({ phase: 'build', done, total, unit }),
      onEvent,
    })
    try {
      const snapshot = this.#temporary('built.rdb')
      await this.#sync(state.server.settings, snapshot, 0)
      const { complete, ledger, shiftMs } = state
      const built = { server: state.server.description, complete, ledger }
      return await this.#read(snapshot, name, { timeShiftMs: shiftMs, built })
    } finally {
      await state.server.stop()
    }
  }

  async #sync(server: ServerSettings, output: string, retries: number | undefined): Promise<void> {
    const { signal, onProgress, onEvent } = this.#options
    await sync(server, {
      output,
      retries,
      signal,
      onEvent,
      onProgress: ({ done, total, unit }) => onProgress?.({ phase: 'sync', done, total, unit }),
    })
  }

  async #read(path: string, name: string, facts: Partial<OpenKeys> = {}): Promise<OpenKeys> {
    const { identity, signal } = this.#options
    const rdb = await openRdbInput(path, { identity, signal })
    const isOurs = this.#temporaryDir !== undefined && path.startsWith(this.#temporaryDir)
    if (!isOurs) this.#checkMoment(rdb.input.head, name, rdb)
    return this.#result(isOurs ? { ...rdb, name } : rdb, name, facts)
  }

  #opened(path: string, input: ByteInput, name: string): OpenKeys {
    const rdb = {
      input,
      name: path === '-' ? 'stdin' : path,
      increments: [],
      close: () => input.close(),
    }
    this.#checkMoment(input.head, name, rdb)
    return this.#result(rdb, name)
  }

  #result(rdb: RdbInput, name: string, facts: Partial<OpenKeys> = {}): OpenKeys {
    return {
      rdb,
      name,
      timeShiftMs: 0,
      commandsLeftOut: 0,
      built: undefined,
      ...facts,
      again: async () => {
        const { identity, signal } = this.#options
        return await openRdbInput(rdb.input.name, { identity, signal })
      },
      close: () => {
        rdb.close()
        this.removeTemporary()
      },
    }
  }

  #checkMoment(head: Buffer, name: string, opened: { close(): void }): void {
    try {
      checkMomentOfDump(head, name, this.#options.until)
    } catch (error) {
      opened.close()
      throw error
    }
  }

  #temporary(name: string): string {
    this.#temporaryDir ??= makeTemporaryDir('rrep-keys-')
    return join(this.#temporaryDir, name)
  }

  removeTemporary(): void {
    if (this.#temporaryDir !== undefined) {
      rmSync(this.#temporaryDir, { recursive: true, force: true })
    }
    this.#temporaryDir = undefined
  }
}

/** A pipe or a device: what was read of it is gone. */
function isOnceOnly(path: string, input: ByteInput): boolean {
  return path === '-' || input.sizeBytes === undefined || isPipe(path)
}

/** Undefined: there is none in front. Throws as a reading of it would. */
async function lengthOfRdb(
  path: string,
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  const input = await openInput(path, { signal })
  try {
    if (input.kind === 'aof') return undefined
    const rdb = { input, name: path, increments: [], close: () => input.close() }
    const parser = new RdbParser({ key: () => DEPTH.SKIP }, { file: path, checksum: 'report' })
    return (await pumpRdb(rdb, parser, { signal })).summary.rdbBytes
  } finally {
    input.close()
  }
}

/** Commands that may change keys; not `all`: 1 as soon as there is one. */
async function countCommands(
  path: string,
  startByteOffset: number,
  { all, signal }: { all: boolean; signal: AbortSignal | undefined },
): Promise<number> {
  let commands = 0
  const parser = new AofParser(
    {
      command: (command: CommandDecoder) => {
        if (!isOrder(command)) commands += 1
      },
    },
    { file: path, byteOffset: startByteOffset, unixSeconds: -1 },
  )
  const input = await openInput(path, { signal })
  try {
    await input.pump(
      (chunk) => {
        parser.push(chunk)
        return all || commands === 0
      },
      { signal, startByteOffset },
    )
  } catch (error) {
    if (error instanceof FileError || commands === 0) throw error
  } finally {
    input.close()
  }
  return all ? commands : Math.min(1, commands)
}

function isOrder(command: CommandDecoder): boolean {
  return ['SELECT', 'MULTI', 'EXEC', 'PING'].some((name) => isArg(command, 0, name))
}
