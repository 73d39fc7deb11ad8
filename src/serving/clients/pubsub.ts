/**
 * Channels between the clients of this process: a Sentinel says hello to the others on one of
 * them, on each server that it watches. As on a replica, nothing of it goes upstream.
 */
import { compileGlob, type ByteMatcher } from '../../bytes/glob.js'
import { array, bulk, errorReply, integer, NIL } from './replies.js'
import type { Request } from './request-parser.js'

/** Of one client: each message is held against all of them. */
const MAX_SUBSCRIPTIONS = 64
/** What a client that listens may still ask. */
const WHILE_SUBSCRIBED = new Set([
  ...['SUBSCRIBE', 'PSUBSCRIBE', 'UNSUBSCRIBE', 'PUNSUBSCRIBE'],
  ...['PING', 'QUIT', 'RESET'],
])

/** What one client listens to. Names are bytes, as latin1. */
export class Subscriptions {
  readonly channels = new Set<string>()
  readonly patterns = new Map<string, ByteMatcher>()

  get count(): number {
    return this.channels.size + this.patterns.size
  }

  clear(): void {
    this.channels.clear()
    this.patterns.clear()
  }
}

export interface Listener {
  readonly subscriptions: Subscriptions
  /** Sends what it did not just ask for; closes it where it does not read. */
  push(message: Buffer): void
}

/** The error for what a client that listens may not ask. */
export function refusalOfSubscriber(name: string): Buffer | undefined {
  if (WHILE_SUBSCRIBED.has(name)) return undefined
  return errorReply(
    `ERR Can't execute '${name.toLowerCase().slice(0, 40)}': only (P)SUBSCRIBE / ` +
      '(P)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context',
  )
}

export function subscribe({ subscriptions }: Listener, request: Request): Buffer {
  return forEach('subscribe', request, subscriptions, (name) => {
    subscriptions.channels.add(name)
  })
}

export function psubscribe({ subscriptions }: Listener, request: Request): Buffer {
  return forEach('psubscribe', request, subscriptions, (name, bytes) => {
    subscriptions.patterns.set(name, compileGlob(bytes))
  })
}

export function unsubscribe({ subscriptions }: Listener, request: Request): Buffer {
  return without('unsubscribe', request, subscriptions, subscriptions.channels)
}

export function punsubscribe({ subscriptions }: Listener, request: Request): Buffer {
  return without('punsubscribe', request, subscriptions, subscriptions.patterns)
}

/** To all who listen; answers how many got it. */
export function publish(listeners: Iterable<Listener>, request: Request): Buffer {
  if (request.length !== 3) return errorReply("ERR wrong number of arguments for 'publish' command")
  const [, channel, message] = request as [Buffer, Buffer, Buffer]
  const name = channel.toString('latin1')
  let receivers = 0
  for (const listener of [...listeners]) {
    const { channels, patterns } = listener.subscriptions
    if (channels.has(name)) {
      listener.push(array([bulk('message'), bulk(channel), bulk(message)]))
      receivers += 1
    }
    for (const [pattern, matches] of patterns) {
      if (!matches(channel, 0, channel.length)) continue
      const words = [bulk(Buffer.from(pattern, 'latin1')), bulk(channel), bulk(message)]
      listener.push(array([bulk('pmessage'), ...words]))
      receivers += 1
    }
  }
  return integer(receivers)
}

function forEach(
  verb: string,
  request: Request,
  subscriptions: Subscriptions,
  add: (name: string, bytes: Buffer) => void,
): Buffer {
  const names = request.slice(1)
  if (names.length === 0) return errorReply(`ERR wrong number of arguments for '${verb}' command`)
  if (subscriptions.count + names.length > MAX_SUBSCRIPTIONS) {
    return errorReply(`ERR at most ${MAX_SUBSCRIPTIONS} channels and patterns for a client`)
  }
  const replies = names.map((bytes) => {
    add(bytes.toString('latin1'), bytes)
    return array([bulk(verb), bulk(bytes), integer(subscriptions.count)])
  })
  return Buffer.concat(replies)
}

/** Those that are named; all where none is. */
function without(
  verb: string,
  request: Request,
  subscriptions: Subscriptions,
  from: { keys(): Iterable<string>; delete(name: string): boolean },
): Buffer {
  const named = request.slice(1).map((bytes) => bytes.toString('latin1'))
  const names = named.length > 0 ? named : [...from.keys()]
  if (names.length === 0) return array([bulk(verb), NIL, integer(subscriptions.count)])
  const replies = names.map((name) => {
    from.delete(name)
    return array([bulk(verb), bulk(Buffer.from(name, 'latin1')), integer(subscriptions.count)])
  })
  return Buffer.concat(replies)
}
