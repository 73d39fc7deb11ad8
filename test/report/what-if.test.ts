/** What a higher limit is said to save, against servers that were given it. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { inspect } from '../../src/verbs/inspect/run.js'
import { serverBinaries, startServer } from '../helpers/servers.js'

const KEYS = 20

test.each(serverBinaries().map((binary) => [binary.name, binary] as const))(
  '%s saves about as much as was said',
  async (_name, binary) => {
    const server = await startServer({ binary })
    try {
      const { client } = server
      for (let key = 0; key < KEYS; key += 1) {
        const count = (from: number): number[] => Array.from({ length: from }, (_, at) => at)
        await client.hset(
          `hash:${key}`,
          ...count(700).flatMap((at) => [`field-${at}`, `value-${at * 7}`]),
        )
        await client.zadd(
          `zset:${key}`,
          ...count(200).flatMap((at) => [at * 1000.25, `member-number-${at}`]),
        )
        await client.sadd(`set:${key}`, ...count(180).map((at) => `member-${at}`))
        await client.hset(`long:${key}`, ...count(10).flatMap((at) => [`f${at}`, 'x'.repeat(100)]))
      }
      await client.call('SAVE')
      const { report } = await inspect(join(server.dir, 'dump.rdb'), { report: true })
      const settings = report!.thresholds.flatMap(({ whatIf }) => whatIf)
      expect(settings.map(({ setting }) => setting)).toEqual(
        [
          'hash-max-listpack-entries',
          'hash-max-listpack-value',
          'set-max-listpack-entries',
          'zset-max-listpack-entries',
        ].filter((name) => binary.name !== 'redis-7.0.15' || !name.startsWith('set')),
      )
      for (const { setting, proposed, keys, memory, saves } of settings) {
        const prefix = setting.endsWith('value') ? 'long' : setting.slice(0, setting.indexOf('-'))
        const names = Array.from({ length: KEYS }, (_, key) => `${prefix}:${key}`)
        const used = async (): Promise<number> => {
          let bytes = 0
          for (const name of names) {
            bytes += Number(await client.call('MEMORY', 'USAGE', name, 'SAMPLES', '0'))
          }
          return bytes
        }
        const before = await used()
        await client.config('SET', setting, String(proposed))
        for (const name of names) {
          const payload = await client.dumpBuffer(name)
          await client.restore(name, 0, payload, 'REPLACE')
        }
        const after = await used()
        expect(keys).toBe(KEYS)
        // What it takes now is estimated within 5 %, what it would take within 6 %.
        expect(memory / before).toBeGreaterThan(0.95)
        expect(memory / before).toBeLessThan(1.05)
        expect((memory - saves) / after, setting).toBeGreaterThan(0.94)
        expect((memory - saves) / after, setting).toBeLessThan(1.06)
      }
    } finally {
      await server.stop()
    }
  },
)
