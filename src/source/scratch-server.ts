/**
 * A server of our own for a while: what commands make of a snapshot only a server can tell.
 *
 * It listens on a unix socket in a directory that nobody else may enter, on no port, keeps nothing
 * on disk, and belongs to a small shell that holds a pipe from this process. When the pipe closes,
 * by `stop` or by the end of this process however it came, the shell ends the server and removes
 * the directory. Signals of the terminal do not reach either of them.
 */
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { accessSync, constants, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, delimiter, join, resolve } from 'node:path'
import type { Readable } from 'node:stream'
import { promisify } from 'node:util'
import { AbortedError, LinkError, ProtocolError, UsageError } from '../errors.js'
import { printable } from '../bytes/printable.js'
import { ControlClient } from '../net/control.js'
import { DEFAULT_TIMEOUT_MS, type ServerSettings } from '../net/server-settings.js'
import { APPEND_DIR } from '../archive/layout.js'
import { makeTemporaryDir } from '../disk/temporary-dir.js'
import {
  acceptedBy,
  accepts,
  formatRdbMagic,
  type RdbMagic,
  type ServerKind,
} from '../servers/rdb-version.js'
import type { ServerFamily } from '../servers/version.js'

export interface ScratchServer {
  readonly settings: ServerSettings
  /** Such as `redis-server 7.0.15`. */
  readonly description: string
  /** Ends it and removes its directory. May be called twice. */
  stop(): Promise<void>
}

export interface ScratchOptions {
  /** The program; by default redis-server or valkey-server from PATH. */
  program?: string | undefined
  /** Which of the two is looked for first. */
  family?: 'redis' | 'valkey' | undefined
  /** A dump that it starts on: of PATH then the first that loads this version of the format. It has
   * as long as it wants. */
  rdb?: { readonly path: string; readonly magic: RdbMagic } | undefined
  /** A directory in multi-part form that it starts on, of ours: it writes into it. */
  aof?: { readonly directory: string; readonly magic: RdbMagic | undefined } | undefined
  signal?: AbortSignal | undefined
}

/** A socket's path has room for about a hundred bytes. */
const MAX_SOCKET_PATH_BYTES = 100
const START_MS = 30_000
const LOOK_AGAIN_MS = 20
/** As many as any dump in use has; each costs half a kilobyte. */
const DATABASES = 16_384
const DUMP_NAME = 'dump.rdb'

/**
 * $1 is the directory; the rest is the server's command line. The server's log goes to a file
 * there. Descriptor 3 is held by the server alone, so that its other end tells when it ends.
 */
const KEEPER = `
trap '' INT TERM HUP QUIT PIPE
dir=$1; shift
"$@" </dev/null >"$dir/log" 2>&1 &
server=$!
exec 3>&-
read -r _
kill -9 "$server"
wait "$server"
rm -rf "$dir"
`

/** Rejects with UsageError, ProtocolError (there is none, or it does not start), AbortedError. */
export async function startScratchServer(options: ScratchOptions): Promise<ScratchServer> {
  const { rdb, aof } = options
  const magic = rdb?.magic ?? aof?.magic
  const program =
    options.program ?? (await findServer(options.family ?? magic?.family ?? 'redis', magic))
  const { description } = await describeProgram(program)
  const dir = makeDirectory()
  if (rdb !== undefined) symlinkSync(resolve(rdb.path), join(dir, DUMP_NAME))
  if (aof !== undefined) symlinkSync(resolve(aof.directory, APPEND_DIR), join(dir, APPEND_DIR))
  const socketPath = join(dir, 'socket')
  const keeper = spawn(
    '/bin/sh',
    ['-c', KEEPER, 'rrep-scratch', dir, program, ...argsFor(dir, aof !== undefined)],
    {
      stdio: ['pipe', 'ignore', 'ignore', 'pipe'],
      detached: true,
    },
  )
  const server = new KeptServer(
    keeper,
    dir,
    settingsOf(socketPath),
    description,
    rdb !== undefined || aof !== undefined,
  )
  try {
    await server.ready(options.signal)
    return server
  } catch (error) {
    await server.stop()
    throw error
  }
}

/** The first of redis-server and valkey-server that PATH has, or that loads a version. Rejects with
 * ProtocolError. */
export async function findServer(family: ServerFamily, magic?: RdbMagic): Promise<string> {
  const names = ['redis-server', 'valkey-server']
  if (family === 'valkey') names.reverse()
  const tooOld: string[] = []
  for (const name of names) {
    for (const dir of (process.env['PATH'] ?? '').split(delimiter)) {
      const program = join(dir, name)
      if (dir === '' || !isProgram(program)) continue
      if (magic === undefined) return program
      const { description, kind } = await describeProgram(program)
      if (accepts(acceptedBy(kind), magic)) return program
      tooOld.push(description)
    }
  }
  throw new ProtocolError(
    'ERR_NO_SERVER',
    tooOld.length > 0 && magic !== undefined
      ? `no server on PATH loads ${formatRdbMagic(magic)}: ${tooOld.join(', ')} ${tooOld.length > 1 ? 'do' : 'does'} not`
      : 'what commands make of a snapshot only a server can tell, and PATH has neither redis-server ' +
          'nor valkey-server',
    {
      hint: 'name one with `withServer`, or load it into a server (`replay()`) and name that',
      details: { tooOld: tooOld.join(', ') },
    },
  )
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

async function describeProgram(
  program: string,
): Promise<{ description: string; kind: ServerKind }> {
  let text: string
  try {
    text = (await promisify(execFile)(program, ['--version'], { timeout: START_MS })).stdout
  } catch (cause) {
    throw new UsageError(`${program} cannot be run: ${String(cause)}`, {
      cause,
      hint: 'name a redis-server or valkey-server',
    })
  }
  const version = /\bv=(\d+\.\d+\.\d+)/.exec(text)?.[1]
  if (version === undefined) {
    throw new UsageError(`${program} is no redis-server or valkey-server`, {
      details: { version: printable(Buffer.from(text), 0, text.length, 100) },
    })
  }
  const family = text.includes('Valkey') ? 'valkey' : 'redis'
  return { description: `${basename(program)} ${version}`, kind: { family, version } }
}

function makeDirectory(): string {
  const prefix = 'rrep-scratch-'
  const path = join(tmpdir(), `${prefix}XXXXXX`, 'socket')
  const fits = Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES
  return makeTemporaryDir(prefix, fits ? undefined : '/tmp')
}

function argsFor(dir: string, loadsAof: boolean): string[] {
  const options: Record<string, string> = {
    port: '0',
    unixsocket: join(dir, 'socket'),
    unixsocketperm: '700',
    dir,
    dbfilename: DUMP_NAME,
    save: '',
    appendonly: loadsAof ? 'yes' : 'no',
    'auto-aof-rewrite-percentage': '0',
    daemonize: 'no',
    databases: String(DATABASES),
    // Sent to us as it is made, without a file of its own.
    'repl-diskless-sync': 'yes',
    'repl-diskless-sync-delay': '0',
    // A payload may be as large as its master allowed.
    'proto-max-bulk-len': '4gb',
    maxmemory: '0',
    'client-output-buffer-limit': 'replica 0 0 0',
    // What it is given comes from others, scripts included: it connects to nobody.
    'rename-command': 'MIGRATE ',
    // A script that has not ended by then can be told to.
    'lua-time-limit': '1000',
  }
  return Object.entries(options).flatMap(([name, value]) => [`--${name}`, ...splitValue(value)])
}

/** A value of several words is several arguments; an empty one stays. */
function splitValue(value: string): string[] {
  return /^(replica|MIGRATE) /.test(value) ? value.split(' ') : [value]
}

function settingsOf(socketPath: string): ServerSettings {
  return {
    address: {
      transport: 'unix',
      host: '',
      port: 0,
      socketPath,
      db: 0,
      username: undefined,
      password: undefined,
    },
    timeoutMs: DEFAULT_TIMEOUT_MS,
  }
}

async function isStillLoading(control: ControlClient): Promise<boolean> {
  return (await control.info('persistence')).get('loading') === '1'
}

class KeptServer implements ScratchServer {
  readonly settings: ServerSettings
  readonly description: string
  readonly #keeper: ChildProcess
  readonly #dir: string
  readonly #keeperGone: Promise<void>
  readonly #loads: boolean
  #serverEnded = false
  #spawnFault: Error | undefined

  constructor(
    keeper: ChildProcess,
    dir: string,
    settings: ServerSettings,
    description: string,
    loads: boolean,
  ) {
    this.#loads = loads
    this.#keeper = keeper
    this.#dir = dir
    this.settings = settings
    this.description = description
    this.#keeperGone = new Promise((resolve) => {
      keeper.once('error', (error) => {
        this.#spawnFault = error
        this.#serverEnded = true
        resolve()
      })
      keeper.once('exit', () => {
        this.#serverEnded = true
        resolve()
      })
    })
    const ended = keeper.stdio[3] as Readable | null | undefined
    ended?.once('end', () => (this.#serverEnded = true)).resume()
    keeper.stdin?.on('error', () => undefined)
  }

  /** Waits until it answers. */
  async ready(signal: AbortSignal | undefined): Promise<void> {
    let deadlineMs = performance.now() + START_MS
    for (;;) {
      if (signal?.aborted === true) throw new AbortedError()
      if (this.#serverEnded) throw this.#startFault('has ended')
      try {
        const control = await ControlClient.open(this.settings, signal, 'ask')
        const isLoading = this.#loads && (await isStillLoading(control))
        control.close()
        if (!isLoading) return
        deadlineMs = performance.now() + START_MS
      } catch (error) {
        if (!(error instanceof LinkError)) throw error
        if (performance.now() > deadlineMs) throw this.#startFault('does not answer')
      }
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS))
    }
  }

  async stop(): Promise<void> {
    this.#keeper.stdin?.destroy()
    await this.#keeperGone
    rmSync(this.#dir, { recursive: true, force: true })
  }

  #startFault(what: string): ProtocolError {
    return new ProtocolError(
      'ERR_SCRATCH_SERVER',
      `${this.description} ${what}${this.#lastLine()}`,
      {
        cause: this.#spawnFault,
        hint: 'name another server with `withServer`',
      },
    )
  }

  #lastLine(): string {
    try {
      const lines = readFileSync(join(this.#dir, 'log'), 'utf8').trim().split('\n')
      const bytes = Buffer.from(lines.at(-1) ?? '')
      return bytes.length === 0 ? '' : `: ${printable(bytes, 0, bytes.length, 300)}`
    } catch {
      return ''
    }
  }
}
