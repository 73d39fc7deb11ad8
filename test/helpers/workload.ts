/**
 * A writer of commands of all kinds: every type, several databases, MULTI, EVAL, expiring keys,
 * binary arguments, large values. Commands go pipelined over one connection; `counter` keys are
 * incremented a known number of times, so that a command stored twice or not at all shows.
 */
import { connect, type Socket } from 'node:net'
import { ReplyCounter } from '../../src/resp/reply-counter.js'

export interface WorkloadOptions {
  port: number
  /** Commands a second to aim at; default as many as the server takes. */
  rate?: number
  /** Leaves out what older servers do not know. */
  serverMajor: number
  seed?: number
  dbs?: number
  /** Each so many commands one value of this size. Default none. */
  bigBytes?: number
}

export interface Workload {
  readonly commands: number
  readonly errors: number
  readonly lastError: string
  /** Sum that the counters of all databases must have. */
  readonly increments: number
  /** Stops writing and waits for all replies. */
  stop(): Promise<void>
  readonly failed: Error | undefined
}

const WINDOW = 4000

export async function startWorkload(options: WorkloadOptions): Promise<Workload> {
  let seed = options.seed ?? 1
  const random = (): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    return seed / 2 ** 32
  }
  const int = (n: number): number => Math.floor(random() * n)
  const pick = <T>(list: readonly T[]): T => list[int(list.length)]!
  const text = (): string => {
    const kind = int(4)
    if (kind === 0) return String(int(1_000_000))
    if (kind === 1) return '\r\n*1\r\n$4\r\nPING\r\n'.slice(0, int(20))
    if (kind === 2)
      return Array.from({ length: int(40) }, () => String.fromCharCode(int(256))).join('')
    return 'x'.repeat(int(60))
  }
  const key = (kind: string): string => `${kind}:${int(300)}`
  const streamIds = new Map<string, number>()
  const state = { commands: 0, errors: 0, lastError: '', increments: 0 }
  let failed: Error | undefined
  let parts: string[] = []
  let sent = 0
  let big = 0
  let inMulti = 0

  const encode = (...args: (string | number)[]): true => {
    let wire = `*${args.length}\r\n`
    for (const arg of args) {
      const each = String(arg)
      wire += `$${each.length}\r\n${each}\r\n`
    }
    parts.push(wire)
    sent += 1
    return true
  }
  const write = (): unknown => {
    switch (int(34)) {
      case 0:
      case 1:
      case 2:
        return encode('SET', key('s'), text())
      case 3:
        return encode('SET', key('e'), text(), pick(['EX', 'PX']), 100_000 + int(1000))
      case 4:
        return encode('SET', key('short'), text(), 'PX', 50 + int(500))
      case 5:
      case 6:
        state.increments += 1
        return encode('INCR', `counter:${int(20)}`)
      case 7:
        return encode('APPEND', `a:${int(2000)}`, 'y'.repeat(int(5)))
      case 8:
        return encode('RPUSH', key('l'), text(), text())
      case 9:
        return encode('LPOP', key('l'))
      case 10:
        return encode('LTRIM', key('l'), 0, 100)
      case 11:
        return encode('SADD', key('set'), text(), text(), int(100))
      case 12:
        return encode('SPOP', key('set'))
      case 13:
        return encode('ZADD', key('z'), random() * 1000, text())
      case 14:
        return encode('ZINCRBY', key('z'), 0.5, int(20))
      case 15:
        return encode('ZREMRANGEBYRANK', key('z'), 100, -1)
      case 16:
        return encode('HSET', key('h'), int(50), text(), int(50), text())
      case 17:
        return encode('HINCRBYFLOAT', key('hf'), int(5), 1.5)
      case 18:
        return encode('HDEL', key('h'), int(50))
      case 19: {
        const name = key('x')
        const id = (streamIds.get(name) ?? 0) + 1
        streamIds.set(name, id)
        return encode('XADD', name, 'MAXLEN', 50, '*', 'f', text(), 'n', id)
      }
      case 20:
        return encode('EXPIRE', key('s'), 1000)
      case 21:
        return encode('PERSIST', key('e'))
      case 22:
        return encode('DEL', key(pick(['s', 'h', 'l', 'set', 'z'])))
      case 23:
        return encode('SELECT', int(options.dbs ?? 4))
      case 24: {
        if (inMulti > 0) return encode('PING')
        encode('MULTI')
        inMulti = 1 + int(5)
        for (; inMulti > 0; inMulti--) write()
        return encode('EXEC')
      }
      case 25:
        state.increments += 1
        return encode(
          'EVAL',
          "redis.call('SET', KEYS[1], ARGV[1]); redis.call('RPUSH', KEYS[2], ARGV[1]); return redis.call('INCR', KEYS[3])",
          3,
          key('s'),
          key('l'),
          `counter:${int(20)}`,
          text(),
        )
      case 26:
        return encode('SETRANGE', key('r'), int(100), text())
      case 27:
        return encode('BITFIELD', key('b'), 'SET', 'u8', int(100), int(200))
      case 28:
        return encode('PFADD', key('p'), text())
      case 29:
        return encode('GEOADD', key('g'), 13.361389, 38.115556, int(100))
      case 30:
        return encode('SETEX', key('e'), 1000, text())
      case 31:
        return encode('PUBLISH', 'channel', text())
      case 32:
        return encode('RENAME', key('r'), key('r2'))
      default:
        if (options.bigBytes !== undefined && ++big % 500 === 0) {
          return encode('SET', `big:${int(4)}`, 'B'.repeat(options.bigBytes))
        }
        return encode('GETEX', key('e'), 'EX', 2000)
    }
  }

  const counter = new ReplyCounter({
    onError: (_reply, _element, bytes) => {
      state.errors += 1
      state.lastError = Buffer.from(bytes).toString('latin1')
    },
  })
  const socket: Socket = connect(options.port, '127.0.0.1')
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('error', reject)
  })
  let stopping = false
  let done: (() => void) | undefined
  const started = performance.now()
  const fill = (): void => {
    if (stopping || failed !== undefined) return
    const allowed =
      options.rate === undefined
        ? Infinity
        : ((performance.now() - started) / 1000) * options.rate + 50
    while (sent - counter.replies < WINDOW && sent < allowed && parts.length < WINDOW) write()
    if (parts.length === 0) return
    socket.write(parts.join(''), 'latin1')
    parts = []
  }
  socket.on('data', (chunk: Buffer) => {
    counter.push(chunk)
    state.commands = counter.replies
    if (stopping && counter.replies >= sent) done?.()
    else fill()
  })
  socket.on('error', (error) => (failed = error))
  socket.on('close', () => {
    failed ??= stopping ? undefined : new Error('the server closed the connection')
    done?.()
  })
  const timer = setInterval(fill, 5)
  fill()
  return {
    get commands() {
      return state.commands
    },
    get errors() {
      return state.errors
    },
    get lastError() {
      return state.lastError
    },
    get increments() {
      return state.increments
    },
    get failed() {
      return failed
    },
    stop: async () => {
      clearInterval(timer)
      stopping = true
      if (counter.replies < sent && failed === undefined) {
        await new Promise<void>((resolve) => (done = resolve))
      }
      socket.destroy()
    },
  }
}
