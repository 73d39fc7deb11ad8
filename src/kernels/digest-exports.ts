/** The functions of the kernels that make digests; see assembly/digest.ts and digest-runs.ts. */
export interface DigestExports {
  /** 64 random bytes; to be called first. */
  digestSecret(address: number): void

  /** Starts lanes; what is taken in then is one element. */
  digestBegin(): void
  /** Reads up to 8 bytes behind it. */
  digestString(address: number, length: number): void
  /** A string in parts: the same as one whole. Its length, parts, the end. */
  digestPartsBegin(length: number): void
  digestPart(address: number, length: number): void
  digestPartsEnd(): void
  digestHalves(high: number, low: number): void
  digestNumber(value: number): void
  /** Puts the lanes aside (slots 0 to 3), and takes in what was put there. */
  digestKeep(slot: number): void
  digestKept(slot: number): void

  /** The element becomes part of the value: in any order, in this one, of lanes of their own. */
  digestAdd(): void
  digestChain(): void
  digestAddTime(): void
  digestAddCounters(): void

  /** Begins with a key; returns its bucket. */
  digestKey(address: number, length: number, dbnum: number): number
  /** The same where the name was taken in as an element. */
  digestKeyEnd(dbnum: number): number
  /** Ends with a key: adds it to the sums of its bucket, or writes its record. */
  digestSum(sums: number, kind: number, expireAtMs: number, nameBytes: number): void
  digestRecord(
    output: number,
    dbnum: number,
    nameBytes: number,
    kind: number,
    hasCounters: number,
    expireAtMs: number,
  ): void

  /** How many string records were passed: into `sums`, or where that is 0 to `output`. */
  digestRecords(
    input: number,
    end: number,
    scratch: number,
    dbnum: number,
    shiftMs: number,
    sums: number,
    suspects: number,
    output: number,
    outputEnd: number,
  ): number
  /** How many elements of the value at hand were passed; `form` as rdb/stretch.ts has it. */
  digestElements(
    input: number,
    end: number,
    count: number,
    form: number,
    chained: number,
    scratch: number,
  ): number
  /** 1: done; 0: there is a score for others, and then it goes on at `runInputTo`. */
  digestListpack(input: number, stop: number, form: number, chained: number): number
  digestIntset(input: number, length: number): void
  digestScoreAt(): number
  digestScoreSize(): number
}
