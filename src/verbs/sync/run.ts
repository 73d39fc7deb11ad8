/**
 * `sync`: the snapshot of a master, once, into a file or a stream.
 *
 * The file appears under its name only when it is whole, its checksum compared and its bytes on
 * disk; whatever goes wrong before leaves the old file as it was. The link is never made to wait
 * for the disk's reader or a compressor.
 */
import { LinkError, RdbError } from '../../errors.js'
import { formatServerAddress } from '../../net/address.js'
import type {
  FullResyncInfo,
  LinkConsumer,
  LinkState,
  PayloadFraming,
  SnapshotEndInfo,
} from '../../replication/consumer.js'
import { ReplicationLink } from '../../replication/link.js'
import { openOutput } from '../../disk/output/open-output.js'
import type { Output } from '../../disk/output/output.js'
import { diagnoseDrop } from '../../replication/diagnose-drop.js'
import type { SyncCall, SyncOptions, SyncProgress, SyncResult } from './options.js'
import { fillNamePattern } from './name-pattern.js'
import { serverVersionOf } from '../../rdb/head.js'
import { readServer, type ServerName } from '../../source/classify.js'
import { clusterNodeWarning } from '../../source/progress.js'
import { SnapshotWalk, walkFile } from '../../source/snapshot-walk.js'

export type * from './options.js'
export type { Compression } from '../../disk/compression.js'

/**
 * `source` such as `127.0.0.1:6379` or `redis://…`. Rejects with UsageError (the address), LinkError, AuthError, ProtocolError, RdbError (the snapshot is damaged), FileError
 * or AbortedError.
 */
export async function sync(source: ServerName, options: SyncOptions): Promise<SyncResult> {
  const server = readServer(source)
  return await run({ ...options, server })
}

async function run(options: SyncCall): Promise<SyncResult> {
  const { server, output: target, compress, signal } = options
  const file =
    typeof target === 'string' ? fillNamePattern(target, server.address, new Date()) : undefined
  const output = await openOutput(file ?? target, {
    compress,
    neverWaits: true,
    direct: true,
    signal,
  })
  return { ...(await syncInto(output, options)), file }
}

/** The same where the output is open already. */
export interface SyncIntoCall extends Omit<SyncCall, 'output' | 'compress'> {
  /** What passes is walked by one of these, a new one for each snapshot that begins. */
  newWalk?: (() => SnapshotWalk) | undefined
  /** The master may be made to wait, if it keeps no stream for us meanwhile. */
  canWait?: boolean | undefined
}

/** The same into what is open. It is finished, or discarded. */
export async function syncInto(output: Output, options: SyncIntoCall): Promise<SyncResult> {
  const receiver = new Receiver(options, output)
  try {
    const link = new ReplicationLink(
      {
        server: options.server,
        purpose: 'snapshot',
        start: 'full',
        retries: options.retries,
        signal: options.signal,
        onWire: options.onWire,
      },
      receiver,
    )
    await link.run()
    receiver.report('storing')
    await output.finish()
  } catch (error) {
    output.discard()
    throw await explained(error, options, receiver)
  }
  return receiver.result()
}

/** Enough for the aux fields at the front. */
const HEAD_BYTES = 4096

class Receiver implements LinkConsumer {
  readonly #options: SyncIntoCall
  readonly #output: Output
  readonly #startMs = performance.now()
  #attemptMs = performance.now()
  #firstByteMs = 0
  #resync: FullResyncInfo | undefined
  #end: SnapshotEndInfo | undefined
  #bytes = 0
  #head: Buffer = Buffer.alloc(0)
  #phase: SyncProgress['phase'] = 'connecting'
  /** Of what passes; a plain file is walked once it is there, and only if need be. */
  #walk: SnapshotWalk | undefined
  /** Payload bytes of the attempt that failed last, and its age then. */
  lostBytes = 0
  lostAfterMs = 0
  lostDuring: LinkState = 'idle'
  /** True where the master may have had to buffer writes for this link. */
  streamKept = true
  #isNode = false
  /** A second attempt was out of question. */
  notRetried = false

  constructor(options: SyncIntoCall, output: Output) {
    this.#options = options
    this.#output = output
  }

  onState(state: LinkState): void {
    if (state === 'connecting') {
      this.#attemptMs = performance.now()
      this.report('connecting')
    } else if (state === 'waiting') {
      this.report('waiting')
    }
  }

  onClusterNode(): void {
    if (this.#isNode || this.#options.isShard === true) return
    this.#isNode = true
    const server = formatServerAddress(this.#options.server.address)
    this.#options.onEvent?.(clusterNodeWarning(server))
  }

  onKeepalive(): void {
    this.report('waiting')
  }

  onFullResync(info: FullResyncInfo): void {
    if (this.#bytes > 0) this.#output.restart()
    this.#resync = info
    this.#bytes = 0
    this.#head = Buffer.alloc(0)
    const { newWalk } = this.#options
    this.#walk = newWalk?.() ?? (this.#output.canReadBack ? undefined : new SnapshotWalk())
    this.#firstByteMs = performance.now()
    this.report('transfer')
  }

  onSnapshotBytes(bytes: Buffer, start: number, end: number): void {
    if (this.#head.length < HEAD_BYTES) {
      const more = bytes.subarray(start, Math.min(end, start + HEAD_BYTES - this.#head.length))
      this.#head = Buffer.concat([this.#head, more])
    }
    this.#output.write(bytes, start, end)
    this.#walk?.push(bytes.subarray(start, end))
    this.#bytes += end - start
    this.report('transfer')
  }

  drain(): Promise<void> | undefined {
    const mayWait = this.#options.canWait === true && this.#resync?.streamKept === false
    return mayWait ? this.#output.drain() : undefined
  }

  onSnapshotEnd(info: SnapshotEndInfo): void {
    this.#end = info
  }

  isSnapshotWhole(): boolean | undefined {
    if (this.#output.canReadBack && this.#options.newWalk === undefined) {
      const { fd, sizeBytes } = this.#output.readBack()
      this.#walk = walkFile(fd, sizeBytes)
    }
    return this.#walk?.isWhole
  }

  /** What the structure says against a snapshot that the link refused. */
  get structureFault(): RdbError | undefined {
    return this.#walk?.fault
  }

  onContinue(): void {
    // Never asked for.
  }

  resumePoint(): 'full' {
    return 'full'
  }

  onStream(): void {
    // A master without rdb-only may already send it; the link is about to close.
  }

  onLinkLost(info: Parameters<NonNullable<LinkConsumer['onLinkLost']>>[0]): void {
    this.lostBytes = info.snapshotBytes
    this.lostAfterMs = performance.now() - this.#attemptMs
    this.lostDuring = info.during
    this.streamKept = info.streamKept
    if (info.retryInMs === undefined) return
    if (!this.#output.canRestart) {
      // What a reader has got cannot be taken back, so a second snapshot could not follow it.
      this.notRetried = true
      throw withoutRetry(info.error)
    }
    const { error, retryInMs } = info
    this.#options.onEvent?.({ event: 'retry', message: error.message, retryInMs })
  }

  report(phase: SyncProgress['phase']): void {
    this.#phase = phase
    this.#options.onProgress?.({
      phase: this.#phase,
      done: this.#bytes,
      total: this.#resync?.lengthBytes,
      unit: 'bytes',
    })
  }

  result(): SyncResult {
    const resync = this.#resync
    const end = this.#end
    if (resync === undefined || end === undefined) {
      throw new LinkError('ERR_LINK_LOST', 'the link ended without a snapshot')
    }
    const doneMs = performance.now()
    return {
      source: formatServerAddress(this.#options.server.address),
      file: undefined,
      bytes: end.bytes,
      fileBytes: this.#output.writtenBytes,
      replid: resync.replid,
      replOffset: resync.replid === undefined ? undefined : resync.replOffset,
      rdbVersion: end.rdbVersion,
      serverVersion: serverVersionOf(this.#head),
      transfer: TRANSFER[resync.framing],
      checksum: end.checksum,
      waitMs: Math.round(this.#firstByteMs - this.#startMs),
      transferMs: Math.round(doneMs - this.#firstByteMs),
    }
  }
}

const TRANSFER: Readonly<Record<PayloadFraming, 'disk' | 'eof'>> = { length: 'disk', eof: 'eof' }

function withoutRetry(error: Error): Error {
  if (!(error instanceof LinkError)) return error
  return new LinkError(error.code, error.message, {
    cause: error,
    hint: 'not tried again, since a part of the snapshot is in the pipe already; -o FILE could be',
    details: error.details,
  })
}

/** A link lost while the master saved or sent: with the likeliest reason. A snapshot that does not
 * end as one: with the place where it goes wrong. */
async function explained(error: unknown, options: SyncIntoCall, lost: Receiver): Promise<unknown> {
  if (error instanceof RdbError && error.code === 'ERR_RDB_TRUNCATED') {
    return lost.structureFault ?? error
  }
  const inSnapshot = lost.lostDuring === 'snapshot' || lost.lostDuring === 'waiting'
  const dropped =
    error instanceof LinkError && ['ERR_LINK_LOST', 'ERR_TIMEOUT'].includes(error.code)
  if (!inSnapshot || !dropped || options.signal?.aborted === true) return error
  const diagnosis = await diagnoseDrop(options.server, {
    elapsedMs: lost.lostAfterMs,
    snapshotBytes: lost.lostBytes,
    streamKept: lost.streamKept,
  })
  return new LinkError(error.code, `${error.message}: ${diagnosis.what}`, {
    cause: error,
    hint: lost.notRetried ? `${error.hint ?? ''}; ${diagnosis.advice}` : diagnosis.advice,
    details: { ...error.details, snapshotBytes: lost.lostBytes, likelyCause: diagnosis.cause },
  })
}
