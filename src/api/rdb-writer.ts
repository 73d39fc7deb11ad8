/** Which server wrote an RDB, by its first bytes: what may be taken for granted of one like it. */
import type { Buffer } from 'node:buffer'
import { versionOfRdb } from '../rdb/object-encoding.js'
import {
  parseServerVersion,
  targetCapabilities,
  type ServerFamily,
  type TargetCapabilities,
} from '../rewrite/target-capabilities.js'
import { readAuxFields } from './snapshot-head.js'

/** Development builds call themselves 255.255.255 or 999.999.999. */
const NO_REAL_MAJOR = 99

/** What a server of the version that wrote the file can do; without an AUX field that names it,
 * the oldest that writes this version of the format. */
export function writerOf(head: Buffer): TargetCapabilities {
  const aux = readAuxFields(head)
  const named = aux.get('valkey-ver') ?? aux.get('redis-ver')
  const family: ServerFamily =
    aux.has('valkey-ver') || head.toString('latin1', 0, 6) === 'VALKEY' ? 'valkey' : 'redis'
  if (named !== undefined && Number.parseInt(named, 10) < NO_REAL_MAJOR) {
    return targetCapabilities(family, parseServerVersion(named))
  }
  const digits = head.toString('latin1', family === 'valkey' ? 6 : 5, 9)
  return targetCapabilities(family, versionOfRdb(Number.parseInt(digits, 10) || 0))
}
