/** Which server wrote an RDB, by its first bytes: what may be taken for granted of one like it. */
import type { Buffer } from 'node:buffer'
import { rdbMagicOf, readAuxFields } from '../rdb/head.js'
import { targetCapabilities, type TargetCapabilities } from '../servers/capabilities.js'
import { versionOfRdb } from '../servers/rdb-version.js'
import { serverVersionNumber } from '../servers/version.js'

/** What a server of the version that wrote the file can do; without an AUX field that names it,
 * one that writes this version of the format. */
export function capabilitiesOfWriter(head: Buffer): TargetCapabilities {
  const aux = readAuxFields(head)
  const named = aux.get('valkey-ver') ?? aux.get('redis-ver')
  // What stands behind another envelope says nothing here.
  const magic = rdbMagicOf(head) ?? { family: 'redis', version: 0 }
  const family = aux.has('valkey-ver') ? 'valkey' : magic.family
  const version = named === undefined ? undefined : serverVersionNumber(named)
  return targetCapabilities(family, version ?? versionOfRdb(magic.version))
}
