/**
 * Which history is served: its replid, and the one before it where a failover changed the name
 * (PSYNC2). Says whether a replica that was at a given place may go on there.
 */
export interface HistoryState {
  replid: string
  /** Empty where there was none. */
  replid2: string
  /** First byte wanted that `replid2` no longer names; -1 without one. */
  secondReplOffset: number
}

export class History {
  replid: string
  replid2: string
  secondReplOffset: number

  constructor(state: HistoryState) {
    this.replid = state.replid
    this.replid2 = state.replid2
    this.secondReplOffset = state.secondReplOffset
  }

  get state(): HistoryState {
    return { replid: this.replid, replid2: this.replid2, secondReplOffset: this.secondReplOffset }
  }

  /** True where `replid` names this history at the byte `nextReplOffset`
   * (masterTryPartialResynchronization compares case-insensitively). */
  names(replid: string, nextReplOffset: number): boolean {
    const id = replid.toLowerCase()
    if (id === this.replid) return true
    return this.replid2 !== '' && id === this.replid2 && nextReplOffset <= this.secondReplOffset
  }

  /** A new name from `nextReplOffset` on: the old one is valid up to there. */
  rename(replid: string, nextReplOffset: number): void {
    this.replid2 = this.replid
    this.secondReplOffset = nextReplOffset
    this.replid = replid.toLowerCase()
  }

  /** Another history altogether. */
  replace(replid: string): void {
    this.replid = replid.toLowerCase()
    this.replid2 = ''
    this.secondReplOffset = -1
  }
}
