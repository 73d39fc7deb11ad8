/**
 * What a replication link delivers, and what it asks: the contract between the link and those
 * who use it (`sync`, `tail`, `replay`, `serve`).
 *
 * Order of calls, for each connection:
 *
 *   onFullResync  onSnapshotBytes*  onSnapshotEnd  onStream*      a full resync
 *   onContinue                                     onStream*      a partial one
 *   onLinkLost                                                    the connection is gone
 *   cutBack                                                       we had more than the new master
 *
 * All of them are synchronous and come from the socket's read callback; bytes are valid during
 * the call only. Between two batches of bytes the link asks `drain`, and while the promise it got
 * is pending the socket is not read: do that only where the master may be made to wait. Whatever
 * a method throws ends the run with that error.
 *
 * Offsets. `replOffset` of a full resync is the last stream byte that the snapshot contains; the
 * first stream byte behind the payload has `replOffset + 1`. A resume point names the *next* byte
 * wanted. Numbers are exact up to 2^53.
 */

/** How the master frames the snapshot: `$<bytes>` or `$EOF:<mark>`. */
export type PayloadFraming = 'length' | 'eof'

/** Next stream byte wanted, in the history that `replid` names. */
export interface ResumePoint {
  replid: string
  nextReplOffset: number
}

/** Stream bytes that we got and the master that we go on with did not: the failover that promoted it
 * lost them. */
export interface LostStream {
  replid: string
  /** First and last of them. */
  fromReplOffset: number
  toReplOffset: number
}

export interface FullResyncInfo {
  /** 40 hex digits; undefined for a master that knows SYNC only (<= 2.6): no resume, no ACK. */
  replid: string | undefined
  /** Last stream byte contained in the snapshot; -1 where the master told none. */
  replOffset: number
  framing: PayloadFraming
  /** Payload bytes, where the framing tells. */
  lengthBytes: number | undefined
  /** `all`: the data set. `empty`: a snapshot without keys and functions, asked for by
   * `rdb-filter-only ""`: only the stream behind it matters. */
  content: 'all' | 'empty'
  /** Set where a partial resync was asked for and refused: what lies between this point and
   * `replOffset` is not delivered. Never splice. */
  refusedResume: ResumePoint | undefined
  /** False: the master keeps no stream for this link meanwhile, so a slow reader costs it little. */
  streamKept: boolean
}

export interface SnapshotEndInfo {
  /** Payload bytes delivered, without the mark. */
  bytes: number
  /** `ok`: the CRC64 behind the EOF opcode is right. `absent`: the master wrote none (or RDB < 5
   * has none). A wrong one ends the run before this call. */
  checksum: 'ok' | 'absent'
  /** From the magic: 1 to 13 after `REDIS`, 80 and more after `VALKEY`. */
  rdbVersion: number
}

export interface ContinueInfo {
  replid: string
  /** The id asked for, where the answer named another one (a failover, PSYNC2). The offset stays. */
  previousReplid: string | undefined
  /** Of the first byte that `onStream` will bring. */
  nextReplOffset: number
}

/** What to acknowledge, on a cluster node too. `ack: 0` keeps the connection alive and never counts
 * for WAIT or FAILOVER. */
export interface AckOffsets {
  ack: number
  /** Offset up to which everything is fsynced: answers WAITAOF (7.2+). Left out by default. */
  fack?: number | undefined
}

export type LinkState =
  | 'idle'
  | 'connecting'
  | 'handshake'
  /** PSYNC is sent; the master forks, saves, or waits for other replicas. */
  | 'waiting'
  | 'snapshot'
  | 'stream'
  /** Waiting before the next attempt. */
  | 'backoff'
  | 'closed'

export interface LinkLostInfo {
  error: Error
  /** In which state the link was. */
  during: LinkState
  /** Number of the failed attempt since the last success, from 1. */
  attempt: number
  /** Milliseconds to the next attempt; undefined: there will be none, `run` rejects with `error`. */
  retryInMs: number | undefined
  /** Bytes of an unfinished snapshot that came; they are void now. */
  snapshotBytes: number
  /** False where the master kept no stream for this link (`rdb-only`, 6.2+): then its output
   * buffer cannot have overflowed. */
  streamKept: boolean
}

export interface LinkConsumer {
  /** A snapshot begins. What an unfinished one brought before is void. */
  onFullResync(info: FullResyncInfo): void
  /** The next payload bytes, `bytes[start..end)`. The mark of `$EOF` is not among them. */
  onSnapshotBytes(bytes: Buffer, start: number, end: number): void
  /** The payload is complete and its checksum right or absent. */
  onSnapshotEnd(info: SnapshotEndInfo): void
  /** A partial resync was granted. Discard a half command kept from before if `resumePoint`
   * named its begin; no SELECT is repeated. */
  onContinue(info: ContinueInfo): void
  /** Stream bytes exactly as they came; the first has the offset `replOffset`. */
  onStream(bytes: Buffer, start: number, end: number, replOffset: number): void
  /** The connection failed. Not called when the run ends by `stop`, abort, or a snapshot-only
   * run's success. */
  onLinkLost?(info: LinkLostInfo): void
  onState?(state: LinkState): void
  /** What is about to be asked of the master, just before PSYNC is sent. `empty-snapshot` costs it
   * a fork, `full-snapshot` a fork and the save. */
  onResyncPlanned?(plan: 'partial' | 'empty-snapshot' | 'full-snapshot'): void
  /**
   * Between two connections: what came from `fromReplOffset` on never happened for anybody else. Goes
   * back to the last whole place before it; then `resumePoint` is asked. Who cannot, or has no such
   * method, has a full resync.
   */
  cutBack?(lost: LostStream): Promise<void> | void
  /** The server is a node of a cluster: what it gives is its shard alone. Told by each link. */
  onClusterNode?(): void
  /** The master still lives though it sends no data: a newline while it saves, or several. */
  onKeepalive?(count: number): void
  /** A promise as long as no more bytes can be taken, else undefined. */
  drain?(): Promise<void> | undefined
  /** Asked before each attempt after the first: where to go on. The consumer has the only truth
   * about that: what it took of the last link, and up to where. `'full'` asks for a new snapshot.
   * Undefined: nothing was begun, so where the link was to start. */
  resumePoint(): ResumePoint | 'full' | undefined
  /** Asked each second and on GETACK. Undefined leaves it to the link: `ack: 0`, and on a node of a
   * cluster the last byte received, without which Valkey 8+ would not let slots move. */
  ackOffsets?(): AckOffsets | undefined
  /** Asked where the payload may end and the bytes themselves cannot tell (a `$EOF` mark behind a
   * snapshot without checksum): is what was delivered a whole RDB by its structure? Undefined: do
   * not know; then the mark counts if the master sends nothing behind it. */
  isSnapshotWhole?(): boolean | undefined
}
