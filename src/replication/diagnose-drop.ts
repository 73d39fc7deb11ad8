/**
 * Why did the master close the link in the middle of a snapshot? It never says; its figures
 * afterwards tell which cause is the likeliest. Asked once, after the loss, over a second
 * connection; where INFO is not allowed the answer says so.
 */
import { AuthError, LinkError, RrepError } from '../errors.js'
import { ControlClient } from '../net/control.js'
import type { InfoFields } from '../net/info.js'
import type { ServerSettings } from '../net/server-settings.js'

export interface Drop {
  /** Since the attempt began. */
  elapsedMs: number
  snapshotBytes: number
  /** False where the master kept no stream for the link: its output buffer is out of question. */
  streamKept: boolean
}

export interface Diagnosis {
  cause:
    | 'unreachable'
    | 'restarted'
    | 'save-failed'
    | 'output-buffer-limit'
    | 'timeout'
    | 'not-allowed'
    | 'unknown'
  /** One sentence with the figures. */
  what: string
  /** What to set or to look at. */
  advice: string
}

export interface ServerFigures {
  info: InfoFields
  config: ReadonlyMap<string, string> | undefined
}

/** Asks the server. Never rejects. */
export async function diagnoseDrop(settings: ServerSettings, drop: Drop): Promise<Diagnosis> {
  let client: ControlClient | undefined
  try {
    client = await ControlClient.open(
      {
        ...settings,
        address: { ...settings.address, db: 0 },
        timeoutMs: Math.min(settings.timeoutMs, 5000),
      },
      undefined,
      'ask',
    )
    const info = await client.info()
    const limits = await client.configGet('client-output-buffer-limit')
    const timeout = await client.configGet('repl-timeout')
    const config =
      limits === undefined ? undefined : new Map([...limits, ...(timeout ?? new Map())])
    return explainDrop({ info, config }, drop)
  } catch (error) {
    if (error instanceof AuthError) {
      return {
        cause: 'not-allowed',
        what: 'the server does not let this user ask why (INFO)',
        advice: 'its log says why; +info and +config|get would let rrep say it',
      }
    }
    const message = error instanceof RrepError ? error.message : String(error)
    return {
      cause: error instanceof LinkError ? 'unreachable' : 'unknown',
      what: `the server does not answer any more (${message})`,
      advice: 'it was stopped, restarted or killed, perhaps for want of memory: look at its log',
    }
  } finally {
    client?.close()
  }
}

/** Pure: figures → the likeliest cause. */
export function explainDrop({ info, config }: ServerFigures, drop: Drop): Diagnosis {
  const elapsedSeconds = drop.elapsedMs / 1000
  const uptimeSeconds = numberOf(info, 'uptime_in_seconds')
  if (uptimeSeconds === undefined) {
    return {
      cause: 'unknown',
      what: 'the server tells nothing about the reason',
      advice: 'look at its log, and at proxies and firewalls between',
    }
  }
  // First: the save was made for this sync, and a server that was restarted has not failed yet.
  if (info.get('rdb_last_bgsave_status') === 'err') {
    return {
      cause: 'save-failed',
      what: 'the last save of the master failed (rdb_last_bgsave_status:err)',
      advice: 'its log says why: often no memory to fork (vm.overcommit_memory=1) or a full disk',
    }
  }
  // Whole seconds, rounded either way: a server that began just before the sync is rarer than one
  // that began in it.
  if (uptimeSeconds < elapsedSeconds) {
    return {
      cause: 'restarted',
      what: `the server was restarted: it runs for ${uptimeSeconds} s, this sync began ${Math.round(elapsedSeconds)} s ago`,
      advice: 'look in its log for the reason; if it was killed, memory for the save may be short',
    }
  }
  if (info.get('loading') === '1') {
    return {
      cause: 'restarted',
      what: 'the server was restarted: it is loading its data',
      advice: 'wait until it has loaded, then try again',
    }
  }
  const limit = config?.get('client-output-buffer-limit')
  const replicaLimit = limit === undefined ? undefined : replicaLimitOf(limit)
  const cut = numberOf(info, 'client_output_buffer_limit_disconnections')
  if (drop.streamKept && cut !== undefined && cut > 0) {
    return {
      cause: 'output-buffer-limit',
      what: `the master has closed ${cut} client${cut === 1 ? '' : 's'} for too long an output buffer; the limit for replicas is ${describeLimit(replicaLimit)}`,
      advice: adviceForLimit(replicaLimit),
    }
  }
  const replTimeout = Number(config?.get('repl-timeout') ?? 60)
  if (replTimeout > 0 && elapsedSeconds >= replTimeout && drop.snapshotBytes > 0) {
    return {
      cause: 'timeout',
      what: `the transfer was ${Math.round(elapsedSeconds)} s old, and the master gives up a stalled replica after repl-timeout ${replTimeout} s`,
      advice: `if the line is slow or stalls, raise it: CONFIG SET repl-timeout ${replTimeout * 5}`,
    }
  }
  // Before 7.4 and Valkey 8.0 no counter tells; where a stream was kept, the limit is the usual
  // reason.
  if (drop.streamKept && cut === undefined) {
    return {
      cause: 'output-buffer-limit',
      what: `the master runs on and its save did not fail: most likely its output buffer for replicas overflowed while the snapshot was sent (this version does not count that); the limit is ${describeLimit(replicaLimit)}`,
      advice: adviceForLimit(replicaLimit),
    }
  }
  const buffered = drop.streamKept ? 'no client was cut for its buffer' : 'it kept no buffer for us'
  return {
    cause: 'unknown',
    what: `the master shows no reason: it has run for ${uptimeSeconds} s, its save did not fail, ${buffered}`,
    advice: 'look at its log (CLIENT KILL?), and at proxies and firewalls between',
  }
}

export interface Limit {
  hardBytes: number
  softBytes: number
  softSeconds: number
}

/** From `normal 0 0 0 slave 268435456 67108864 60 pubsub …`. */
export function replicaLimitOf(text: string): Limit | undefined {
  const found = /(?:slave|replica) (\d+) (\d+) (\d+)/.exec(text)
  if (found === null) return undefined
  return {
    hardBytes: Number(found[1]),
    softBytes: Number(found[2]),
    softSeconds: Number(found[3]),
  }
}

function describeLimit(limit: Limit | undefined): string {
  if (limit === undefined) return 'not told (CONFIG GET is not allowed)'
  const { hardBytes, softBytes, softSeconds } = limit
  return `${hardBytes} bytes, or ${softBytes} for ${softSeconds} s`
}

function adviceForLimit(limit: Limit | undefined): string {
  const hardBytes = Math.max(limit?.hardBytes ?? 0, 256 << 20) * 4
  const softBytes = Math.max(limit?.softBytes ?? 0, 64 << 20) * 4
  return `CONFIG SET client-output-buffer-limit "replica ${hardBytes} ${softBytes} ${limit?.softSeconds ?? 60}", or sync when fewer writes come`
}

function numberOf(info: InfoFields, name: string): number | undefined {
  const value = info.get(name)
  return value === undefined || !/^\d+$/.test(value) ? undefined : Number(value)
}
