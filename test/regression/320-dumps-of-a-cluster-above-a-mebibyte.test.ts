/** The dump of a shard that was larger than what is read at once came apart at each such border: a cluster's
 * dumps, and a live cluster, could not be read or compared, with "bad LZF data" or a wrong checksum. */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { RdbParser } from '../../src/rdb/parser.js'
import { DEPTH } from '../../src/rdb/visitor.js'
import { pumpRdb } from '../../src/source/rdb-input.js'
import { joinDumps } from '../../src/source/shards.js'
import { openInput } from '../../src/source/source.js'
import { startServer } from '../helpers/servers.js'

test('dumps of some mebibytes are read as one', async () => {
  const server = await startServer({ args: ['--rdbcompression', 'no'] })
  try {
    const keys = 3000
    const pipeline = server.client.pipeline()
    for (let i = 0; i < keys; i += 1) pipeline.set(`key:${i}`, randomBytes(1500))
    await pipeline.exec()
    await server.client.call('SAVE')
    const path = join(server.dir, 'dump.rdb')
    const input = await joinDumps('two shards', [{ path }, { path }], openInput)
    const rdb = { input, name: input.name, increments: [], close: () => input.close() }
    const parser = new RdbParser({ key: () => DEPTH.RAW }, { file: 'both', checksum: 'verify' })
    const { summary } = await pumpRdb(rdb, parser)
    expect(parser.keysRead).toBe(2 * keys)
    expect(summary.version).toBeGreaterThan(5)
  } finally {
    await server.stop()
  }
})
