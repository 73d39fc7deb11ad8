/** Where the dump of a shard was larger than what is read at once, nine bytes at each border were replaced by
 * the nine in front of it: values of a cluster's dumps, and of a live cluster, were read wrong, and where they
 * were compressed not at all. */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { allocateInputBuffer } from '../../src/kernels/kernel.js'
import { inKernel, RDB_READ_BYTES } from '../../src/source/rdb-input.js'
import { joinDumps } from '../../src/source/shards.js'
import { openInput } from '../../src/source/source.js'
import { startServer } from '../helpers/servers.js'

test('a dump of some mebibytes is read as it is', async () => {
  const server = await startServer({ args: ['--rdbcompression', 'no'] })
  try {
    const pipeline = server.client.pipeline()
    for (let i = 0; i < 3000; i += 1) pipeline.set(`key:${i}`, randomBytes(1500))
    await pipeline.exec()
    await server.client.call('SAVE')
    const path = join(server.dir, 'dump.rdb')
    const input = await joinDumps('one shard', [{ path }], openInput)
    const buffer = allocateInputBuffer(RDB_READ_BYTES)
    const read: Buffer[] = []
    await input.pump(
      (bytes) => {
        read.push(Buffer.from(inKernel(bytes, buffer)))
        return true
      },
      { buffer },
    )
    expect(Buffer.concat(read).equals(readFileSync(path))).toBe(true)
  } finally {
    await server.stop()
  }
})
