/** A link's consumer that writes down what it is told, and a way to run a link with it. */
import type {
  AckOffsets,
  ContinueInfo,
  FullResyncInfo,
  LinkConsumer,
  LinkLostInfo,
  LinkState,
  ResumePoint,
  SnapshotEndInfo,
} from '../../src/replication/consumer.js'
import { parseServerAddress } from '../../src/net/address.js'
import { ReplicationLink, type LinkOptions } from '../../src/replication/link.js'

export class LinkRecorder implements LinkConsumer {
  readonly resyncs: FullResyncInfo[] = []
  readonly continues: ContinueInfo[] = []
  readonly ends: SnapshotEndInfo[] = []
  readonly losses: LinkLostInfo[] = []
  readonly states: LinkState[] = []
  readonly plans: string[] = []
  keepalives = 0
  snapshot: Buffer = Buffer.alloc(0)
  stream: Buffer = Buffer.alloc(0)
  /** Of the first byte in `stream`. */
  streamStart = -1
  /** Set where bytes did not follow each other. */
  streamFault: string | undefined
  acks: AckOffsets = { ack: 0 }
  /** In place of the point behind the last byte. */
  resume: ResumePoint | 'full' | undefined
  replid: string | undefined
  /** Last stream byte taken; -1 before there is a history. */
  replOffset = -1
  whole: boolean | undefined
  wholeAsked = 0
  drainAnswer: () => Promise<void> | undefined = () => undefined
  onEvent: () => void = () => undefined
  #isSnapshotHere = false

  onFullResync(info: FullResyncInfo): void {
    this.resyncs.push(info)
    this.replid = info.replid
    this.replOffset = info.replOffset
    this.#isSnapshotHere = false
    this.snapshot = Buffer.alloc(0)
    this.stream = Buffer.alloc(0)
    this.streamStart = -1
    this.onEvent()
  }

  onSnapshotBytes(bytes: Buffer, start: number, end: number): void {
    this.snapshot = Buffer.concat([this.snapshot, bytes.subarray(start, end)])
    this.onEvent()
  }

  onSnapshotEnd(info: SnapshotEndInfo): void {
    this.ends.push(info)
    this.#isSnapshotHere = true
    this.onEvent()
  }

  onContinue(info: ContinueInfo): void {
    this.continues.push(info)
    this.replid = info.replid
    this.replOffset = info.nextReplOffset - 1
    this.#isSnapshotHere = true
    this.onEvent()
  }

  onStream(bytes: Buffer, start: number, end: number, replOffset: number): void {
    if (this.streamStart < 0) this.streamStart = replOffset
    const expected = this.streamStart + this.stream.length
    if (replOffset !== expected) this.streamFault ??= `${replOffset} came, not ${expected}`
    this.stream = Buffer.concat([this.stream, bytes.subarray(start, end)])
    this.replOffset = replOffset + end - start - 1
    this.onEvent()
  }

  onLinkLost(info: LinkLostInfo): void {
    this.losses.push(info)
    this.onEvent()
  }

  onState(state: LinkState): void {
    this.states.push(state)
  }

  onKeepalive(count: number): void {
    this.keepalives += count
  }

  onResyncPlanned(plan: string): void {
    this.plans.push(plan)
  }

  drain(): Promise<void> | undefined {
    return this.drainAnswer()
  }

  resumePoint(): ResumePoint | 'full' | undefined {
    if (this.resume !== undefined) return this.resume
    if (this.resyncs.length + this.continues.length === 0) return undefined
    if (this.replid === undefined || !this.#isSnapshotHere) return 'full'
    return { replid: this.replid, nextReplOffset: this.replOffset + 1 }
  }

  ackOffsets(): AckOffsets {
    return this.acks
  }

  isSnapshotWhole(): boolean | undefined {
    this.wholeAsked += 1
    return this.whole
  }
}

export function makeLink(
  port: number,
  recorder: LinkConsumer,
  options: Partial<LinkOptions> & { timeoutMs?: number; address?: string } = {},
): ReplicationLink {
  const { timeoutMs = 5000, address = `127.0.0.1:${port}`, ...rest } = options
  return new ReplicationLink(
    {
      server: { address: parseServerAddress(address), timeoutMs },
      purpose: 'snapshot',
      start: 'full',
      retries: 0,
      ...rest,
    },
    recorder,
  )
}
