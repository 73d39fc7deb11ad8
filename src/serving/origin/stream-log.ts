/**
 * The stream behind the snapshots, as replicas read it: each at its own pace, by offset.
 *
 * `view` answers from memory at once; where it cannot, `read` fetches from a file. A log never
 * copies per replica, and never waits for one.
 */
export interface StreamLog {
  /** Offset of the oldest byte that can still be read; `endReplOffset + 1` when there is none. */
  readonly firstReplOffset: number
  /** Offset of the last byte. */
  readonly endReplOffset: number
  /** Bytes of memory that the log holds. */
  readonly memoryBytes: number
  /** Bytes from `replOffset` on, at least one and at most `maxBytes`, valid for good; undefined
   * where they are not in memory. The byte at `replOffset` exists. */
  view(replOffset: number, maxBytes: number): Buffer | undefined
  /** Fills `into` from `replOffset` on as far as there are bytes; resolves with their number.
   * Rejects with FileError, or with LinkError when the bytes were trimmed meanwhile. */
  read(replOffset: number, into: Buffer): Promise<number>
}

/** A log that grows by what a live master sends, and forgets its oldest part. */
export interface GrowingLog extends StreamLog {
  /** Appends a copy of `bytes[start..end)`. */
  append(bytes: Uint8Array, start: number, end: number): void
  /** Forgets everything; the next byte appended has the offset `nextReplOffset`. */
  reset(nextReplOffset: number): void
  /** Forgets what lies from `nextReplOffset` on; the next byte appended has that offset. Nobody reads
   * there, and nothing is appended meanwhile. */
  cutBack(nextReplOffset: number): Promise<void>
  /** A promise as long as the log can take no more (its disk does not keep up), else undefined. */
  drain(): Promise<void> | undefined
  /** Writes what is in memory only, and syncs. */
  flush(): Promise<void>
  close(): Promise<void>
}

/** Asked when a log wants to forget its oldest bytes: the first byte that some replica still
 * needs, Infinity for none. Replicas beyond their limit are cut off inside this call. */
export type Retainer = () => number
