/**
 * `export --format rdb`: every fixture in its own version, copied and taken apart, and for the servers
 * at hand, which load it and must come to what they come to from the original.
 */
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readAuxFields, rdbMagicOf } from '../../src/rdb/head.js'
import { acceptedVersions, accepts } from '../../src/servers/rdb-version.js'
import { serverVersionNumber } from '../../src/servers/version.js'
import { exportToBuffer } from '../helpers/export.js'
import {
  fixtureFiles,
  parseStates,
  withScoresAsNumbers,
  type KeyState,
} from '../helpers/fixtures.js'
import { digest, serverBinaries, startServer, type TestServer } from '../helpers/servers.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-export-rdb-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))
const files = fixtureFiles('.rdb').filter(({ name }) => !name.startsWith('corrupt'))
/** Passes every key, one by one. */
const KEY_BY_KEY = { noMatch: ['no key has this name'] }

async function states(source: string): Promise<KeyState[]> {
  const { text } = await exportToBuffer({ source, format: 'jsonl', strings: 'base64' })
  return parseStates(text)
}

/** Without what another form of the same value changes. */
function plainly(all: readonly KeyState[], withoutTimes = false): unknown[] {
  return all.map((state) => {
    const { value } = withScoresAsNumbers(state)
    const isPlain = withoutTimes && state.type === 'hash'
    return { ...state, value: isPlain ? withoutFieldTimes(value) : value, encoding: undefined }
  })
}

/** Of what is not of any key or not told of one. */
const HIDDEN_LOSSES = ['script', 'function', 'idempotence', 'key-meta', 'module-aux', 'slot-import']

function nameOf({ db, key }: KeyState): string {
  return `${db} ${key}`
}

/** [name, value, time] each, or without a time. */
function fieldsOf(value: unknown): unknown[][] {
  return value as unknown[][]
}

function withoutFieldTimes(value: unknown): unknown {
  return fieldsOf(value).map((field) => field.slice(0, 2))
}

/** How many fields of hashes have a time. */
function timesOf(all: readonly KeyState[]): number {
  const hashes = all.filter(({ type }) => type === 'hash')
  return hashes.flatMap(({ value }) => fieldsOf(value)).filter((each) => each.length > 2).length
}

let count = 0
function written(bytes: Buffer): string {
  const path = join(dir, `${(count += 1)}.rdb`)
  writeFileSync(path, bytes, { mode: 0o600 })
  return path
}

describe('in its own version', () => {
  for (const { name, path } of files) {
    test(`${name} holds the same`, async () => {
      const expected = await states(path)
      for (const filter of [undefined, KEY_BY_KEY]) {
        const { bytes, result } = await exportToBuffer({ source: path, format: 'rdb', filter })
        expect(result.losses).toEqual({})
        expect(result.keysWritten).toBe(expected.length)
        const again = written(bytes)
        expect(await states(again)).toEqual(expected)
        expect(rdbMagicOf(bytes)).toEqual(rdbMagicOf(readFileSync(path)) ?? rdbMagicOf(bytes))
      }
    })
  }
})

describe('compressed inside', () => {
  test('is smaller where the server had compressed nothing', async () => {
    const source = files.find(({ name }) => name === 'redis-7.0/uncompressed.rdb')!.path
    const plain = await exportToBuffer({ source, format: 'rdb' })
    const { bytes } = await exportToBuffer({ source, format: 'rdb', lzf: true })
    expect(bytes.length).toBeLessThan(plain.bytes.length / 2)
  })

  const wide = files.filter(({ path }) => readFileSync(path).length < 4 << 20)
  for (const { name, path } of wide) {
    test(`${name} holds the same`, async () => {
      const expected = await states(path)
      const { bytes, result } = await exportToBuffer({ source: path, format: 'rdb', lzf: true })
      expect(result.losses).toEqual({})
      expect(await states(written(bytes))).toEqual(expected)
    })
  }
})

/** What a server needs that is no cluster and was built without modules of others. */
const NEEDS_MORE = /module|keymeta|third-party|slot-import/
/** Some builds of Redis 8.0 have no vector sets. */
const VECTOR_SETS = 'vectorset'

describe.each(serverBinaries())('$name loads it', (binary) => {
  let server: TestServer
  const start = async (): Promise<TestServer> => {
    const args = ['--dbfilename', 'in.rdb', '--databases', '20000']
    const started = await startServer({ binary, args })
    // Else what is past its time goes while it is looked at.
    await started.client.call('DEBUG', 'SET-ACTIVE-EXPIRE', '0')
    return started
  }
  beforeAll(async () => {
    server = await start()
  })
  afterAll(async () => await server.stop())

  const version = serverVersionNumber(binary.version)!
  const accepted = acceptedVersions(binary.family, version)
  const target = { family: binary.family, version: binary.version }

  /** What it comes to; undefined: it does not load it. */
  async function load(path: string): Promise<string | undefined> {
    copyFileSync(path, join(server.dir, 'in.rdb'))
    try {
      expect(await server.client.call('DEBUG', 'RELOAD', 'NOSAVE')).toBe('OK')
      return await digest(server)
    } catch {
      // It may have ended.
      await server.stop()
      server = await start()
      return undefined
    }
  }

  for (const { name, path } of files) {
    if (NEEDS_MORE.test(name)) continue
    if (name.includes(VECTOR_SETS) && binary.name.startsWith('redis-8.0')) continue
    const magic = rdbMagicOf(readFileSync(path))
    if (magic === undefined) continue
    // Only the release candidates load what they wrote.
    if (accepts(accepted, magic) && !name.includes('-rc')) {
      test(`${name}, as the original`, async () => {
        const original = await load(path)
        expect(original).toBeDefined()
        for (const filter of [undefined, KEY_BY_KEY]) {
          const { bytes } = await exportToBuffer({ source: path, format: 'rdb', filter })
          expect(await load(written(bytes))).toBe(original)
        }
        const { bytes } = await exportToBuffer({ source: path, format: 'rdb', lzf: true })
        expect(await load(written(bytes))).toBe(original)
      })
    }
    test(`${name}, written for it`, async () => {
      const { bytes, result } = await exportToBuffer({ source: path, format: 'rdb', target })
      const own = written(bytes)
      expect(accepts(accepted, rdbMagicOf(bytes)!)).toBe(true)
      const loaded = await load(own)
      expect(loaded).toBeDefined()
      expect(readAuxFields(bytes).get(`${binary.family}-ver`) ?? '').toMatch(/^\d|^$/)
      const isLoadable = accepts(accepted, magic) && !name.includes('-rc')
      if (isLoadable && Object.keys(result.losses).length === 0) {
        expect(loaded).toBe(await load(path))
      }
      const [before, after] = [await states(path), await states(own)]
      const { value = 0, stream = 0, 'field-expiry': fieldTimes = 0, ...others } = result.losses
      expect(HIDDEN_LOSSES).toEqual(expect.arrayContaining(Object.keys(others)))
      const kept = new Set(after.map(nameOf))
      const held = before.filter((state) => kept.has(nameOf(state)))
      expect(before.length - held.length).toBe(value + stream)
      expect(timesOf(held) - timesOf(after)).toBe(fieldTimes)
      const withoutTimes = fieldTimes > 0
      expect(plainly(after, withoutTimes)).toEqual(plainly(held, withoutTimes))
    })
  }
})
