/** What a server says of itself to somebody who changes nothing: INFO, CONFIG GET, TIME, lists of names. */
import { AbortedError, RrepError } from '../../errors.js'
import { formatServerAddress } from '../../net/address.js'
import { ControlClient } from '../../net/control.js'
import { keyspaceOf, kindOfServer, moduleNames, type InfoFields } from '../../net/info.js'
import type { ServerSettings } from '../../net/server-settings.js'
import { sleep } from '../../net/waiting.js'
import type { ServerFamily } from '../../servers/version.js'

export interface ServerFacts {
  readonly place: string
  readonly settings: ServerSettings
  readonly info: InfoFields
  readonly family: ServerFamily
  readonly version: string
  /** Undefined: CONFIG may not be asked. */
  readonly config: ReadonlyMap<string, string> | undefined
  /** Its clock against ours, ms; positive: it is ahead. */
  readonly skewMs: number | undefined
  /** Bytes of the stream a second, or as much at most. */
  readonly writesPerSecond: number | undefined
  readonly modules: readonly string[] | undefined
  readonly functions: number | undefined
  /** Keys by database. */
  readonly keysByDb: ReadonlyMap<number, number>
  /** Sentinels that listen to it. */
  readonly sentinels: number | undefined
}

const CONFIGS = [
  ...['repl-*', 'client-output-buffer-limit', 'save', 'appendonly', 'maxmemory*', 'databases'],
  ...['import-mode', 'rdbchecksum'],
]

/** Rejects with LinkError, AuthError, ProtocolError or AbortedError where INFO is not to be had. */
export async function serverFacts(
  settings: ServerSettings,
  sampleMs: number,
  signal: AbortSignal | undefined,
): Promise<ServerFacts> {
  const client = await ControlClient.open(
    { ...settings, address: { ...settings.address, db: 0 } },
    signal,
    'ask',
  )
  try {
    const askedMs = performance.now()
    const info = await client.info()
    const isLoading = info.get('loading') === '1'
    const kind = kindOfServer(info)
    const config = await configOf(client)
    const skewMs = await skewOf(client)
    const modules = isLoading ? undefined : moduleNames(await attempt(client, 'MODULE', 'LIST'))
    const libraries = isLoading ? undefined : await attempt(client, 'FUNCTION', 'LIST')
    const heard = await attempt(client, 'PUBSUB', 'NUMSUB', '__sentinel__:hello')
    if (sampleMs > 0) await sleep(sampleMs, signal)
    const later = sampleMs > 0 ? await client.info() : info
    const seconds = (performance.now() - askedMs) / 1000
    const rate = grownBy(rateField(info), info, later) / seconds
    return {
      place: formatServerAddress(client.settings.address),
      settings: client.settings,
      info,
      family: kind?.family ?? 'redis',
      version: kind?.version ?? '?',
      config,
      skewMs,
      writesPerSecond: sampleMs > 0 && rate >= 0 ? Math.round(rate) : undefined,
      modules,
      functions: Array.isArray(libraries) ? libraries.length : undefined,
      keysByDb: keyspaceOf(info),
      sentinels: Array.isArray(heard) ? Number(heard[1]) : undefined,
    }
  } finally {
    client.close()
  }
}

/** Nobody counts the stream where no replica ever was: then all that clients send is as much at most. */
function rateField(info: InfoFields): string {
  const isCounted = info.get('repl_backlog_active') === '1'
  return isCounted ? 'master_repl_offset' : 'total_net_input_bytes'
}

function grownBy(field: string, before: InfoFields, later: InfoFields): number {
  return Number(later.get(field)) - Number(before.get(field))
}

async function configOf(client: ControlClient): Promise<ReadonlyMap<string, string> | undefined> {
  const found = new Map<string, string>()
  for (const pattern of CONFIGS) {
    const some = await client.configGet(pattern)
    if (some === undefined) return undefined
    for (const [name, value] of some) found.set(name, value)
  }
  return found
}

async function skewOf(client: ControlClient): Promise<number | undefined> {
  const beforeMs = Date.now()
  const reply = await attempt(client, 'TIME')
  if (!Array.isArray(reply)) return undefined
  const theirs = Number(reply[0]) * 1000 + Number(reply[1]) / 1000
  return Math.round(theirs - (beforeMs + Date.now()) / 2)
}

/** Undefined where it may not be asked, or is not known there. */
async function attempt(client: ControlClient, ...args: string[]): Promise<unknown> {
  try {
    return await client.call(args[0]!, ...args.slice(1))
  } catch (error) {
    if (error instanceof RrepError && !(error instanceof AbortedError)) return undefined
    throw error
  }
}
