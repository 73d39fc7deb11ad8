/**
 * Finds out which server a replica is, where its snapshot makes that matter, and how to give the
 * snapshot to it.
 *
 * In this order: what it says (`REPLCONF version`, Valkey from 8.0 on); what its handshake proves;
 * what INFO at its announced port answers, asked without a password; what the operator
 * told. Clients that announce no port are tools: they take any version.
 */
import { connect } from 'node:net'
import { ProtocolError } from '../../errors.js'
import type { Client } from './client.js'
import type { ConnectionHost } from '../host.js'
import {
  acceptedBy,
  accepts,
  formatRdbMagic,
  formFor,
  surelyAccepted,
  type RdbMagic,
  type ServerKind,
} from '../../servers/rdb-version.js'
import { command } from './replies.js'
import type { ServedSnapshot } from '../origin/snapshot.js'

const PROBE_MS = 1000
const PROBE_BYTES = 64 << 10

/** Throws ProtocolError where the replica would lose its data to this snapshot. */
export async function chooseForm(
  connection: Client,
  host: ConnectionHost,
  snapshot: ServedSnapshot,
): Promise<{ magic: RdbMagic; version: number | undefined }> {
  const magic = await snapshot.whenHeadKnown()
  const { profile } = connection
  if (profile.listeningPort === 0) return { magic, version: undefined }
  const sure = surelyAccepted({
    capabilities: profile.capabilities,
    isInline: connection.inlineRequests * 2 > connection.requestCount,
  })
  const isSaid = profile.valkeyVersion !== undefined
  if (!isSaid && accepts(sure, magic)) return { magic, version: undefined }
  const found = await identify(connection, host)
  if (typeof found === 'string') {
    host.emit({
      event: 'replica-version-unknown',
      replica: connection.replicaName,
      reason: found,
      rdbVersion: magic.version,
      rdbFamily: magic.family,
    })
    // What its handshake proves is all that it can safely be given: a server that cannot load
    // what it is sent has flushed its own data by then.
    const form = formFor(sure, magic, await neededVersion(host, snapshot))
    if (form.kind === 'relabel') return { magic, version: form.version }
    throw new ProtocolError(
      'ERR_REPLICA_VERSION_UNKNOWN',
      `the snapshot is ${formatRdbMagic(magic)} and the replica's version is not known ` +
        `(${found}): an older one would flush its data and fail`,
      { details: { replica: connection.replicaName, rdbVersion: magic.version } },
    )
  }
  const accepted = acceptedBy(found)
  if (accepts(accepted, magic)) return { magic, version: undefined }
  const form = formFor(accepted, magic, await neededVersion(host, snapshot))
  if (form.kind !== 'refuse') {
    return { magic, version: form.kind === 'relabel' ? form.version : undefined }
  }
  throw new ProtocolError(
    'ERR_RDB_TOO_NEW',
    `the snapshot is ${formatRdbMagic(magic)}, ${found.family} ${found.version} loads up to ` +
      `${accepted.valkey > 0 ? `VALKEY RDB ${accepted.valkey} or ` : ''}RDB ${accepted.redis}: ` +
      'it would flush its data and fail',
    { details: { replica: connection.replicaName, rdbVersion: magic.version } },
  )
}

/** Undefined: it goes as it is, or not at all. */
async function neededVersion(
  { origin }: ConnectionHost,
  snapshot: ServedSnapshot,
): Promise<number | undefined> {
  return origin.mayRelabel ? await snapshot.whenNeededKnown() : undefined
}

/** Text instead of a kind: why it could not be learnt. */
async function identify(connection: Client, host: ConnectionHost): Promise<ServerKind | string> {
  const { valkeyVersion, listeningPort } = connection.profile
  if (valkeyVersion !== undefined) return { family: 'valkey', version: valkeyVersion }
  const probed = host.probeReplicas
    ? await probe(connection.peerIp, listeningPort)
    : 'it was not asked'
  return typeof probed === 'string' ? (host.assumedReplica ?? probed) : probed
}

/** Asks the server at this address what it is. Sends no password: the port is what the peer said,
 * and behind an address translation it may be anybody's. */
export async function probe(ip: string, port: number): Promise<ServerKind | string> {
  return await new Promise((resolve) => {
    const socket = connect({ host: ip, port })
    let text = ''
    const end = (result: ServerKind | string): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(result)
    }
    const timer = setTimeout(() => end(`no answer from port ${port}`), PROBE_MS)
    socket.on('error', () => end(`port ${port} cannot be connected to`))
    socket.on('close', () => end(`port ${port} closed the connection`))
    // Without a section: 2.4 knows none, and answers an error to one.
    socket.on('connect', () => socket.write(command('INFO')))
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
      const found = parseServerKind(text)
      if (found !== undefined) end(found)
      else if (text.startsWith('-')) end(`port ${port} wants a password`)
      else if (text.length > PROBE_BYTES) end(`port ${port} is no Redis or Valkey server`)
    })
  })
}

/** From the text of INFO; undefined until its version lines are there. */
export function parseServerKind(info: string): ServerKind | undefined {
  const version = (name: string): string | undefined =>
    new RegExp(`^${name}:(\\d+\\.\\d+\\.\\d+)\\r\\n`, 'm').exec(info)?.[1]
  const valkey = version('valkey_version')
  if (valkey !== undefined) return { family: 'valkey', version: valkey }
  const redict = version('redict_version')
  if (redict !== undefined) return { family: 'redict', version: redict }
  const redis = version('redis_version')
  // Valkey and Redict tell a Redis version first and their own behind: wait for a later line.
  if (redis === undefined || /^server_name:valkey/m.test(info)) return undefined
  return /^(process_id|run_id|uptime_in_seconds):/m.test(info)
    ? { family: 'redis', version: redis }
    : undefined
}
