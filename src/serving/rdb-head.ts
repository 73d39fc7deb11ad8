/**
 * The first bytes of an RDB, as far as a relay looks into them: the selected db, which the stream
 * behind it depends on, and the version of the server. And the RDB without keys.
 */
import { readAuxFields } from '../rdb/head.js'
import type { ServerKind } from '../servers/rdb-version.js'

/**
 * The smallest RDB that says in which db its stream goes on. Version 6 has no AUX fields (its
 * stream begins in db 0), and every server from 2.6 on takes it; where a db is to be told,
 * version 8 is the first that can.
 *
 *   REDIS0006 ff 00*8         REDIS0008 fa 0e "repl-stream-db" 01 "3" ff 00*8
 */
export function emptyRdb(streamDb = 0): Buffer {
  const aux =
    streamDb === 0
      ? Buffer.alloc(0)
      : Buffer.concat([
          Buffer.from('\xfa\x0erepl-stream-db', 'latin1'),
          Buffer.from([String(streamDb).length]),
          Buffer.from(String(streamDb)),
        ])
  const magic = streamDb === 0 ? 'REDIS0006' : 'REDIS0008'
  return Buffer.concat([Buffer.from(magic), aux, Buffer.from([0xff]), Buffer.alloc(8)])
}

/** The db that the stream behind an RDB begins in, from its first bytes; 0 where it tells none. */
export function streamDbOf(head: Buffer): number {
  const db = readAuxFields(head).get('repl-stream-db') ?? ''
  return /^\d{1,9}$/.test(db) ? Number(db) : 0
}

/** The server that wrote an RDB, from its first bytes; undefined where it does not say. Redict
 * is told by its own number: it loads what it writes, which Redis of its name does not. */
export function writerOf(head: Buffer): ServerKind | undefined {
  const fields = readAuxFields(head)
  for (const family of ['redis', 'valkey', 'redict'] as const) {
    const version = fields.get(`${family}-ver`)
    if (version !== undefined && /^\d+\.\d+\.\d+$/.test(version)) return { family, version }
  }
  return undefined
}
