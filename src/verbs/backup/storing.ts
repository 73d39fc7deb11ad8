/**
 * One dump on its way into a backup: what it is by its bytes is found as it passes where the store
 * cannot be asked again at no cost, else by reading back what lies there.
 */
import { createHash, type Hash } from 'node:crypto'
import { KeyAnalysis } from '../../analyze/key-analysis.js'
import { createCompressor, endingOf, type Compression } from '../../disk/compression.js'
import { packedOutput, packersOf } from '../../disk/output/open-output.js'
import type { Output } from '../../disk/output/output.js'
import type { Packer } from '../../disk/output/queued-output.js'
import { RrepError } from '../../errors.js'
import { ControlClient } from '../../net/control.js'
import type { ServerSettings } from '../../net/server-settings.js'
import type { RdbSummary } from '../../rdb/visitor.js'
import { SnapshotWalk } from '../../source/snapshot-walk.js'
import type { Progress } from '../../source/progress.js'
import { AGE_ENDING, openEncryption } from '../../storage/age/streams.js'
import type { NewFolder, StoredObject } from '../../storage/store.js'
import type { SyncIntoCall } from '../sync/run.js'
import {
  compareBytes,
  countDump,
  countedFacts,
  DumpCounts,
  factsOf,
  hashObject,
  type DumpFacts,
} from './files.js'
import { FollowedDump } from './follow.js'

/** What stands between the master and the store. */
export interface Packing {
  packers: readonly Packer[]
  /** They encrypt: what is stored cannot be read here. */
  isSealed: boolean
  /** Of the names of files. */
  ending: string
}

/** Rejects with UsageError or FileError where it cannot be made here: before the master saves. */
export async function packingOf(
  compress: Compression | undefined,
  recipients: readonly string[] = [],
): Promise<Packing> {
  if (compress !== undefined) createCompressor(compress).destroy()
  const packers = packersOf(compress)
  const ending = endingOf(compress)
  if (recipients.length === 0) return { packers, isSealed: false, ending }
  const seal = await openEncryption(recipients)
  return { packers: [...packers, seal], isSealed: true, ending: `${ending}${AGE_ENDING}` }
}

export interface StoringOptions {
  packing: Packing
  signal?: AbortSignal | undefined
  onProgress?: ((progress: Progress<'sync' | 'check'>) => void) | undefined
}

export interface Storing extends Pick<SyncIntoCall, 'newWalk' | 'canWait'> {
  readonly output: Output
  /** Behind `finish` of the output. Rejects with RdbError. */
  readonly facts: () => Promise<DumpFacts>
}

export async function storeDump(
  folder: NewFolder,
  file: string,
  server: ServerSettings | undefined,
  options: StoringOptions,
): Promise<Storing> {
  const { packing, signal, onProgress } = options
  const { packers, isSealed } = packing
  const { reopen } = folder
  const isAsked = reopen === undefined && server !== undefined
  const { usedMemory: expectedBytes, hasChecksum } = isAsked
    ? await askServer(server, signal)
    : { usedMemory: undefined, hasChecksum: false }
  const stored = await folder.create(file, { expectedBytes, direct: packers.length === 0 })
  const follows = reopen !== undefined && packers.length === 0 && stored.growing !== undefined
  const followed = follows ? new FollowedDump(stored.growing, `${folder.place}/${file}`) : undefined
  const hashed = new HashedOutput(stored, followed)
  if (reopen !== undefined && !isSealed) {
    const open = async (): Promise<StoredObject> => await reopen(file)
    if (followed !== undefined) {
      return {
        output: hashed,
        facts: async () => {
          const { bytes } = hashed
          const tell = (done: number): void =>
            onProgress?.({ phase: 'check', done, total: bytes, unit: 'bytes' })
          const counted = await followed.end((await open()).name, bytes, signal, tell)
          return await countedFacts(open, { ...counted, written: hashed }, { signal }, onProgress)
        },
      }
    }
    return {
      output: packedOutput(hashed, packers, folder.spoolDirectory),
      facts: async () => await countDump(open, hashed, { signal }, onProgress),
    }
  }
  const output = packedOutput(hashed, packers, folder.spoolDirectory, { isQueued: true })
  let last: { walk: SnapshotWalk; facts: (summary: RdbSummary) => DumpFacts } | undefined
  return {
    output,
    canWait: true,
    newWalk: () => {
      // Where a checksum tells of damage the kernels count; else every value is walked.
      if (hasChecksum) {
        const analysis = new KeyAnalysis({ nowMs: Date.now(), top: 0 })
        const walk = new SnapshotWalk(analysis)
        last = { walk, facts: (summary) => factsOf({ analysis, summary, written: hashed }) }
      } else {
        const counts = new DumpCounts()
        const walk = new SnapshotWalk(counts.visitor, { validate: true })
        last = { walk, facts: (summary) => counts.facts(hashed, summary) }
      }
      return last.walk
    },
    facts: async () => {
      const facts = last!.facts(last!.walk.end())
      if (reopen !== undefined) {
        const lying = await reopen(file)
        compareBytes(lying.name, await hashObject(lying, signal), facts)
      }
      return facts
    },
  }
}

interface ServerFacts {
  /** About how large a dump becomes at most; undefined where it does not say. */
  usedMemory: number | undefined
  /** Its dumps have one, for sure. */
  hasChecksum: boolean
}

/** Whatever is wrong, the link will say it better; not everybody may ask INFO or CONFIG. */
async function askServer(
  server: ServerSettings,
  signal: AbortSignal | undefined,
): Promise<ServerFacts> {
  let client: ControlClient | undefined
  try {
    client = await ControlClient.open(server, signal)
    const asked = client
    const memory = await told(asked.info('memory'), signal)
    const used = Number(memory?.get('used_memory'))
    const config = await told(asked.call('CONFIG', 'GET', 'rdbchecksum'), signal)
    return {
      usedMemory: Number.isSafeInteger(used) ? used : undefined,
      hasChecksum: JSON.stringify(config ?? '').includes('"yes"'),
    }
  } catch (error) {
    if (error instanceof RrepError && signal?.aborted !== true) {
      return { usedMemory: undefined, hasChecksum: false }
    }
    throw error
  } finally {
    client?.close()
  }
}

/** Undefined where that is refused. */
async function told<T>(
  asking: Promise<T>,
  signal: AbortSignal | undefined,
): Promise<T | undefined> {
  try {
    return await asking
  } catch (error) {
    if (error instanceof RrepError && signal?.aborted !== true) return undefined
    throw error
  }
}

/** Knows the hash of what passed, and tells who follows. */
class HashedOutput implements Output {
  readonly #output: Output
  readonly #followed: FollowedDump | undefined
  /** Undefined where the output has one. */
  #hash: Hash | undefined

  constructor(output: Output, followed: FollowedDump | undefined) {
    this.#output = output
    this.#followed = followed
    this.#startHash()
  }

  get canReadBack(): boolean {
    return this.#output.canReadBack
  }

  get bytes(): number {
    return this.#output.writtenBytes
  }

  /** Hex; once, at the end. */
  get sha256(): string {
    return this.#hash?.digest('hex') ?? this.#output.digest!.sha256
  }

  get writtenBytes(): number {
    return this.#output.writtenBytes
  }

  get canTakeBack(): boolean {
    return this.#output.canTakeBack
  }

  get canRestart(): boolean {
    return this.#output.canRestart
  }

  write(bytes: Uint8Array, start = 0, end = bytes.length): void {
    this.#hash?.update(bytes.subarray(start, end))
    this.#output.write(bytes, start, end)
    this.#followed?.poke()
  }

  drain(): Promise<void> | undefined {
    return this.#output.drain()
  }

  restart(): void {
    this.#startHash()
    this.#output.restart()
    this.#followed?.restart()
  }

  #startHash(): void {
    this.#hash = this.#output.digest === undefined ? createHash('sha256') : undefined
  }

  readBack(): { fd: number; sizeBytes: number } {
    return this.#output.readBack()
  }

  async finish(): Promise<void> {
    await this.#output.finish()
  }

  discard(): void {
    this.#followed?.close()
    this.#output.discard()
  }
}
