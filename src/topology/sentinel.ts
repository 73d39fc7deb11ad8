/**
 * Who is the master that Sentinels watch, now.
 *
 * All Sentinels given are asked, and those that they know of: a Sentinel that was cut off, or is in
 * TILT, tells an old story. What most of all that are known name is taken, answering or not: a few that
 * were cut off together with a deposed master name it still. It must say itself that it is a master: a deposed one says so for ten seconds more (the Sentinels do not name it then), a
 * promoted one says so before they do. Between the two nobody is the master, and that passes.
 */
import { AuthError, LinkError, ProtocolError, RrepError } from '../errors.js'
import { ControlClient } from '../net/control.js'
import type { ServerPlace, ServerSettings } from '../net/server-settings.js'
import type { SentinelAddress } from './sentinel-address.js'

/** One that is gone must not hold the others up. */
const ASK_MS = 3000

export interface SentinelWishes {
  address: SentinelAddress
  /** Of the servers: how they are reached and logged in to. */
  server: ServerSettings
  /** Of the Sentinels, which have users of their own. */
  username?: string | undefined
  password?: string | undefined
}

interface Answer {
  /** The same by whichever of its addresses it was asked; of those before 6.2 the address. */
  id: string
  place: ServerPlace | undefined
  /** Other Sentinels that it knows, and that are up. */
  others: readonly ServerPlace[]
  /** How many there are by its word, itself and those that are down included. */
  known: number
  replicas: readonly ServerPlace[]
  /** It takes a name for the address of a replica, and looks it up; undefined: it was not asked. */
  resolvesNames: boolean | undefined
}

/** Of those names that never are anybody's. */
const HIDING_NAME = 'rrep.invalid'

/**
 * Rejects with LinkError (nobody answers; no master at the moment: both may pass), AuthError (of the
 * Sentinels), ProtocolError ERR_UNKNOWN_MASTER or AbortedError.
 */
export async function locate(wishes: SentinelWishes, signal?: AbortSignal): Promise<ServerPlace> {
  const { answers, failures } = await askAll(wishes, { asksNames: false }, signal)
  return await chosen(wishes, answers, failures, signal)
}

/**
 * What a link to the master announces as its address, so that no Sentinel lists it: one that does not look
 * names up cannot make an entry of such a replica, and leaves it out. Undefined where one of them does, or
 * does not say.
 */
export async function hidingName(
  wishes: SentinelWishes,
  signal?: AbortSignal,
): Promise<string | undefined> {
  const { answers } = await askAll(wishes, { asksNames: true }, signal)
  const isHidden = answers.length > 0 && answers.every((each) => each.resolvesNames === false)
  return isHidden ? HIDING_NAME : undefined
}

async function askAll(
  wishes: SentinelWishes,
  options: { asksNames: boolean },
  signal: AbortSignal | undefined,
): Promise<{ answers: readonly Answer[]; failures: readonly RrepError[] }> {
  const { address } = wishes
  const asked = new Map<string, ServerPlace>()
  let open: readonly ServerPlace[] = address.sentinels
  const answers = new Map<string, Answer>()
  const failures: RrepError[] = []
  while (open.length > 0) {
    for (const each of open) asked.set(keyOf(each), each)
    const heard = await Promise.all(
      open.map(async (each) => await ask(wishes, each, options, signal)),
    )
    for (const each of heard) {
      if (each instanceof RrepError) failures.push(each)
      else answers.set(each.id, each)
    }
    // Once: those that the ones given know of.
    open = asked.size > address.sentinels.length ? [] : newOnes([...answers.values()], asked)
  }
  return { answers: [...answers.values()], failures }
}

async function chosen(
  wishes: SentinelWishes,
  answers: readonly Answer[],
  failures: readonly RrepError[],
  signal: AbortSignal | undefined,
): Promise<ServerPlace> {
  const { address } = wishes
  if (answers.length === 0) throw noAnswer(address, failures)
  const known = Math.max(answers.length, ...answers.map((each) => each.known))
  const place = mostNamed(answers, known)
  if (place === undefined) {
    if (answers.every((each) => each.place === undefined)) throw unknownMaster(address)
    const few = `${answers.length} of ${known} Sentinels answer, and no majority of them names one`
    throw noMaster(address, few)
  }
  if (address.wants === 'replica') return replicaOf(address, answers)
  if (!(await isMaster(wishes, place, signal))) {
    throw noMaster(address, `${place.host}:${place.port} is named, and is none`)
  }
  return place
}

async function ask(
  { address, server, username, password }: SentinelWishes,
  place: ServerPlace,
  { asksNames }: { asksNames: boolean },
  signal: AbortSignal | undefined,
): Promise<Answer | RrepError> {
  const settings: ServerSettings = {
    ...at(server, place),
    username,
    password,
    passwordHint: 'Sentinels have passwords of their own: give it as `sentinelPassword`',
    timeoutMs: Math.min(server.timeoutMs, ASK_MS),
  }
  let client: ControlClient | undefined
  try {
    client = await ControlClient.open(settings, signal, 'ask')
    const named = await client.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', address.master)
    const id = (await idOf(client)) ?? keyOf(place)
    const resolvesNames = asksNames ? await doesResolveNames(client) : undefined
    if (named === null) {
      return { id, place: undefined, others: [], known: 1, replicas: [], resolvesNames }
    }
    const others = await rows(client, 'SENTINELS', address.master)
    const wantsReplica = address.wants === 'replica'
    const replicas = wantsReplica ? await rows(client, 'REPLICAS', address.master) : []
    const [host, port] = named as [string, string]
    return {
      id,
      place: { host, port: Number(port) },
      others: others.filter((each) => !isDown(each)).map(placeOf),
      known: others.length + 1,
      replicas: replicas.filter(isGoodReplica).map(placeOf),
      resolvesNames,
    }
  } catch (error) {
    if (error instanceof RrepError && error.code !== 'ERR_ABORTED') return error
    throw error
  } finally {
    client?.close()
  }
}

async function idOf(client: ControlClient): Promise<string | undefined> {
  try {
    return String(await client.call('SENTINEL', 'MYID'))
  } catch (error) {
    if (error instanceof AuthError || error instanceof ProtocolError) return undefined
    throw error
  }
}

/** Those before 6.2 do always, and do not say; nor do those where the user may not ask. */
async function doesResolveNames(client: ControlClient): Promise<boolean> {
  try {
    const reply = await client.call('SENTINEL', 'CONFIG', 'GET', 'resolve-hostnames')
    return !Array.isArray(reply) || String(reply[1]) !== 'no'
  } catch (error) {
    if (error instanceof AuthError || error instanceof ProtocolError) return true
    throw error
  }
}

type Row = ReadonlyMap<string, string>

/** Lists of names and values; none where the user may not ask. */
async function rows(client: ControlClient, what: string, master: string): Promise<readonly Row[]> {
  try {
    const reply = (await client.call('SENTINEL', what, master)) as string[][]
    return reply.map((flat) => {
      const row = new Map<string, string>()
      for (let i = 0; i + 1 < flat.length; i += 2) row.set(flat[i]!, flat[i + 1]!)
      return row
    })
  } catch (error) {
    if (error instanceof AuthError || error instanceof ProtocolError) return []
    throw error
  }
}

function placeOf(row: Row): ServerPlace {
  return { host: row.get('ip') ?? '', port: Number(row.get('port') ?? 0) }
}

/** `master_down` is none of these: such a Sentinel is up, and says that the master is not. */
function isDown(row: Row): boolean {
  const flags = (row.get('flags') ?? '').split(',')
  return ['s_down', 'o_down', 'disconnected'].some((each) => flags.includes(each))
}

function isGoodReplica(row: Row): boolean {
  return !isDown(row) && row.get('master-link-status') === 'ok' && row.get('port') !== '0'
}

function newOnes(answers: readonly Answer[], asked: ReadonlyMap<string, ServerPlace>) {
  const found = new Map<string, ServerPlace>()
  for (const each of answers.flatMap(({ others }) => others)) {
    if (!asked.has(keyOf(each))) found.set(keyOf(each), each)
  }
  return [...found.values()]
}

/** Undefined where no place has more than half of the votes that there are. */
function mostNamed(answers: readonly Answer[], known: number): ServerPlace | undefined {
  const votes = new Map<string, number>()
  for (const { place } of answers) {
    if (place === undefined) continue
    const count = (votes.get(keyOf(place)) ?? 0) + 1
    votes.set(keyOf(place), count)
    if (count * 2 > known) return place
  }
  return undefined
}

function replicaOf(address: SentinelAddress, answers: readonly Answer[]): ServerPlace {
  const votes = new Map<string, { place: ServerPlace; count: number }>()
  for (const place of answers.flatMap(({ replicas }) => replicas)) {
    const vote = votes.get(keyOf(place)) ?? { place, count: 0 }
    vote.count += 1
    votes.set(keyOf(place), vote)
  }
  // One order for all: who asks again hears the same, whoever answers first.
  const [best] = [...votes.values()].sort(
    (a, b) => b.count - a.count || (keyOf(a.place) < keyOf(b.place) ? -1 : 1),
  )
  if (best === undefined) throw noMaster(address, 'it has no replica that is up')
  return best.place
}

/** Who may not ask for the role is not told: then the Sentinels' word is enough. */
async function isMaster(
  { server }: SentinelWishes,
  place: ServerPlace,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const timeoutMs = Math.min(server.timeoutMs, ASK_MS)
  const client = await ControlClient.open({ ...at(server, place), timeoutMs }, signal, 'ask')
  try {
    const info = await client.info('replication')
    return info.get('role') !== 'slave'
  } catch (error) {
    if (error instanceof AuthError || error instanceof ProtocolError) return true
    throw error
  } finally {
    client.close()
  }
}

function at(server: ServerSettings, { host, port }: ServerPlace): ServerSettings {
  const address = { ...server.address, label: undefined, name: undefined, host, port, db: 0 }
  return { ...server, locate: undefined, address }
}

function keyOf({ host, port }: ServerPlace): string {
  return `${host} ${port}`
}

function noAnswer(address: SentinelAddress, failures: readonly RrepError[]): RrepError {
  const [first] = failures
  if (first instanceof AuthError) return first
  const places = address.sentinels.map(({ host, port }) => `${host}:${port}`).join(', ')
  if (failures.length > 0 && failures.every(isOfServer)) {
    return new ProtocolError('ERR_NOT_A_SENTINEL', `${places} is a server, and no Sentinel`, {
      cause: first,
      hint: 'redis-sentinel:// names Sentinels, mostly at port 26379; a server is named by redis://',
    })
  }
  return new LinkError(
    'ERR_NO_MASTER',
    `no Sentinel answers at ${places}: ${first?.message ?? ''}`,
    {
      cause: first,
      retriable: true,
      hint: 'a Sentinel listens on 26379 unless told otherwise',
    },
  )
}

/** It does not know the command. */
function isOfServer(error: RrepError): boolean {
  return error.code === 'ERR_SERVER_REPLY' && /unknown command/i.test(error.message)
}

function noMaster(address: SentinelAddress, why: string): LinkError {
  return new LinkError('ERR_NO_MASTER', `${address.master} has no master now: ${why}`, {
    retriable: true,
    hint: 'a failover takes some seconds; more attempts wait longer: `retries`',
  })
}

function unknownMaster(address: SentinelAddress): ProtocolError {
  return new ProtocolError('ERR_UNKNOWN_MASTER', `the Sentinels know no master ${address.master}`, {
    hint: 'redis-cli -p 26379 SENTINEL masters lists those that they watch',
  })
}
