/**
 * Entries of listpacks of 16383 bytes have a back-length that Valkey 9.1 reads otherwise than Redis 7.0
 * writes it: such a value must not be copied into a dump for it.
 */
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { digest, serverBinary, startServer } from '../helpers/servers.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-294-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))
const valkey = serverBinary('valkey-9.1')

/** One byte of mark and four of length stand in front of it. */
const DISPUTED = 16_383 - 5

test.skipIf(valkey === undefined)(
  'they are written anew, and what cannot be is named',
  async () => {
    const large = ['--list-max-listpack-size', '1000', '--hash-max-listpack-value', '20000']
    const source = await startServer({
      binary: serverBinary('redis-7.0')!,
      args: [...large, '--stream-node-max-bytes', '1000000', '--rdbcompression', 'no'],
    })
    const target = await startServer({ binary: valkey!, args: ['--dbfilename', 'in.rdb'] })
    try {
      for (const bytes of [DISPUTED - 1, DISPUTED, DISPUTED + 1]) {
        const text = 'v'.repeat(bytes)
        await source.client.hset(`hash:${bytes}`, { a: '1', long: text, z: '26' })
        await source.client.rpush(`list:${bytes}`, 'a', text, 'z')
        await source.client.xadd(`stream:${bytes}`, '1-1', 'f', text, 'g', '7')
        await source.client.expire(`hash:${bytes}`, 100_000)
      }
      // Beyond what is held of one value.
      const many = Array.from({ length: 1300 }, (_, i) => String(i % 10).repeat(DISPUTED))
      await source.client.rpush('long', ...many)
      await source.client.set('plain', 'x')
      const out = join(dir, 'out.rdb')
      const args = ['--for', 'valkey-9.1', '-o', out, '--json']
      const result = await runCli(['export', `127.0.0.1:${source.port}`, ...args])
      expect(result.code).toBe(7)
      expect(JSON.parse(result.out)).toMatchObject({
        keys: { written: 10 },
        losses: { 'disputed-length': 1 },
      })
      copyFileSync(out, join(target.dir, 'in.rdb'))
      expect(await target.client.call('DEBUG', 'RELOAD', 'NOSAVE')).toBe('OK')
      // All the others are there, as they were.
      await source.client.del(`stream:${DISPUTED}`)
      expect(await digest(target)).toBe(await digest(source))
      // For who reads them alike nothing is touched.
      const same = await runCli([
        ...['export', `127.0.0.1:${source.port}`, '--for', 'redis-7.2'],
        ...['-o', join(dir, 'same.rdb')],
      ])
      expect(same.code).toBe(0)
    } finally {
      await source.stop()
      await target.stop()
    }
  },
)
