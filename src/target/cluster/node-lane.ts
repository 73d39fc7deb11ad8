/** The connection to one master of the target, with what waits for it. */
import { LinkError, type RrepError } from '../../errors.js'
import type { ServerSettings } from '../../net/server-settings.js'
import { Gate } from '../../net/waiting.js'
import {
  fence,
  TargetConnection,
  type ConnectionOwner,
  type PipelinedBatch,
} from '../server/target-connection.js'
import { NodeBatch } from './node-batch.js'

export interface NodeLaneOptions {
  settings: ServerSettings
  clientName: string
  importSource: boolean
  signal: AbortSignal
  onAnswered(batch: PipelinedBatch): void
  onLost(error: RrepError): void
}

/** While one is executed, the next is on its way. */
const MAX_IN_FLIGHT = 2

export class NodeLane implements ConnectionOwner {
  /** Slots that have something to be sent, as far as was known when they were put here. */
  ready: number[] = []
  readonly #options: NodeLaneOptions
  readonly #free: NodeBatch[] = []
  readonly #answered = new Gate()
  #connection: TargetConnection | undefined
  #isClosed = false

  private constructor(options: NodeLaneOptions) {
    this.#options = options
  }

  /** What an earlier connection of ours has sent is executed by now, or never. */
  static async open(options: NodeLaneOptions): Promise<NodeLane> {
    const lane = new NodeLane(options)
    const connection = await TargetConnection.open(options.settings, {
      clientName: options.clientName,
      importSource: options.importSource,
      signal: options.signal,
      owner: lane,
    })
    lane.#connection = connection
    try {
      await fence(connection, options.clientName)
    } catch (error) {
      lane.close()
      throw error
    }
    return lane
  }

  get connection(): TargetConnection {
    return this.#connection!
  }

  get hasRoom(): boolean {
    return !this.#isClosed && !this.connection.isLost && this.connection.inFlight < MAX_IN_FLIGHT
  }

  get isIdle(): boolean {
    return this.connection.inFlight === 0
  }

  /** One to fill. */
  batch(): NodeBatch {
    const batch = this.#free.pop() ?? new NodeBatch()
    batch.reset()
    return batch
  }

  send(batch: PipelinedBatch, bytes: Uint8Array): void {
    this.connection.begin(batch)
    this.connection.write(bytes)
  }

  /** When all that is on its way is answered, or the connection is gone. */
  async untilIdle(): Promise<void> {
    while (!this.isIdle && !this.#isClosed && !this.connection.isLost) await this.#answered.wait()
  }

  onAnswered(batch: PipelinedBatch): void {
    if (this.#isClosed) return
    this.#options.onAnswered(batch)
    if (batch instanceof NodeBatch && this.#free.length < MAX_IN_FLIGHT) this.#free.push(batch)
    this.#answered.open()
  }

  onLost(error: RrepError): void {
    this.#answered.open()
    if (!this.#isClosed && this.#connection !== undefined) this.#options.onLost(error)
  }

  close(): void {
    this.#isClosed = true
    const left = 'the connection was left for new ones'
    this.#connection?.abandon(new LinkError('ERR_LINK_LOST', left, { retriable: true }))
    this.#answered.open()
  }
}
