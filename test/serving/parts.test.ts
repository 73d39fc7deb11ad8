/** The small parts of the master's side, each against its rule. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { RdbError } from '../../src/errors.js'
import { checkExposure, RateLimit, reachOf } from '../../src/serving/clients/access.js'
import { emptyRdb } from '../../src/serving/origin/empty-rdb.js'
import { streamDbOf } from '../../src/rdb/head.js'
import { FrozenLog, type StreamPart } from '../../src/serving/origin/frozen-log.js'
import { History } from '../../src/serving/origin/history.js'
import { DEFAULT_REPLICA_LIMITS, LagGuard } from '../../src/serving/limits.js'
import { acceptedBy, formFor, surelyAccepted } from '../../src/servers/rdb-version.js'
import { parseServerKind } from '../../src/serving/clients/replica-version.js'
import { relabel, Snapshot } from '../../src/serving/origin/snapshot.js'
import { StreamTracker } from '../../src/serving/origin/stream-tracker.js'

const dirs: string[] = []
afterEach(async () => {
  for (const dir of dirs.splice(0)) await rm(dir, { recursive: true, force: true })
})

const resp = (...words: string[]): string =>
  `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`

describe('a history', () => {
  test('is named by its id, and up to the failover by the one before', () => {
    const history = new History({ replid: 'a'.repeat(40), replid2: '', secondReplOffset: -1 })
    expect(history.names('A'.repeat(40), 5)).toBe(true)
    expect(history.names('b'.repeat(40), 5)).toBe(false)
    history.rename('b'.repeat(40), 5490)
    // Measured on 7.2: with second_repl_offset 5490, 5490 is continued and 5491 is not.
    expect(history.names('a'.repeat(40), 5490)).toBe(true)
    expect(history.names('a'.repeat(40), 5491)).toBe(false)
    expect(history.names('b'.repeat(40), 9999)).toBe(true)
    history.replace('c'.repeat(40))
    expect(history.names('b'.repeat(40), 1)).toBe(false)
  })
})

describe('a frozen stream', () => {
  function makeLog(): { log: FrozenLog; content: Buffer } {
    const dir = mkdtempSync(join(tmpdir(), 'rrep-frozen-log-'))
    dirs.push(dir)
    const bytes = Buffer.from(Array.from({ length: 10_000 }, (_, index) => index % 251))
    const path = join(dir, 'part')
    writeFileSync(path, bytes)
    const ranges = [0, 10, 500, 501, 9000].map((byteOffset, index) => [byteOffset, 7 + index * 90])
    const parts: StreamPart[] = [{ bytes: Buffer.from(resp('SELECT', '0')) }]
    for (const [byteOffset, lengthBytes] of ranges) {
      parts.push({ path, byteOffset: byteOffset!, lengthBytes: lengthBytes! })
    }
    const pieces = ranges.map(([from, length]) => bytes.subarray(from, from! + length!))
    const content = Buffer.concat([Buffer.from(resp('SELECT', '0')), ...pieces])
    return { log: new FrozenLog(100, parts), content }
  }

  test('has the same bytes from any offset, in pieces of any size', async () => {
    const { log, content } = makeLog()
    for (let ping = 0; ping < 3; ping += 1) log.ping()
    const whole = Buffer.concat([content, Buffer.from(resp('PING').repeat(3))])
    expect(log.endReplOffset).toBe(100 + whole.length)
    await fc.assert(
      fc.asyncProperty(
        fc.nat(whole.length - 1),
        fc.integer({ min: 1, max: 700 }),
        async (at, max) => {
          const replOffset = 101 + at
          const buffer = Buffer.alloc(max)
          const view = log.view(replOffset, max)
          const bytes = view ?? buffer.subarray(0, await log.read(replOffset, buffer))
          expect(bytes.length).toBeGreaterThan(0)
          expect(bytes.equals(whole.subarray(at, at + bytes.length))).toBe(true)
        },
      ),
      { numRuns: 200 },
    )
    await log.close()
  })

  test('reaches out to one who has had more PINGs, and to nobody else', () => {
    const { log } = makeLog()
    const end = log.commandsEndReplOffset
    expect(log.reach(end + 14 * 1000)).toBe(true)
    expect(log.endReplOffset).toBe(end + 14_000)
    expect(log.reach(end + 14 * 2000 + 3)).toBe(false)
    expect(log.view(end + 15, 28)!.toString()).toBe(resp('PING').repeat(2))
  })
})

describe('the position in a stream', () => {
  const stream =
    resp('SELECT', '3') +
    resp('SET', 'key', 'value') +
    resp('MULTI') +
    resp('SELECT', '5') +
    resp('SET', 'a', 'b') +
    resp('EXEC') +
    '\n' +
    resp('SET', 'big', 'x'.repeat(200_000)) +
    resp('PING')
  /** Offset and db behind every item outside the transaction, computed by hand. */
  const boundaries = [
    [resp('SELECT', '3').length, 3],
    [resp('SELECT', '3').length + resp('SET', 'key', 'value').length, 3],
    [stream.indexOf('\n*3\r\n$3\r\nSET\r\n$3\r\nbig'), 5],
    [stream.indexOf('*3\r\n$3\r\nSET\r\n$3\r\nbig'), 5],
    [stream.length - resp('PING').length, 5],
    [stream.length, 5],
  ] as const

  test('is the last command outside a transaction, wherever the bytes are cut', () => {
    const bytes = Buffer.from(stream)
    const cuts = [...boundaries.map(([at]) => at), 1, 30, 60, 90, 110, 130, 150, 5000, 150_000]
    for (const cut of cuts) {
      const tracker = new StreamTracker()
      tracker.reset({ boundaryReplOffset: 1000, dbnum: 0 })
      tracker.feed(bytes, 0, cut)
      const expected = boundaries.filter(([at]) => at <= cut).at(-1) ?? [0, 0]
      expect(tracker.position.boundaryReplOffset - 1000).toBe(expected[0])
      expect(tracker.position.dbnum).toBe(expected[1])
      tracker.feed(bytes, cut, bytes.length)
      expect(tracker.position).toEqual({ boundaryReplOffset: 1000 + bytes.length, dbnum: 5 })
    }
  })

  test('stays where it was when the stream is no RESP', () => {
    const tracker = new StreamTracker()
    tracker.reset({ boundaryReplOffset: 0, dbnum: 0 })
    const text = Buffer.from(`${resp('PING')}garbage\r\n`)
    tracker.feed(text, 0, text.length)
    expect(tracker.isFollowing).toBe(false)
    expect(tracker.position.boundaryReplOffset).toBe(14)
  })
})

describe('a limit', () => {
  test('cuts off at once beyond the hard one, which is never below the backlog', () => {
    const guard = new LagGuard({ ...DEFAULT_REPLICA_LIMITS, hardBytes: 1000 }, 5000)
    expect(guard.isBeyond(4000, 0)).toBe(false)
    expect(guard.isBeyond(5001, 0)).toBe(true)
  })

  test('gives the time of the soft one, and more to who comes closer', () => {
    const guard = new LagGuard({ hardBytes: 1e9, softBytes: 100, softMs: 60_000 }, 0)
    expect(guard.isBeyond(1000, 0)).toBe(false)
    expect(guard.isBeyond(900, 50_000)).toBe(false)
    expect(guard.isBeyond(900, 100_000)).toBe(false)
    expect(guard.isBeyond(900, 110_000)).toBe(true)
    expect(guard.isBeyond(50, 111_000)).toBe(false)
    expect(guard.isBeyond(900, 112_000)).toBe(false)
  })
})

describe('RDB versions', () => {
  test('what a replica accepts was measured', () => {
    expect(acceptedBy({ family: 'redis', version: '7.0.15' })).toEqual({ redis: 10, valkey: 0 })
    expect(acceptedBy({ family: 'redis', version: '6.2.16' })).toEqual({ redis: 9, valkey: 0 })
    expect(acceptedBy({ family: 'redis', version: '8.4.0' })).toEqual({ redis: 12, valkey: 0 })
    expect(acceptedBy({ family: 'redis', version: '8.6.3' })).toEqual({ redis: 13, valkey: 0 })
    expect(acceptedBy({ family: 'valkey', version: '8.1.1' })).toEqual({ redis: 11, valkey: 0 })
    expect(acceptedBy({ family: 'valkey', version: '9.1.2' })).toEqual({ redis: 11, valkey: 80 })
  })

  test('a handshake proves little, and never too much', () => {
    const capabilities = new Set(['eof', 'psync2'])
    expect(surelyAccepted({ capabilities, isInline: false }).redis).toBe(9)
    expect(surelyAccepted({ capabilities, isInline: true }).redis).toBe(8)
    expect(surelyAccepted({ capabilities: new Set(['eof']), isInline: true }).redis).toBe(6)
    // 2.4 says nothing, and loads RDB 2 at most.
    expect(surelyAccepted({ capabilities: new Set(), isInline: true }).redis).toBe(1)
    capabilities.add('rdb-channel-repl')
    expect(surelyAccepted({ capabilities, isInline: false }).redis).toBe(12)
  })

  test('a label is lowered only as far as the content permits', () => {
    const magic = { family: 'redis', version: 12 } as const
    const seven = { redis: 10, valkey: 0 }
    expect(formFor(seven, magic, 10)).toEqual({ kind: 'relabel', version: 10 })
    expect(formFor(seven, magic, 11)).toEqual({ kind: 'refuse' })
    expect(formFor(seven, magic, undefined)).toEqual({ kind: 'refuse' })
    expect(formFor({ redis: 13, valkey: 0 }, magic, 11)).toEqual({ kind: 'as-is' })
    expect(formFor(seven, { family: 'valkey', version: 80 }, undefined)).toEqual({ kind: 'refuse' })
  })

  test('relabelling changes the digits and the checksum, in chunks of any size', () => {
    const rdb = Buffer.from(`REDIS0012content of the file\xff12345678`, 'latin1')
    const wanted = Buffer.from('REDIS0010content of the file\xff\0\0\0\0\0\0\0\0', 'latin1')
    for (let size = 1; size <= rdb.length; size += 1) {
      const parts: Buffer[] = []
      for (let at = 0; at < rdb.length; at += size) {
        const chunk = Buffer.from(rdb.subarray(at, at + size))
        relabel(chunk, at, rdb.length, 10)
        parts.push(chunk)
      }
      expect(Buffer.concat(parts)).toEqual(wanted)
    }
  })

  test('INFO tells who it is, once enough of it has come', () => {
    const redis =
      '# Server\r\nredis_version:7.0.15\r\nredis_git_sha1:0\r\nredis_mode:standalone\r\nprocess_id:7\r\n'
    expect(parseServerKind(redis)).toEqual({ family: 'redis', version: '7.0.15' })
    const valkey = '# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\n'
    expect(parseServerKind(valkey)).toBe(undefined)
    expect(parseServerKind(`${valkey}valkey_version:9.1.2\r\n`)).toEqual({
      family: 'valkey',
      version: '9.1.2',
    })
  })
})

describe('an empty snapshot', () => {
  test('says in which db the stream goes on', () => {
    for (const db of [0, 1, 9, 15, 300, 16_384]) expect(streamDbOf(emptyRdb(db))).toBe(db)
    const asServersWrite = Buffer.from('REDIS0011\xfa\x0erepl-stream-db\xc0\x09\xff', 'latin1')
    expect(streamDbOf(asServersWrite)).toBe(9)
    const wide = Buffer.from('REDIS0011\xfa\x0erepl-stream-db\xc1\x2c\x01\xff', 'latin1')
    expect(streamDbOf(wide)).toBe(300)
  })
})

describe('access', () => {
  test('addresses are told apart by who reaches them', () => {
    for (const host of ['127.0.0.1', '127.9.9.9', '::1', 'localhost']) {
      expect(reachOf(host)).toBe('loopback')
    }
    for (const host of ['10.1.2.3', '172.20.0.1', '192.168.1.1', 'fd00::1', 'fe80::1']) {
      expect(reachOf(host)).toBe('private')
    }
    for (const host of ['0.0.0.0', '::', '8.8.8.8', '172.32.0.1', '2001:db8::1', 'db.example']) {
      expect(reachOf(host)).toBe('public')
    }
  })

  test('what an address asks for must be there, or be waived', () => {
    const nothing = { password: false, tls: false, unprotected: false }
    expect(() => checkExposure('127.0.0.1', nothing)).not.toThrow()
    expect(() => checkExposure('10.0.0.1', nothing)).toThrow(/password/)
    expect(() => checkExposure('10.0.0.1', { ...nothing, password: true })).not.toThrow()
    expect(() => checkExposure('0.0.0.0', { ...nothing, password: true })).toThrow(/TLS/)
    expect(() => checkExposure('::', { ...nothing, password: true, tls: true })).not.toThrow()
    expect(() => checkExposure('0.0.0.0', { ...nothing, unprotected: true })).not.toThrow()
  })

  test('a rate is an average, with some more at once', () => {
    const rate = new RateLimit(10, 0)
    const taken = Array.from({ length: 30 }, () => rate.take(0)).filter(Boolean).length
    expect(taken).toBe(20)
    expect(rate.take(50)).toBe(false)
    expect(rate.take(250)).toBe(true)
  })
})

test('of a file that is not known to be sound, what was looked through is sent, but for its end', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-unchecked-'))
  const path = join(dir, 'dump.rdb')
  writeFileSync(path, Buffer.concat([Buffer.from('REDIS0010'), Buffer.alloc(991)]))
  const range = { path, byteOffset: 0, lengthBytes: 1000, isUnchecked: true }
  const place = { replid: 'a'.repeat(40), replOffset: 0 }
  const good = await Snapshot.ofFile(place, range)
  expect([good.lengthBytes, good.sendableBytes, good.magic?.version]).toEqual([1000, 0, 10])
  good.checkedTo(500)
  expect(good.sendableBytes).toBe(436)
  good.checkedTo(1000)
  expect(good.sendableBytes).toBe(936)
  good.complete()
  expect(good.sendableBytes).toBe(1000)
  const bad = await Snapshot.ofFile(place, range)
  const waiting = bad.whenSendable(936)
  bad.checkedTo(1000)
  bad.fail(new RdbError('ERR_RDB_CORRUPT', { file: path }, 'wrong'))
  await expect(waiting).rejects.toThrow(/damaged/)
  good.discard()
  rmSync(dir, { recursive: true })
})
