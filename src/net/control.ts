/**
 * A second connection to a server for questions: INFO, CONFIG GET, COMMAND, CLUSTER …
 *
 * A thin wrapper over ioredis with the settings of everything else, one attempt per connection,
 * no queueing across losses, and its errors turned into ours. Data never goes through it. The
 * signal it was opened with closes it at once: what waits then rejects with AbortedError.
 */
import type { Redis, RedisOptions } from 'ioredis'
import {
  AbortedError,
  AuthError,
  LinkError,
  ProtocolError,
  type ErrorDetails,
  type RrepError,
} from '../errors.js'
import { printable } from '../bytes/printable.js'
import { formatServerAddress } from './address.js'
import { connectError, noTlsError, plainPortError } from './line-errors.js'
import { parseInfo, type InfoFields } from './info.js'
import { LoadingWait } from './loading-wait.js'
import {
  certifiedName,
  dialledPlace,
  located,
  PASSWORD_HINT,
  type ServerSettings,
} from './server-settings.js'
import { probePlain, watchTlsSilence } from './transport.js'
import { sleep } from './waiting.js'

export class ControlClient {
  readonly settings: ServerSettings
  readonly #redis: Redis
  readonly #signal: AbortSignal | undefined
  readonly #onAbort = (): void => this.close()

  private constructor(settings: ServerSettings, redis: Redis, signal: AbortSignal | undefined) {
    this.settings = settings
    this.#redis = redis
    this.#signal = signal
    signal?.addEventListener('abort', this.#onAbort, { once: true })
  }

  /** Connects and authenticates. Rejects with LinkError, AuthError or AbortedError. A server that
   * loads its data answers INFO and CONFIG, and knows neither its keys nor its history: `wait`
   * waits for it as long as the settings say, `reject` rejects with ERR_LOADING. */
  static async open(
    wished: ServerSettings,
    signal?: AbortSignal,
    whileLoading: 'wait' | 'reject' | 'ask' = 'wait',
  ): Promise<ControlClient> {
    if (isAborted(signal)) throw new AbortedError()
    const settings = await located(wished, signal)
    if (isAborted(signal)) throw new AbortedError()
    // Loaded only where somebody asks: it is a sixth of a second and 10 MB.
    // By its default export, which is all that a bundle of it has.
    const { Redis } = (await import('ioredis')).default
    const redis = new Redis(redisOptions(settings))
    let fault: Error | undefined
    redis.on('error', (error: Error) => (fault = error))
    const client = new ControlClient(settings, redis, signal)
    let plain: Error | undefined
    const stopWatch = watchTlsSilence(settings, signal, () => {
      plain = plainPortError(settings)
      client.close()
    })
    try {
      await redis.connect()
    } catch (error) {
      client.close()
      throwIf(plain)
      if (isAborted(signal)) throw new AbortedError()
      const cause = fault ?? (error as Error)
      const isSilent = (cause as NodeJS.ErrnoException).code === 'ETIMEDOUT'
      if (isSilent && (await probePlain(settings, signal)) === 'mute') throw noTlsError(settings)
      throw connectError(settings, cause)
    } finally {
      stopWatch()
    }
    try {
      await client.#authenticate()
      if (settings.address.db !== 0) await client.call('SELECT', String(settings.address.db))
      if (whileLoading !== 'ask') await client.#untilLoaded(whileLoading === 'wait')
    } catch (error) {
      client.close()
      throw error
    }
    return client
  }

  /** One command; resolves with strings, numbers, null or arrays of them. Rejects with AuthError
   * (NOAUTH, NOPERM, …), ProtocolError ERR_SERVER_REPLY for any other error reply, LinkError. */
  async call(command: string, ...args: readonly (string | number)[]): Promise<unknown> {
    try {
      return await this.#redis.call(command, ...args.map(String))
    } catch (error) {
      throw this.#replyError(command, error)
    }
  }

  /** The same with bulk replies as Buffers. */
  async callBuffer(command: string, ...args: readonly (string | Buffer)[]): Promise<unknown> {
    try {
      return await this.#redis.callBuffer(command, ...args)
    } catch (error) {
      throw this.#replyError(command, error)
    }
  }

  /** `INFO [section]` as field → value. */
  async info(section?: string): Promise<InfoFields> {
    const text = await (section === undefined ? this.call('INFO') : this.call('INFO', section))
    const fields = parseInfo(String(text))
    // Valkey 9 calls it by another name.
    const mode = fields.get('redis_mode') ?? fields.get('server_mode')
    if (mode === 'sentinel') throw sentinelError(this.settings)
    return fields
  }

  /** `CONFIG GET pattern` as name → value; undefined where CONFIG is not allowed or not there. */
  async configGet(pattern: string): Promise<ReadonlyMap<string, string> | undefined> {
    try {
      const flat = (await this.call('CONFIG', 'GET', pattern)) as string[]
      const found = new Map<string, string>()
      for (let i = 0; i + 1 < flat.length; i += 2) found.set(flat[i]!, flat[i + 1]!)
      return found
    } catch (error) {
      if (error instanceof AuthError || error instanceof ProtocolError) return undefined
      throw error
    }
  }

  /** `loading_eta_seconds`, which INFO tells also while the server loads. */
  async loadingEtaSeconds(): Promise<number | undefined> {
    const eta = Number((await this.info('persistence')).get('loading_eta_seconds'))
    return Number.isFinite(eta) && eta >= 0 ? eta : undefined
  }

  /** Our end of the connection; undefined by a unix socket, or where there is none. */
  get localAddress(): string | undefined {
    const { localAddress } = this.#redis.stream as { localAddress?: string | undefined }
    return localAddress === '' ? undefined : localAddress
  }

  close(): void {
    this.#signal?.removeEventListener('abort', this.#onAbort)
    this.#redis.disconnect()
  }

  // Not left to ioredis: it prints to the console where a password was not needed.
  async #authenticate(): Promise<void> {
    const { username, password } = this.settings
    if (password === undefined) return
    try {
      await (username === undefined
        ? this.call('AUTH', password)
        : this.call('AUTH', username, password))
    } catch (error) {
      if (error instanceof ProtocolError && isNoPasswordSet(error.message)) return
      throw error
    }
  }

  /** PING is among what a loading server refuses. Who may not ask, or gets another refusal, hears of
   * it where it matters. */
  async #untilLoaded(mayWait: boolean): Promise<void> {
    const wait = new LoadingWait(this.settings)
    for (;;) {
      try {
        await this.call('PING')
        return
      } catch (error) {
        if (error instanceof AuthError || isErrorReply(error)) return
        if (!mayWait || !(error instanceof LinkError) || error.code !== 'ERR_LOADING') throw error
        const pause = wait.next(await this.#etaIfTold(), error)
        if (pause === undefined) throw error
        this.settings.onLoading?.(pause.error, pause.retryInMs)
        await sleep(pause.retryInMs, this.#signal)
      }
    }
  }

  async #etaIfTold(): Promise<number | undefined> {
    try {
      return await this.loadingEtaSeconds()
    } catch (error) {
      if (error instanceof AuthError || error instanceof ProtocolError) return undefined
      throw error
    }
  }

  #replyError(command: string, error: unknown): RrepError {
    const name = formatServerAddress(this.settings.address)
    const details = { server: name, command }
    if (!(error instanceof Error) || error.name !== 'ReplyError') {
      if (isAborted(this.#signal)) return new AbortedError()
      const message = error instanceof Error ? error.message : String(error)
      // The parser's words, which ask for a report of what is the server's fault.
      if (message.startsWith('Unknown RESP type')) {
        return new ProtocolError(
          'ERR_PROTOCOL',
          `${name}: what it says to ${command} is no reply of a Redis server`,
          { cause: error, details, hint: 'is this the right port?' },
        )
      }
      return new LinkError('ERR_LINK_LOST', `${name}: no answer to ${command}: ${message}`, {
        cause: error,
        retriable: true,
        details,
      })
    }
    const line = error.message
    if (line.startsWith('NOAUTH')) return passwordWanted(this.settings, line, details)
    const text = `${name} refused ${command}: ${printable(Buffer.from(line))}`
    if (/^(NOAUTH|WRONGPASS|NOPERM|DENIED)\b|invalid password|operation not permitted/.test(line)) {
      return new AuthError('ERR_REFUSED', text, { details })
    }
    if (line.startsWith('LOADING')) {
      return new LinkError('ERR_LOADING', text, { retriable: true, details })
    }
    return new ProtocolError('ERR_SERVER_REPLY', text, { details })
  }
}

function throwIf(error: Error | undefined): void {
  if (error !== undefined) throw error
}

function isAborted(signal: AbortSignal | undefined): boolean {
  return signal?.aborted === true
}

/** The server knows the command and says no, where another reply is no reply at all. */
function isErrorReply(error: unknown): boolean {
  return error instanceof ProtocolError && error.code === 'ERR_SERVER_REPLY'
}

/** It holds no keys, and answers much as if it were a server without any. */
function sentinelError(settings: ServerSettings): ProtocolError {
  const name = formatServerAddress(settings.address)
  return new ProtocolError('ERR_SENTINEL', `${name} is a Sentinel: it holds no keys`, {
    hint: `name the master that it watches: redis-sentinel://${name}#NAME`,
    details: { server: name },
  })
}

/** Throws where the server is a Sentinel. What else it is, and whether it tells, is not asked. */
export async function refuseSentinel(settings: ServerSettings): Promise<void> {
  let control: ControlClient | undefined
  try {
    control = await ControlClient.open(settings)
    await control.info('server')
  } catch (error) {
    if (error instanceof ProtocolError && error.code === 'ERR_SENTINEL') throw error
  } finally {
    control?.close()
  }
}

function passwordWanted(settings: ServerSettings, line: string, details: ErrorDetails): AuthError {
  const name = formatServerAddress(settings.address)
  return new AuthError('ERR_NOAUTH', `${name} wants a password (${printable(Buffer.from(line))})`, {
    hint: settings.passwordHint ?? PASSWORD_HINT,
    details,
  })
}

/** True for the two ways in which servers say that AUTH was not needed. */
export function isNoPasswordSet(line: string): boolean {
  return /no password is set|without any password configured/.test(line)
}

function redisOptions(settings: ServerSettings) {
  const { address, timeoutMs } = settings
  const tls = settings.tls ?? {}
  const name = certifiedName(settings)
  const { host, port } = dialledPlace(settings)
  return {
    ...(address.transport === 'unix' ? { path: address.socketPath ?? '' } : { host, port }),
    ...(address.transport === 'tls'
      ? {
          tls: {
            rejectUnauthorized: tls.insecure !== true,
            ...(name === undefined ? {} : { servername: name }),
            ...(tls.ca === undefined ? {} : { ca: tls.ca }),
            ...(tls.cert === undefined ? {} : { cert: tls.cert }),
            ...(tls.key === undefined ? {} : { key: tls.key }),
          },
        }
      : {}),
    lazyConnect: true,
    protocol: 2,
    enableReadyCheck: false,
    disableClientInfo: true,
    connectTimeout: timeoutMs,
    commandTimeout: timeoutMs,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    // How long a server that does not close its side keeps the process from ending.
    disconnectTimeout: 200,
  } satisfies RedisOptions
}
