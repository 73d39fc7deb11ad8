/**
 * Real servers for tests: which ones this machine has, and one started in a directory of its own
 * on a free port. `start` resolves once the server answers; `stop` ends it and removes its files.
 * Everything listens on loopback.
 */
import { spawn, execFileSync, type ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { owned } from './children.js'

export interface ServerBinary {
  /** Such as `redis-7.0.15` or `valkey-9.1.2`. */
  name: string
  family: 'redis' | 'valkey'
  version: string
  /** Paths of the server, the client and the check tools. */
  server: string
  cli: string
  checkRdb: string
  checkAof: string
}

export interface TestServer {
  binary: ServerBinary
  port: number
  dir: string
  socketPath: string
  pid: number
  client: Redis
  /** A further client of this server; closed by `stop`. */
  newClient(db?: number): Redis
  /** Ends the process with the signal, keeps the directory; `restart` brings it back. */
  kill(signal?: NodeJS.Signals): Promise<void>
  restart(extraArgs?: readonly string[]): Promise<void>
  stop(): Promise<void>
}

export interface StartOptions {
  binary?: ServerBinary
  /** Directory to run in; by default a fresh one, removed by `stop`. */
  dir?: string
  port?: number
  /** Options as on the command line, e.g. `['--appendonly', 'yes']`. */
  args?: readonly string[]
  /** For servers with a password. */
  username?: string
  password?: string
}

/** Every server this machine has: Debian's own first, then what newer-servers.sh fetched. */
export function serverBinaries(): ServerBinary[] {
  const found: ServerBinary[] = []
  for (const dir of (process.env['PATH'] ?? '').split(':')) {
    if (existsSync(join(dir, 'redis-server'))) {
      add(found, 'redis', dir)
      break
    }
  }
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'rrep-servers')
  if (existsSync(cache)) {
    for (const entry of readdirSync(cache).sort()) {
      if (entry.startsWith('redis-')) add(found, 'redis', join(cache, entry, 'bin'))
      if (entry.startsWith('valkey-')) add(found, 'valkey', join(cache, entry, 'bin'))
    }
  }
  return found
}

function add(found: ServerBinary[], family: 'redis' | 'valkey', dir: string): void {
  const server = join(dir, `${family}-server`)
  if (!existsSync(server)) return
  const version = /v=([0-9.]+)/.exec(execFileSync(server, ['--version'], { encoding: 'utf8' }))?.[1]
  if (version === undefined) return
  found.push({
    name: `${family}-${version}`,
    family,
    version,
    server,
    cli: join(dir, `${family}-cli`),
    checkRdb: join(dir, `${family}-check-rdb`),
    checkAof: join(dir, `${family}-check-aof`),
  })
}

/** The server whose name begins so (`redis-7.0`, `valkey-9`), or undefined. */
export function serverBinary(prefix: string): ServerBinary | undefined {
  return serverBinaries().find((binary) => binary.name.startsWith(prefix))
}

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  await new Promise<void>((resolve) => server.close(() => resolve()))
  return port
}

export async function startServer(options: StartOptions = {}): Promise<TestServer> {
  const binary = options.binary ?? serverBinaries()[0]
  if (binary === undefined) throw new Error('no redis-server on this machine')
  const dir = options.dir ?? mkdtempSync(join(tmpdir(), 'rrep-test-'))
  const ownsDir = options.dir === undefined
  let port = options.port ?? (await freePort())
  const socketPath = join(dir, 'server.sock')
  const clients: Redis[] = []
  let child: ChildProcess | undefined

  const launch = async (args: readonly string[]): Promise<void> => {
    child = spawn(
      binary.server,
      [
        ...['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--save', ''],
        ...['--unixsocket', socketPath, '--repl-diskless-sync-delay', '0'],
        ...['--enable-debug-command', 'yes'],
        ...args,
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    )
    const started = child
    owned(started)
    let log = ''
    child.stdout?.on('data', (chunk: Buffer) => (log = (log + chunk.toString()).slice(-8192)))
    child.stderr?.on('data', (chunk: Buffer) => (log = (log + chunk.toString()).slice(-8192)))
    await waitFor(
      async () => {
        if (typeof child?.exitCode === 'number') {
          throw new Error(`${binary.name} ended with ${child.exitCode}:\n${log}`)
        }
        return await answers(socketPath)
      },
      { what: `${binary.name} on port ${port}`, timeoutMs: 30_000 },
    )
  }
  const newClient = (db = 0): Redis => {
    const client = new Redis({
      port,
      host: '127.0.0.1',
      db,
      lazyConnect: false,
      maxRetriesPerRequest: null,
      retryStrategy: (times) => (times > 100 ? null : 50),
      ...(options.username === undefined ? {} : { username: options.username }),
      ...(options.password === undefined ? {} : { password: options.password }),
    })
    // Tests cut links and kill servers on purpose; what matters shows in the commands.
    client.on('error', () => undefined)
    clients.push(client)
    return client
  }
  const kill = async (signal: NodeJS.Signals = 'SIGKILL'): Promise<void> => {
    const target = child
    if (target?.exitCode !== null || target.signalCode !== null) return
    const ended = new Promise<void>((resolve) => target.once('exit', () => resolve()))
    target.kill(signal)
    await ended
  }

  for (let attempt = 1; ; attempt += 1) {
    try {
      await launch(options.args ?? [])
      break
    } catch (error) {
      // Whoever asked for a free port at the same moment may have taken it.
      const isTaken = error instanceof Error && error.message.includes('Address already in use')
      if (!isTaken || options.port !== undefined || attempt === 5) throw error
      port = await freePort()
    }
  }
  const client = newClient()
  return {
    binary,
    port,
    dir,
    socketPath,
    get pid() {
      return child?.pid ?? 0
    },
    client,
    newClient,
    kill,
    restart: async (extraArgs) => {
      await kill('SIGTERM')
      await launch([...(options.args ?? []), ...(extraArgs ?? [])])
    },
    stop: async () => {
      for (const each of clients) each.disconnect()
      await kill()
      if (ownsDir) rmSync(dir, { recursive: true, force: true })
    },
  }
}

/** Waits until the condition holds; fails with `what` after the time. */
export async function waitFor(
  condition: () => boolean | Promise<boolean>,
  { what, timeoutMs = 30_000 }: { what: string; timeoutMs?: number },
): Promise<void> {
  const deadline = Date.now() + timeoutMs
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs} ms for ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** DEBUG DIGEST over all databases. */
export async function digest(server: TestServer): Promise<string> {
  return String(await server.client.call('DEBUG', 'DIGEST'))
}

/** Whether it says anything to a PING. It listens before it has looked for a dump to load: who put
 * one there in between had it read half written, and the server end. Asked on the socket in its own
 * directory: on a port another server may answer that was quicker to take it. */
async function answers(socketPath: string): Promise<boolean> {
  return await new Promise((resolve) => {
    const socket = connect(socketPath, () => socket.write('PING\r\n'))
    const end = (isAnswer: boolean): void => {
      socket.destroy()
      resolve(isAnswer)
    }
    socket.once('data', () => end(true))
    socket.once('error', () => end(false))
    socket.once('close', () => end(false))
  })
}
