/** How every long call tells how far it has come, and what is odd on the way. */

export interface Progress<Phase extends string = string> {
  /** What is at work. Each verb has its own. */
  phase: Phase
  /** Of this phase. Bytes are counted as they lie on disk or come over the line. */
  done: number
  /** Undefined where nobody knows. */
  total: number | undefined
  unit: 'bytes' | 'keys'
  /** Keys read so far, or written by a replay. */
  keys?: number | undefined
}

/** Nothing that ends the call. */
export interface WarningEvent {
  event: 'warning'
  message: string
}

/** One node of a cluster was named: said once a call. */
export function clusterNodeWarning(server: string): WarningEvent {
  const message = `${server} is one node of a cluster: this is its shard alone, not the others`
  return { event: 'warning', message }
}

/** An attempt to reach a server failed, and another follows. */
export interface RetryEvent {
  event: 'retry'
  message: string
  retryInMs: number
}
