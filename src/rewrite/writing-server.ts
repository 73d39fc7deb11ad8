/** Which server wrote an RDB, by its first bytes: what may be taken for granted of one like it. */
import type { Buffer } from 'node:buffer'
import { versionOfRdb } from '../servers/rdb-version.js'
import { serverVersionNumber } from '../servers/version.js'
import {
  targetCapabilities,
  type ServerFamily,
  type TargetCapabilities,
} from '../servers/capabilities.js'
import { readAuxFields } from '../rdb/head.js'

/** What a server of the version that wrote the file can do; without an AUX field that names it,
 * one that writes this version of the format. */
export function writerOf(head: Buffer): TargetCapabilities {
  const aux = readAuxFields(head)
  const named = aux.get('valkey-ver') ?? aux.get('redis-ver')
  const family: ServerFamily =
    aux.has('valkey-ver') || head.toString('latin1', 0, 6) === 'VALKEY' ? 'valkey' : 'redis'
  const version = named === undefined ? undefined : serverVersionNumber(named)
  if (version !== undefined) return targetCapabilities(family, version)
  const digits = head.toString('latin1', family === 'valkey' ? 6 : 5, 9)
  return targetCapabilities(family, versionOfRdb(Number.parseInt(digits, 10) || 0))
}
