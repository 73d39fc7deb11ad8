/**
 * What a master answers besides SYNC, PSYNC and REPLCONF: as much as redis-cli, client libraries,
 * exporters and Sentinel ask before and while they look at a replication link. Nothing reads or
 * writes data, because there is none; nothing goes upstream; and whoever asks, whom we follow is
 * for our command line to say.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { compileGlob } from '../../bytes/glob.js'
import { STATE_NAMES, type Client } from './client.js'
import type { ConnectionHost } from '../host.js'
import { formatInfo, redisVersionOf, roleName } from './info.js'
import {
  psubscribe,
  publish,
  punsubscribe,
  refusalOfSubscriber,
  subscribe,
  unsubscribe,
} from './pubsub.js'
import { array, bulk, errorReply, integer, NIL, OK, PONG, status } from './replies.js'
import type { Request } from './request-parser.js'

const MAX_FAILED_AUTHS = 5

type Handler = (connection: Client, host: ConnectionHost, request: Request) => Buffer | undefined

const HANDLERS: Readonly<Record<string, Handler>> = {
  PING: ping,
  ECHO: (_connection, _host, request) =>
    request.length === 2 ? bulk(request[1]!) : wrongArguments('echo'),
  AUTH: (connection, host, request) => authenticate(connection, host, request.slice(1)),
  HELLO: hello,
  QUIT: (connection) => {
    connection.finish(OK)
    return undefined
  },
  RESET: ({ subscriptions, transaction }) => {
    subscriptions.clear()
    transaction.discard()
    return status('RESET')
  },
  SELECT: (_connection, _host, request) =>
    /^\d{1,5}$/.test(text(request[1])) ? OK : errorReply('ERR invalid DB index'),
  INFO: (_connection, host, request) => bulk(formatInfo(host, request.slice(1).map(text))),
  ROLE: role,
  COMMAND: (_connection, _host, request) =>
    text(request[1]).toUpperCase() === 'COUNT' ? integer(0) : array([]),
  CLIENT: client,
  CONFIG: config,
  WAIT: wait,
  PUBLISH: (_connection, host, request) => publish(host.connections, request),
  SUBSCRIBE: (connection, _host, request) => subscribe(connection, request),
  PSUBSCRIBE: (connection, _host, request) => psubscribe(connection, request),
  UNSUBSCRIBE: (connection, _host, request) => unsubscribe(connection, request),
  PUNSUBSCRIBE: (connection, _host, request) => punsubscribe(connection, request),
  MULTI: ({ transaction }) => {
    transaction.begin()
    return OK
  },
  EXEC: () => errorReply('ERR EXEC without MULTI'),
  DISCARD: () => errorReply('ERR DISCARD without MULTI'),
  SLAVEOF: replicaOf,
  REPLICAOF: replicaOf,
  SCRIPT: (_connection, _host, request) =>
    text(request[1]).toUpperCase() === 'KILL'
      ? errorReply('NOTBUSY No scripts in execution right now.')
      : errorReply('ERR unknown SCRIPT subcommand'),
  TIME: () => {
    const micros = Math.round((performance.timeOrigin + performance.now()) * 1000)
    return array([bulk(String(Math.floor(micros / 1e6))), bulk(String(micros % 1_000_000))])
  },
}

export function mayBeAskedWithoutPassword(name: string): boolean {
  return name === 'AUTH' || name === 'HELLO' || name === 'QUIT'
}

/** Undefined where the answer comes later or never. */
export function answer(
  connection: Client,
  host: ConnectionHost,
  name: string,
  request: Request,
): Buffer | undefined {
  const { subscriptions, transaction } = connection
  const refusal = subscriptions.count > 0 ? refusalOfSubscriber(name) : undefined
  if (refusal !== undefined) return refusal
  const handler = Object.hasOwn(HANDLERS, name) ? HANDLERS[name] : undefined
  if (transaction.isOpen) {
    const inTransaction = Object.hasOwn(IN_TRANSACTION, name) ? IN_TRANSACTION[name] : undefined
    if (inTransaction !== undefined) return inTransaction(connection, host, request)
    return transaction.add(name, request, handler !== undefined)
  }
  if (handler === undefined) {
    return errorReply(
      `ERR unknown command '${name.toLowerCase().slice(0, 40)}', this is rrep, a master for replicas only`,
    )
  }
  return handler(connection, host, request)
}

/** Not queued in a transaction. */
const IN_TRANSACTION: Readonly<Record<string, Handler>> = {
  MULTI: () => errorReply('ERR MULTI calls can not be nested'),
  EXEC: exec,
  DISCARD: ({ transaction }) => {
    transaction.discard()
    return OK
  },
  QUIT: HANDLERS['QUIT']!,
  RESET: HANDLERS['RESET']!,
}

function exec(connection: Client, host: ConnectionHost): Buffer {
  const queued = connection.transaction.take()
  if (queued === undefined) {
    return errorReply('EXECABORT Transaction discarded because of previous errors.')
  }
  // Each of them answers at once: those that do not were not queued.
  return array(queued.map(({ name, request }) => HANDLERS[name]!(connection, host, request)!))
}

function ping({ subscriptions }: Client, _host: ConnectionHost, request: Request): Buffer {
  if (subscriptions.count === 0) return request.length > 1 ? bulk(request[1]!) : PONG
  return array([bulk('pong'), bulk(request[1] ?? '')])
}

/** Never obeyed (to a link behind Sentinels it is a word to ask them): a relay that is told so by anybody who can connect would hand its replicas, and
 * its password, to whoever is named. */
function replicaOf(_connection: Client, host: ConnectionHost, request: Request): Buffer {
  if (request.length !== 3) return wrongArguments('replicaof')
  const { upstream } = host.origin
  if (upstream === undefined) return errorReply('ERR what serves files follows nobody')
  const [name, port] = [text(request[1]), text(request[2])]
  const isPlace = /^\d{1,5}$/.test(port) && /^[\w.:-]{1,255}$/.test(name)
  if (host.origin.onReplicaOf !== undefined && isPlace) {
    host.origin.onReplicaOf({ host: name, port: Number(port) })
    return OK
  }
  if (name === upstream.host && port === String(upstream.port)) {
    return status('OK Already connected to specified master')
  }
  return errorReply(
    name.toUpperCase() === 'NO' && port.toUpperCase() === 'ONE'
      ? 'ERR a relay holds no data of its own and is never a master'
      : `ERR a relay follows whom its command line names: ${upstream.address}`,
  )
}

function authenticate(connection: Client, host: ConnectionHost, words: readonly Buffer[]): Buffer {
  if (words.length < 1 || words.length > 2) return wrongArguments('auth')
  if (host.isAnnouncement) return OK
  if (host.password === undefined) {
    return errorReply(
      'ERR AUTH <password> called without any password configured for the default user. ' +
        'Are you sure your configuration is correct?',
    )
  }
  const user = words.length === 2 ? text(words[0]) : 'default'
  if (user === 'default' && sameSecret(words.at(-1)!, Buffer.from(host.password))) {
    connection.isAuthenticated = true
    return OK
  }
  connection.failedAuths += 1
  const reply = errorReply('WRONGPASS invalid username-password pair or user is disabled.')
  if (connection.failedAuths < MAX_FAILED_AUTHS) return reply
  host.emit({ event: 'client-refused', client: connection.peer, reason: 'wrong passwords' })
  connection.finish()
  return reply
}

/** Compares digests: takes the same time whatever the lengths and the first difference. */
function sameSecret(left: Uint8Array, right: Uint8Array): boolean {
  const digest = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest()
  return timingSafeEqual(digest(left), digest(right))
}

function hello(connection: Client, host: ConnectionHost, request: Request): Buffer {
  const words = request.slice(1)
  if (words.length > 0 && text(words[0]) !== '2') {
    return errorReply('NOPROTO unsupported protocol version')
  }
  for (let index = 1; index < words.length; index += 1) {
    const option = text(words[index]).toUpperCase()
    if (option === 'AUTH') {
      const reply = authenticate(connection, host, words.slice(index + 1, index + 3))
      if (reply !== OK) return reply
      index += 2
    } else if (option === 'SETNAME') {
      connection.profile.name = text(words[index + 1])
      index += 1
    } else return errorReply('ERR Syntax error in HELLO')
  }
  if (!connection.isAuthenticated) return errorReply('NOAUTH HELLO must be called with AUTH.')
  return array([
    ...[bulk('server'), bulk('redis'), bulk('version'), bulk(redisVersionOf(host.reportedServer))],
    ...[bulk('proto'), integer(2), bulk('id'), integer(connection.id)],
    ...[bulk('mode'), bulk('standalone'), bulk('role'), bulk(roleName(host))],
    ...[bulk('modules'), array([])],
  ])
}

function role(_connection: Client, host: ConnectionHost): Buffer {
  const { upstream, log } = host.origin
  if (upstream !== undefined) {
    const state = upstream.isSyncing ? 'sync' : upstream.isUp ? 'connected' : 'connect'
    return array([
      ...[bulk('slave'), bulk(upstream.host), integer(upstream.port)],
      ...[bulk(state), integer(log.endReplOffset)],
    ])
  }
  const replicas = [...host.connections].filter((each) => each.state === 'online')
  return array([
    bulk('master'),
    integer(log.endReplOffset),
    array(
      replicas.map(({ profile, peerIp, ackedReplOffset }) =>
        array([
          bulk(profile.ipAddress ?? peerIp),
          bulk(String(profile.listeningPort)),
          bulk(String(Math.max(0, ackedReplOffset))),
        ]),
      ),
    ),
  ])
}

function client(connection: Client, host: ConnectionHost, request: Request): Buffer {
  switch (text(request[1]).toUpperCase()) {
    case 'SETNAME':
      if (!/^[!-~]{0,64}$/.test(text(request[2]))) {
        return errorReply('ERR Client names cannot contain spaces, newlines or special characters.')
      }
      connection.profile.name = text(request[2])
      return OK
    case 'GETNAME':
      return connection.profile.name === '' ? NIL : bulk(connection.profile.name)
    case 'SETINFO':
    case 'NO-EVICT':
    case 'NO-TOUCH':
      return OK
    case 'ID':
      return integer(connection.id)
    case 'KILL':
      // By filters: how many were. By address: nobody of that address.
      return request.length === 3 ? errorReply('ERR No such client') : integer(0)
    case 'LIST':
      return bulk([...host.connections].map(describeClient).join(''))
    default:
      return errorReply('ERR unknown CLIENT subcommand')
  }
}

function describeClient(each: Client): string {
  const ageSeconds = Math.round((Date.now() - each.connectedMs) / 1000)
  const idleSeconds = Math.round((Date.now() - each.lastRequestMs) / 1000)
  return (
    `id=${each.id} addr=${each.peer} name=${each.profile.name} age=${ageSeconds} ` +
    `idle=${idleSeconds} flags=${each.isReplica ? 'S' : 'N'} ` +
    `omem=${each.feed?.lagBytes ?? 0} cmd=${each.isReplica ? STATE_NAMES[each.state] : 'none'}\n`
  )
}

function config(_connection: Client, host: ConnectionHost, request: Request): Buffer {
  const subcommand = text(request[1]).toUpperCase()
  // Nothing was changed since the start, so nothing is lost.
  if (subcommand === 'REWRITE') return OK
  if (subcommand !== 'GET') {
    return errorReply('ERR settings are those that rrep was started with')
  }
  const { limits, origin, timeoutMs } = host
  const settings: readonly (readonly [string, string])[] = [
    ['appendonly', 'no'],
    [
      'client-output-buffer-limit',
      `replica ${limits.hardBytes} ${limits.softBytes} ${limits.softMs / 1000}`,
    ],
    ['databases', '16'],
    ['maxmemory', '0'],
    ['port', String(host.listenPort)],
    ['repl-backlog-size', String(origin.backlogSizeBytes)],
    ['repl-diskless-sync', 'no'],
    ['repl-timeout', String(Math.round(timeoutMs / 1000))],
    ['save', ''],
    ['timeout', '0'],
  ]
  const patterns = request.slice(2).map(compileGlob)
  const found = settings.filter(([name]) =>
    patterns.some((matches) => matches(Buffer.from(name), 0, name.length)),
  )
  return array(found.flatMap(([name, value]) => [bulk(name), bulk(value)]))
}

function wait(connection: Client, host: ConnectionHost, request: Request): Buffer | undefined {
  const replicas = Number(text(request[1]))
  const timeoutMs = Number(text(request[2]))
  if (request.length !== 3) return wrongArguments('wait')
  if (!Number.isSafeInteger(replicas) || !Number.isSafeInteger(timeoutMs) || timeoutMs < 0) {
    return errorReply('ERR value is not an integer or out of range')
  }
  const acked = host.waitForAcks(replicas, timeoutMs, connection.signal)
  connection.answerWith(acked.then(integer))
  return undefined
}

function text(bytes: Buffer | undefined): string {
  return bytes?.toString('latin1') ?? ''
}

function wrongArguments(name: string): Buffer {
  return errorReply(`ERR wrong number of arguments for '${name}' command`)
}
