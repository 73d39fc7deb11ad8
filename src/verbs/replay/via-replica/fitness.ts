/**
 * Whether a target can be loaded as a replica of ours, asked before anything of it is changed. What it
 * is not fit for is refused with the reason.
 */
import { isIP } from 'node:net'
import { AuthError, ProtocolError, TargetError, UsageError } from '../../../errors.js'
import type { ControlClient } from '../../../net/control.js'
import type { ServerSettings } from '../../../net/server-settings.js'
import { checkExposure, reachOf } from '../../../serving/clients/access.js'
import {
  readReplicaSettings,
  type ReplicaSettings,
} from '../../../target/replica/replica-settings.js'
import { lookAtRights } from '../../../target/server/target-rights.js'
import { TargetConnection } from '../../../target/server/target-connection.js'
import type { TargetFacts } from '../../../target/server/target-probe.js'
import type { ListenPlace } from '../options.js'

/** The first with `replid2`, by which it is known what a target was given. */
const OLDEST = 40_000

export interface Fitness {
  /** What the load changes. */
  readonly before: ReplicaSettings
  /** Where we listen, and what the target is told. */
  readonly listen: { readonly host: string; readonly port: number }
  readonly announcedHost: string
  readonly tls: { readonly cert: string | Buffer; readonly key: string | Buffer } | undefined
  readonly runId: string | undefined
}

export function unfit(target: string, why: string, hint?: string): ProtocolError {
  return new ProtocolError('ERR_VIA_REPLICA', `${target} cannot be loaded as a replica: ${why}`, {
    hint: hint ?? 'leave out `viaReplica`: keys are written over connections then',
    details: { server: target },
  })
}

/** Rejects with ProtocolError, AuthError, TargetError or LinkError. */
export async function requireFit(
  control: ControlClient,
  facts: TargetFacts,
  wished: ListenPlace | undefined,
): Promise<Fitness> {
  const { settings } = control
  const { name } = facts
  if (facts.isCluster) throw unfit(name, 'it is a node of a cluster')
  if (facts.capabilities.version < OLDEST) throw unfit(name, 'it is older than 4.0')
  await requireRights(settings, name)
  const info = await control.info()
  if (info.get('role') === 'slave') {
    throw new TargetError('ERR_TARGET_REPLICA', `${name} is a replica and takes no writes`, {
      hint: 'name its master',
    })
  }
  const replicas = Number(info.get('connected_slaves') ?? 0)
  if (replicas > 0) {
    throw unfit(name, `it has ${replicas === 1 ? 'a replica' : `${replicas} replicas`} of its own`)
  }
  if ((await sentinelsOf(control)) > 0) {
    throw unfit(name, 'Sentinels watch it, and would act on its change of role')
  }
  const before = await readReplicaSettings(control)
  if (before === undefined) throw unfit(name, 'its settings (CONFIG) may not be read')
  const tls = await tlsOf(control, name)
  const seen = await seenAddress(control)
  const place = placeOf(name, control.localAddress, seen, wished)
  requireSafe(name, settings, place.listen.host, {
    tls: tls !== undefined,
    meant: wished !== undefined,
  })
  return { before, ...place, tls, runId: info.get('run_id') }
}

async function requireRights(settings: ServerSettings, name: string): Promise<void> {
  const connection = await TargetConnection.open(settings, { clientName: 'rrep-rights' })
  try {
    const { denied, unknown } = await lookAtRights(connection, [
      ['INFO'],
      ['CONFIG', 'GET', 'masterauth'],
      ['CONFIG', 'SET', 'masterauth', ''],
      ['SLAVEOF', 'NO', 'ONE'],
      ['CLIENT', 'LIST'],
      ['PUBSUB', 'NUMSUB', 'x'],
    ])
    if (denied.length > 0) {
      const user = settings.username ?? 'default'
      throw new AuthError(
        'ERR_TARGET_RIGHTS',
        `the target's user ${user} may not run ${denied.join(', ')}: nothing was changed`,
        {
          hint: `ACL SETUSER ${user} ${denied.map((each) => `+${each.toLowerCase()}`).join(' ')}`,
        },
      )
    }
    if (unknown.length > 0) throw unfit(name, `it does not know ${unknown.join(', ')}`)
  } finally {
    connection.close()
  }
}

async function sentinelsOf(control: ControlClient): Promise<number> {
  const heard = await control.call('PUBSUB', 'NUMSUB', '__sentinel__:hello')
  return Array.isArray(heard) ? Number(heard[1]) : 0
}

async function tlsOf(control: ControlClient, name: string): Promise<Fitness['tls']> {
  const found = (await control.configGet('tls-replication'))?.get('tls-replication')
  if (found !== 'yes') return undefined
  const { cert, key } = control.settings.tls ?? {}
  if (cert !== undefined && key !== undefined) return { cert, key }
  throw unfit(
    name,
    'it replicates over TLS, and there is no certificate to serve it with',
    'name one that the target trusts, and its key: `tls.cert`, `tls.key`',
  )
}

/** As the target sees this connection; undefined where it does not tell, or by a unix socket. */
async function seenAddress(control: ControlClient): Promise<string | undefined> {
  const id = Number(await control.call('CLIENT', 'ID').catch(() => Number.NaN))
  const list = String(await control.call('CLIENT', 'LIST'))
  const own = list.split('\n').find((line) => line.startsWith(`id=${id} `))
  const address = / addr=(\S+):\d+ /.exec(own ?? '')?.[1]?.replace(/^\[|\]$/g, '')
  return address === undefined || isIP(address) === 0 ? undefined : plainIp(address)
}

function placeOf(
  name: string,
  local: string | undefined,
  seen: string | undefined,
  wished: ListenPlace | undefined,
): Pick<Fitness, 'listen' | 'announcedHost'> {
  const own = local === undefined ? undefined : plainIp(local)
  if (wished !== undefined) {
    const isAny = ['0.0.0.0', '::', '*'].includes(wished.host)
    const host = wished.host === '*' ? '0.0.0.0' : wished.host
    const announcedHost = isAny ? (seen ?? own ?? '127.0.0.1') : wished.host
    return { listen: { host, port: wished.port }, announcedHost }
  }
  // By a unix socket: it is on this machine.
  if (own === undefined)
    return { listen: { host: '127.0.0.1', port: 0 }, announcedHost: '127.0.0.1' }
  if (seen !== undefined && seen !== own) {
    throw unfit(
      name,
      `it sees us as ${seen}, and here that is ${own}: addresses are translated between us`,
      'say where it reaches this machine: `listen`',
    )
  }
  return { listen: { host: own, port: 0 }, announcedHost: own }
}

/** What is sent is all of the data, and the password in front of it. */
function requireSafe(
  name: string,
  { address }: ServerSettings,
  host: string,
  { tls, meant }: { tls: boolean; meant: boolean },
): void {
  if (address.transport === 'tls' && !tls && reachOf(host) !== 'loopback') {
    throw unfit(
      name,
      'it is spoken to over TLS, and would replicate without (tls-replication no)',
      'CONFIG SET tls-replication yes there, and give a certificate',
    )
  }
  try {
    checkExposure(host, { password: true, tls, unprotected: meant })
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    throw unfit(name, error.message, 'mean it by naming the address: `listen`')
  }
}

function plainIp(address: string): string {
  return address.replace(/^::ffff:/, '')
}
