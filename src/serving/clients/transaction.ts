/** MULTI to EXEC of one client: what it queues, within bounds. */
import { errorReply, status } from './replies.js'
import type { Request } from './request-parser.js'

const MAX_QUEUED = 64
const MAX_QUEUED_BYTES = 64 << 10
/** Answered at once, or not at all in a transaction: they change what the connection is, or take
 * their time. */
const NOT_QUEUED = new Set([
  ...['AUTH', 'HELLO', 'PSYNC', 'REPLCONF', 'SYNC', 'WAIT'],
  ...['SUBSCRIBE', 'PSUBSCRIBE', 'UNSUBSCRIBE', 'PUNSUBSCRIBE'],
])

export interface Queued {
  readonly name: string
  readonly request: Request
}

export class Transaction {
  #queued: Queued[] = []
  #bytes = 0
  #isSpoilt = false
  isOpen = false

  begin(): void {
    this.discard()
    this.isOpen = true
  }

  /** `isKnown` false: no such command, so EXEC will refuse the whole. */
  add(name: string, request: Request, isKnown: boolean): Buffer {
    this.#bytes += request.reduce((sum, { length }) => sum + length, 0)
    const isTooMuch = this.#queued.length === MAX_QUEUED || this.#bytes > MAX_QUEUED_BYTES
    if (isKnown && !isTooMuch && !NOT_QUEUED.has(name)) {
      this.#queued.push({ name, request })
      return status('QUEUED')
    }
    this.#isSpoilt = true
    const shown = name.toLowerCase().slice(0, 40)
    if (isTooMuch) return errorReply('ERR too much in one transaction')
    return errorReply(
      isKnown
        ? `ERR '${shown}' is not allowed in transactions`
        : `ERR unknown command '${shown}', this is rrep, a master for replicas only`,
    )
  }

  /** Ends it with what it queued; undefined where something in it was refused. */
  take(): readonly Queued[] | undefined {
    const queued = this.#isSpoilt ? undefined : this.#queued
    this.discard()
    return queued
  }

  discard(): void {
    this.#queued = []
    this.#bytes = 0
    this.#isSpoilt = false
    this.isOpen = false
  }
}
