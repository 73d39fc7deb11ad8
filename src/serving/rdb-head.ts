/**
 * The first bytes of an RDB, as far as a relay looks into them: the selected db, which the stream
 * behind it depends on, and the version of the server. And the RDB without keys.
 */
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

const STREAM_DB = Buffer.from('\xfa\x0erepl-stream-db', 'latin1')

/** The db that the stream behind an RDB begins in, from its first bytes; 0 where it tells none. */
export function streamDbOf(head: Buffer): number {
  const at = head.indexOf(STREAM_DB)
  if (at < 0) return 0
  const value = at + STREAM_DB.length
  const first = head[value] ?? 0
  // Integers of 8 and 16 bits, or short text.
  if (first === 0xc0) return head[value + 1] ?? 0
  if (first === 0xc1 && value + 2 < head.length) return head.readInt16LE(value + 1)
  const db = Number(head.toString('latin1', value + 1, value + 1 + first))
  return first > 0 && first < 6 && Number.isSafeInteger(db) ? db : 0
}

/** The server that wrote an RDB, from its first bytes; undefined where it does not say. */
export function writerOf(head: Buffer): ServerKind | undefined {
  for (const family of ['redis', 'valkey'] as const) {
    const name = `${family}-ver`
    const aux = Buffer.from(`\xfa${String.fromCharCode(name.length)}${name}`, 'latin1')
    const at = head.indexOf(aux)
    if (at < 0) continue
    const value = at + aux.length
    const version = head.toString('latin1', value + 1, value + 1 + (head[value] ?? 0))
    if (/^\d+\.\d+\.\d+$/.test(version)) return { family, version }
  }
  return undefined
}
