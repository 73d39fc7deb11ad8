/** A cluster: reached by any of its nodes, asked at two of them, and told in one form. */
import { ProtocolError, RrepError, UsageError } from '../errors.js'
import { formatServerAddress, maskSecrets } from '../net/address.js'
import { ControlClient } from '../net/control.js'
import { makeServerSettings, type ServerWishes } from '../net/make-server-settings.js'
import type { ServerPlace, ServerSettings } from '../net/server-settings.js'
import { sleep } from '../net/waiting.js'
import {
  hasSameOwners,
  mastersOf,
  parseClusterNodes,
  slotsWithoutOwner,
  type ClusterNode,
  type ClusterNodes,
} from './cluster-nodes.js'

/** The nodes named; any of them will do, and all have the same users and certificates. */
export type ClusterSeeds = readonly ServerSettings[]

const SCHEME = /^((?:redis|valkey)s?)-cluster:\/\/(.*)$/is

export function isClusterAddress(text: string): boolean {
  return SCHEME.test(text)
}

/** `redis-cluster://[user[:password]@]h1[:p][,h2[:p]…]`, or an address of one node. Throws UsageError. */
export function clusterSeeds(text: string, wishes: ServerWishes = {}): ClusterSeeds {
  const found = SCHEME.exec(text)
  if (found === null) return [makeServerSettings(text, wishes)]
  const [, scheme, body] = found
  const at = body!.lastIndexOf('@')
  const places = body!.slice(at + 1)
  if (/[/?#]/.test(places)) {
    throw new UsageError(`the address '${maskSecrets(text)}' names more than nodes`, {
      hint: 'a cluster has one database, and shards in place of names',
    })
  }
  return places
    .split(',')
    .map((each) => makeServerSettings(`${scheme!}://${body!.slice(0, at + 1)}${each}`, wishes))
}

/** For messages. */
export function nameOfCluster(seeds: ClusterSeeds): string {
  return seeds.map(({ address }) => formatServerAddress(address)).join(', ')
}

/**
 * As the first seed that answers sees it, and as all masters do: a node that was cut off tells an old
 * story, and slots on the move are told by their two nodes alone. Rejects with ProtocolError (no
 * cluster; they do not agree, which passes), LinkError, AuthError or AbortedError.
 */
export async function readCluster(
  seeds: ClusterSeeds,
  signal?: AbortSignal,
): Promise<ClusterNodes & { readonly via: ServerSettings }> {
  let failure: unknown
  for (const via of seeds) {
    try {
      const told = await ask(via, signal)
      const masters = mastersOf(told).filter(({ isUp }) => isUp)
      const others = await Promise.all(
        masters.map(async ({ place }) => await ask(settingsAt(via, place), signal)),
      )
      const moves = [told, ...others].flatMap((each) => each.moves)
      const openSlots = [...new Set(moves.map(({ slot }) => slot))]
      const wrong = others.findIndex((each) => !hasSameOwners(told, each))
      if (wrong >= 0) {
        const { host, port } = masters[wrong]!.place
        throw new ProtocolError(
          'ERR_CLUSTER_CHANGES',
          `${formatServerAddress(via.address)} and ${host}:${port} do not agree on who owns which slots`,
          { retriable: true, hint: 'a failover or a migration of slots takes some seconds' },
        )
      }
      return { ...told, openSlots, moves, via }
    } catch (error) {
      if (error instanceof RrepError && error.code === 'ERR_ABORTED') throw error
      failure ??= error
    }
  }
  throw failure
}

const LOOK_MS = 200

/**
 * The same, when it is whole and agrees with itself: each slot has a master that is up. A failover is
 * waited for, so long; rejects then as `readCluster`, or with ProtocolError ERR_CLUSTER_DOWN.
 */
export async function readWholeCluster(
  seeds: ClusterSeeds,
  waitMs: number,
  signal?: AbortSignal,
): ReturnType<typeof readCluster> {
  const endMs = performance.now() + waitMs
  for (;;) {
    try {
      const now = await readCluster(seeds, signal)
      refuseHoles(seeds, mastersOf(now), 'what is in it is written as one')
      return now
    } catch (error) {
      if (!(error instanceof RrepError) || !error.retriable) throw error
      if (performance.now() > endMs) throw error
    }
    await sleep(LOOK_MS, signal)
  }
}

/** Throws ProtocolError where a slot has no owner, or one that is down. `otherwise`: what the user can do instead. */
export function refuseHoles(
  seeds: ClusterSeeds,
  masters: readonly ClusterNode[],
  otherwise: string,
): void {
  const holes = slotsWithoutOwner(masters)
  const down = masters.find((each) => !each.isUp)
  if (holes === 0 && down === undefined) return
  const what =
    holes > 0
      ? `${holes} slots of the cluster have no owner`
      : `the master ${down!.place.host}:${down!.place.port} is down`
  throw new ProtocolError('ERR_CLUSTER_DOWN', `${what}: the cluster is not whole`, {
    retriable: true,
    hint: `CLUSTER NODES of any node tells more; ${otherwise}`,
    details: { cluster: nameOfCluster(seeds) },
  })
}

/** One of its nodes, by the settings of a seed. */
export function settingsAt(seed: ServerSettings, { host, port }: ServerPlace): ServerSettings {
  return { ...seed, address: { ...seed.address, host, port } }
}

async function ask(via: ServerSettings, signal: AbortSignal | undefined): Promise<ClusterNodes> {
  const client = await ControlClient.open(via, signal, 'ask')
  try {
    const info = await client.info('cluster')
    if (info.get('cluster_enabled') !== '1') {
      // Of itself it tells here.
      await client.info('server')
      throw new ProtocolError(
        'ERR_NOT_A_CLUSTER',
        `${formatServerAddress(via.address)} is no node of a cluster`,
        { hint: 'leave out `cluster`: it is a server by itself' },
      )
    }
    return parseClusterNodes(String(await client.call('CLUSTER', 'NODES')), via.address)
  } finally {
    client.close()
  }
}

export type { ClusterNode, ClusterNodes }
