/**
 * What a replay must know of its target before it writes: what it takes, what it holds already,
 * how many databases it has, how it treats expiry.
 */
import { ProtocolError, RrepError } from '../../errors.js'
import { formatServerAddress } from '../../net/address.js'
import { ControlClient } from '../../net/control.js'
import { keyspaceOf, kindOfServer, moduleNames, type InfoFields } from '../../net/info.js'
import type { ServerSettings } from '../../net/server-settings.js'
import { readOncePassword } from '../replica/once-password.js'
import { capabilitiesOf, type TargetCapabilities } from '../../servers/capabilities.js'

export interface TargetFacts {
  name: string
  versionText: string
  capabilities: TargetCapabilities
  runId: string | undefined
  /** Keys by database number; databases without keys are not in it. */
  keysByDb: ReadonlyMap<number, number>
  /** 0 … databases-1 can be selected. */
  databases: number
  /** Names of loaded modules, or undefined where MODULE LIST is not allowed. */
  modules: readonly string[] | undefined
  /** Upper case; undefined where COMMAND is not allowed: then by version. */
  commandNames: ReadonlySet<string> | undefined
  /** Valkey's import-mode: undefined where the target has none. */
  importMode: 'yes' | 'no' | undefined
  isReplica: boolean
  /** Keys thrown out for want of memory since the server started. */
  evictedKeys: number
  isCluster: boolean
  /** A load by replication has left it, or is at work: put-right.ts. */
  isLeftReplica: boolean
}

/** Rejects with LinkError, AuthError, ProtocolError or AbortedError. */
export async function probeTarget(
  settings: ServerSettings,
  signal?: AbortSignal,
): Promise<TargetFacts> {
  const control = await ControlClient.open(
    { ...settings, address: { ...settings.address, db: 0 } },
    signal,
  )
  try {
    const info = await control.info()
    const config = await control.configGet('databases')
    const importConfig = await control.configGet('import-mode')
    const masterauth = (await control.configGet('masterauth'))?.get('masterauth') ?? ''
    const kind = kindOfServer(info)
    if (kind === undefined) {
      throw new ProtocolError('ERR_NOT_A_SERVER', 'the target does not tell its version in INFO')
    }
    const { family, version } = kind
    const importMode = importConfig?.get('import-mode')
    return {
      name: formatServerAddress(settings.address),
      versionText: `${family === 'valkey' ? 'Valkey' : 'Redis'} ${version}`,
      capabilities: capabilitiesOf(family, version),
      runId: info.get('run_id'),
      keysByDb: keyspaceOf(info),
      databases: await databaseCount(control, config?.get('databases'), info),
      modules: moduleNames(await attempt(control, 'MODULE', 'LIST')),
      commandNames: await commandNames(control),
      importMode: importMode === 'yes' || importMode === 'no' ? importMode : undefined,
      isReplica: info.get('role') === 'slave',
      evictedKeys: Number(info.get('evicted_keys') ?? 0),
      isCluster: info.get('cluster_enabled') === '1',
      isLeftReplica: readOncePassword(masterauth) !== undefined,
    }
  } finally {
    control.close()
  }
}

/** The target's own table of commands, as `CommandTable.learn` takes it; undefined where it has none
 * to tell. */
export async function commandRows(settings: ServerSettings): Promise<unknown> {
  const control = await ControlClient.open(settings, undefined, 'ask')
  try {
    return await attempt(control, 'COMMAND')
  } finally {
    control.close()
  }
}

export interface TargetNow {
  keys: number
  evicted: number
  policy: string | undefined
  runId: string | undefined
}

/** A look at the target when a run is over; undefined where it does not answer. */
export async function targetEnd(settings: ServerSettings): Promise<TargetNow | undefined> {
  let control: ControlClient | undefined
  try {
    control = await ControlClient.open(settings, undefined, 'ask')
    const info = await control.info()
    let keys = 0
    for (const count of keyspaceOf(info).values()) keys += count
    return {
      keys,
      evicted: Number(info.get('evicted_keys') ?? 0),
      policy: info.get('maxmemory_policy'),
      runId: info.get('run_id'),
    }
  } catch (error) {
    if (error instanceof RrepError) return undefined
    throw error
  } finally {
    control?.close()
  }
}

/** Turns Valkey's import-mode on or off. */
export async function setImportMode(settings: ServerSettings, on: boolean): Promise<void> {
  const control = await ControlClient.open(settings, undefined, 'ask')
  try {
    await control.call('CONFIG', 'SET', 'import-mode', on ? 'yes' : 'no')
  } finally {
    control.close()
  }
}

export async function flushTarget(settings: ServerSettings, signal?: AbortSignal): Promise<void> {
  const control = await ControlClient.open({ ...settings, timeoutMs: 0x7fffffff }, signal)
  try {
    await control.call('FLUSHALL')
    try {
      await control.call('FUNCTION', 'FLUSH')
    } catch (error) {
      // Before 7.0 there are none.
      if (!(error instanceof ProtocolError)) throw error
    }
  } finally {
    control.close()
  }
}

async function databaseCount(
  control: ControlClient,
  configured: string | undefined,
  info: InfoFields,
): Promise<number> {
  if (info.get('cluster_enabled') === '1') return 1
  const count = Number(configured ?? Number.NaN)
  if (Number.isSafeInteger(count) && count > 0) return count
  // CONFIG is not for everybody: ask by selecting.
  let low = 1
  let high = 1
  while (high < 1 << 20 && (await canSelect(control, high))) {
    low = high + 1
    high *= 2
  }
  while (low < high) {
    const middle = (low + high) >>> 1
    if (await canSelect(control, middle)) low = middle + 1
    else high = middle
  }
  await canSelect(control, 0)
  return low
}

async function canSelect(control: ControlClient, db: number): Promise<boolean> {
  try {
    await control.call('SELECT', db)
    return true
  } catch (error) {
    if (error instanceof ProtocolError) return false
    throw error
  }
}

async function commandNames(control: ControlClient): Promise<ReadonlySet<string> | undefined> {
  // 7.0 and newer give the names alone; older ones have only the whole table.
  const list = await attempt(control, 'COMMAND', 'LIST')
  const rows = Array.isArray(list) ? list : await attempt(control, 'COMMAND')
  if (!Array.isArray(rows)) return undefined
  const names = new Set<string>()
  for (const row of rows) {
    const name: unknown = Array.isArray(row) ? row[0] : row
    if (typeof name === 'string') names.add(name.toUpperCase())
  }
  return names
}

async function attempt(control: ControlClient, ...args: string[]): Promise<unknown> {
  try {
    return await control.call(args[0]!, ...args.slice(1))
  } catch {
    return undefined
  }
}
