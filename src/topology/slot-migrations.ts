/**
 * Migrations of slots that the servers do by themselves, in jobs (Redis 8.4, Valkey 9.0): what the nodes
 * say of those that there were and are. Nothing in CLUSTER NODES tells of one that is under way.
 */
import { ControlClient } from '../net/control.js'
import type { ServerSettings } from '../net/server-settings.js'
import type { ClusterNode } from './cluster-nodes.js'
import { settingsAt } from './cluster.js'

export interface SlotMigrations {
  readonly isUnderWay: boolean
  /** The same as long as none began and none ended. */
  readonly state: string
}

const OVER = new Set(['completed', 'success', 'failed', 'canceled', 'cancelled'])
const QUESTIONS = [['MIGRATION', 'STATUS', 'ALL'], ['GETSLOTMIGRATIONS']] as const

/** By all of these masters. Servers that know no jobs have none. */
export async function readSlotMigrations(
  via: ServerSettings,
  masters: readonly ClusterNode[],
  signal?: AbortSignal,
): Promise<SlotMigrations> {
  const told = await Promise.all(
    masters.map(async ({ place }) => await jobsAt(settingsAt(via, place), signal)),
  )
  const jobs = told.flat()
  return {
    isUnderWay: jobs.some(({ state }) => !OVER.has(state)),
    state: jobs
      .map(({ name, state }) => `${name} ${state}`)
      .sort()
      .join('\n'),
  }
}

interface Job {
  readonly name: string
  readonly state: string
}

async function jobsAt(
  server: ServerSettings,
  signal: AbortSignal | undefined,
): Promise<readonly Job[]> {
  const client = await ControlClient.open(server, signal, 'ask')
  try {
    for (const question of QUESTIONS) {
      try {
        return jobsIn(await client.call('CLUSTER', ...question))
      } catch {
        // Of the other family, older, or not allowed.
      }
    }
    return []
  } finally {
    client.close()
  }
}

/** Each a flat list of names and values. */
function jobsIn(reply: unknown): readonly Job[] {
  if (!Array.isArray(reply)) return []
  return reply.flatMap((each: unknown) => {
    if (!Array.isArray(each)) return []
    const fields = new Map<string, string>()
    for (let i = 0; i + 1 < each.length; i += 2) fields.set(String(each[i]), String(each[i + 1]))
    const name = `${fields.get('id') ?? fields.get('name') ?? ''} ${fields.get('operation') ?? ''}`
    return [{ name, state: fields.get('state') ?? '' }]
  })
}
