/**
 * Reads the requests of one client and hands them on, one at a time, within bounds:
 *
 *   replies lie unread          nothing more is read or answered until the client has taken them
 *   requests wait their turn    nothing more is read until they are answered
 *   no password given yet       so many requests and bytes, and no more
 *
 * So what a client can make us keep is one read of its socket and one reply beyond the mark,
 * whatever it sends and however little it reads.
 */
import type { Socket } from 'node:net'
import type { FairTurns, TurnTaker } from './fair-turns.js'
import { RequestParser, type Request } from './request-parser.js'

/** Replies that may lie in the socket's queue before the next request is answered. */
const UNREAD_REPLY_BYTES = 64 << 10
/** Without the password: a handshake needs a few. */
const STRANGER_REQUESTS = 100
const STRANGER_BYTES = 64 << 10

export interface RequestOwner {
  readonly isAuthenticated: boolean
  /** A replica is not answered, so its queue, which is full of stream, says nothing here. */
  readonly isReplica: boolean
  /** Nothing is read or answered any more. */
  readonly isOver: boolean
  /** `isInline`: not as a RESP array. */
  answerRequest(request: Request, isInline: boolean): void
  /** A lone line end: a replica's sign of life. */
  heardNewline(): void
  /** What came is no request, or cannot be answered. */
  reject(error: unknown): void
  /** It asked too much before it gave the password. */
  refuseStranger(): void
}

export class RequestReader implements TurnTaker {
  readonly #socket: Socket
  readonly #turns: FairTurns
  readonly #owner: RequestOwner
  readonly #parser = new RequestParser()
  #strangerRequests = 0
  #strangerBytes = 0
  #isHeld = false
  #isWaitingTurn = false
  #isReading = true
  /** Since when its replies lie unread; -1: they do not. */
  unreadSinceMs = -1

  constructor(socket: Socket, turns: FairTurns, owner: RequestOwner) {
    this.#socket = socket
    this.#turns = turns
    this.#owner = owner
    socket.on('data', (chunk: Buffer) => this.#received(chunk))
    socket.on('drain', () => this.#drained())
  }

  /** Holds further requests back until `release`: some answers take time. */
  hold(): void {
    this.#isHeld = true
  }

  release(): void {
    this.#isHeld = false
    this.#offer()
  }

  /** Answers one request. */
  takeTurn(): boolean {
    this.#isWaitingTurn = false
    const hasMore = this.#answerNext()
    if (hasMore) this.#isWaitingTurn = true
    // While an answer is awaited it is read on, so as to see the client go.
    this.#setReading(!hasMore && this.unreadSinceMs < 0)
    return hasMore
  }

  #received(chunk: Buffer): void {
    const owner = this.#owner
    if (owner.isOver) return
    if (!owner.isAuthenticated) {
      this.#strangerBytes += chunk.length
      if (this.#strangerBytes > STRANGER_BYTES) {
        owner.refuseStranger()
        return
      }
    }
    try {
      this.#parser.push(chunk)
    } catch (error) {
      owner.reject(error)
      return
    }
    this.#offer()
  }

  #drained(): void {
    if (this.unreadSinceMs < 0) return
    this.unreadSinceMs = -1
    this.#offer()
  }

  #offer(): void {
    if (this.#isWaitingTurn) return
    this.#isWaitingTurn = true
    this.#turns.offer(this)
  }

  /** False where nothing is to be answered for now. */
  #answerNext(): boolean {
    if (!this.#mayAnswer()) return false
    const owner = this.#owner
    try {
      const isInline = !this.#parser.isNextArray
      const request = this.#parser.next()
      if (request === undefined) return false
      if (request === 'newline') owner.heardNewline()
      else {
        this.#strangerRequests += owner.isAuthenticated ? 0 : 1
        if (this.#strangerRequests > STRANGER_REQUESTS) owner.refuseStranger()
        else owner.answerRequest(request, isInline)
      }
    } catch (error) {
      owner.reject(error)
    }
    return this.#mayAnswer()
  }

  #mayAnswer(): boolean {
    const { isOver, isReplica } = this.#owner
    if (isOver || this.#isHeld || this.unreadSinceMs >= 0) return false
    if (!isReplica && this.#socket.writableLength > UNREAD_REPLY_BYTES) {
      this.unreadSinceMs = Date.now()
      return false
    }
    return true
  }

  #setReading(isReading: boolean): void {
    if (isReading === this.#isReading) return
    this.#isReading = isReading
    if (isReading) this.#socket.resume()
    else this.#socket.pause()
  }
}
