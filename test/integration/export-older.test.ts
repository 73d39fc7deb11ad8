/**
 * A dump for servers of all ages: nothing in it is younger than they are, what they cannot hold is named,
 * and the rest is there. The oldest server at hand loads each.
 */
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { RdbParser } from '../../src/rdb/parser.js'
import { DEPTH } from '../../src/rdb/visitor.js'
import { acceptedVersions } from '../../src/servers/rdb-version.js'
import { serverVersionNumber } from '../../src/servers/version.js'
import { exportToBuffer } from '../helpers/export.js'
import { fixtureFiles, parseStates, withScoresAsNumbers } from '../helpers/fixtures.js'
import { serverBinary, startServer, type TestServer } from '../helpers/servers.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-older-'))
let server: TestServer
beforeAll(async () => {
  server = await startServer({
    binary: serverBinary('redis-7.0')!,
    args: ['--dbfilename', 'in.rdb', '--databases', '20000'],
  })
})
afterAll(async () => {
  await server.stop()
  rmSync(dir, { recursive: true, force: true })
})

const files = fixtureFiles('.rdb').filter(({ name }) =>
  /(redis-[78]|valkey).*\/(types|streams|hash-field-ttl|functions|lfu|idmp|uncompressed)\.rdb$/.test(
    name,
  ),
)

async function keys(source: string): Promise<Map<string, unknown>> {
  const { text } = await exportToBuffer({ source, format: 'jsonl', strings: 'base64' })
  return new Map(
    parseStates(text).map((state) => {
      const { type, value } = withScoresAsNumbers(state)
      return [`${state.db} ${state.key}`, type === 'stream' ? undefined : value]
    }),
  )
}

describe.each(['2.4.18', '2.8.24', '3.2.13', '4.0.14', '5.0.14', '6.2.14', '7.0.15'])(
  'redis-%s',
  (version) => {
    const accepted = acceptedVersions('redis', serverVersionNumber(version)!).redis

    for (const { name, path } of files) {
      test(name, async () => {
        const target = { family: 'redis', version } as const
        const { bytes, result } = await exportToBuffer({ source: path, format: 'rdb', target })
        const out = join(dir, 'out.rdb')
        writeFileSync(out, bytes)
        let youngest = 0
        const parser = new RdbParser(
          {
            key: ({ type }) => {
              youngest = Math.max(youngest, type.since)
              return DEPTH.ELEMENTS
            },
          },
          { validate: true, strict: true },
        )
        parser.push(bytes)
        const summary = parser.end()
        expect(summary.version).toBeLessThanOrEqual(accepted)
        expect(youngest).toBeLessThanOrEqual(accepted)
        copyFileSync(out, join(server.dir, 'in.rdb'))
        expect(await server.client.call('DEBUG', 'RELOAD', 'NOSAVE')).toBe('OK')

        const { losses } = result
        const [before, after] = [await keys(path), await keys(out)]
        expect(before.size - after.size).toBe((losses.value ?? 0) + (losses.stream ?? 0))
        if (losses['field-expiry'] === undefined) {
          for (const [key, value] of after) expect(value).toEqual(before.get(key))
        }
        // Before 5.0 there are no streams, before 7.0 no functions: all of them are named.
        if (name.includes('streams') && accepted < 9) expect(losses.stream).toBeGreaterThan(0)
        if (name.includes('functions') && accepted < 10) expect(losses.function).toBeGreaterThan(0)
        if (name.includes('hash-field-ttl')) expect(losses['field-expiry']).toBeGreaterThan(0)
        if (name.includes('/types') && accepted >= 10) expect(losses).toEqual({})
      })
    }
  },
)
