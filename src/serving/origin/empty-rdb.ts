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
