import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { RdbError } from '../../src/errors.js'
import type { PayloadHeader } from '../../src/replication/handshake.js'
import { PayloadReader } from '../../src/replication/payload.js'
import { rdbBytes, type RdbBytesOptions } from '../helpers/rdb-bytes.js'

const MARK = Buffer.from('abcdefabcdefabcdefabcdefabcdefabcdefabcd')

function header(framing: 'length' | 'eof', payload: Uint8Array): PayloadHeader {
  return framing === 'length'
    ? { replid: 'x', replOffset: 1, framing, lengthBytes: payload.length, mark: undefined }
    : { replid: 'x', replOffset: 1, framing, lengthBytes: undefined, mark: MARK }
}

/** Feeds pieces as a read buffer does: what is left unread is offered again in front of the next. */
function feed(
  framing: 'length' | 'eof',
  payload: Uint8Array,
  pieces: readonly Buffer[],
  isSnapshotWhole?: () => boolean | undefined,
) {
  const got: Buffer[] = []
  const reader = new PayloadReader(header(framing, payload), 'db', {
    onSnapshotBytes: (bytes, start, end) => void got.push(Buffer.from(bytes.subarray(start, end))),
    ...(isSnapshotWhole === undefined ? {} : { isSnapshotWhole }),
  })
  let unread: Buffer = Buffer.alloc(0)
  for (const piece of pieces) {
    unread = Buffer.concat([unread, piece])
    if (reader.ended === undefined) unread = unread.subarray(reader.push(unread, 0, unread.length))
  }
  return { reader, got: (): Buffer => Buffer.concat(got), unread: (): Buffer => unread }
}

function onWire(framing: 'length' | 'eof', payload: Buffer, behind = ''): Buffer {
  const parts = framing === 'length' ? [payload] : [payload, MARK]
  return Buffer.concat([...parts, Buffer.from(behind)])
}

const STREAM = '*1\r\n$4\r\nPING\r\n'

test.each(['length', 'eof'] as const)('%s: any split gives the same bytes and end', (framing) => {
  const payload = rdbBytes({ body: randomBytes(80) })
  const wire = onWire(framing, payload)
  for (let first = 1; first < wire.length; first += 1) {
    for (const second of [first + 1, first + 39, first + 40, first + 41]) {
      const pieces = [
        wire.subarray(0, first),
        wire.subarray(first, second),
        wire.subarray(second),
      ].filter((piece) => piece.length > 0)
      const { reader, got } = feed(framing, payload, pieces)
      expect(reader.ended).toEqual({ bytes: payload.length, checksum: 'ok', rdbVersion: 10 })
      expect(got().equals(payload)).toBe(true)
    }
  }
})

test.each(['length', 'eof'] as const)('%s: bytes behind the payload are left', (framing) => {
  const payload = rdbBytes({ body: randomBytes(300) })
  const { reader, got, unread } = feed(framing, payload, [onWire(framing, payload, STREAM)])
  expect(reader.ended?.bytes).toBe(payload.length)
  expect(got().equals(payload)).toBe(true)
  expect(unread().toString()).toBe(STREAM)
})

test('a mark in the data is data, wherever it stands and however it is cut', () => {
  const bodies = [
    Buffer.concat([MARK, randomBytes(30)]),
    Buffer.concat([randomBytes(30), MARK, MARK.subarray(0, 20), MARK, randomBytes(3)]),
    Buffer.concat([randomBytes(30), Buffer.from([0xff]), randomBytes(8), MARK, randomBytes(7)]),
    MARK,
  ]
  for (const body of bodies) {
    const payload = rdbBytes({ body })
    const wire = onWire('eof', payload)
    for (let cut = 1; cut < wire.length; cut += 1) {
      const { reader, got } = feed('eof', payload, [wire.subarray(0, cut), wire.subarray(cut)])
      expect(reader.ended?.checksum).toBe('ok')
      expect(got().equals(payload)).toBe(true)
    }
    const bytewise = Array.from(wire, (byte) => Buffer.from([byte]))
    expect(feed('eof', payload, bytewise).got().equals(payload)).toBe(true)
  }
})

test('large payloads arrive whole in pieces of any size', () => {
  const payload = rdbBytes({ body: randomBytes(1_700_000) })
  fc.assert(
    fc.property(
      fc.constantFrom('length' as const, 'eof' as const),
      fc.array(fc.integer({ min: 1, max: 400_000 }), { minLength: 3, maxLength: 10 }),
      (framing, sizes) => {
        const wire = onWire(framing, payload, STREAM)
        const pieces: Buffer[] = []
        for (let at = 0, i = 0; at < wire.length; i += 1) {
          const size = sizes[i % sizes.length]!
          pieces.push(wire.subarray(at, at + size))
          at += size
        }
        const { reader, got } = feed(framing, payload, pieces)
        return reader.ended?.checksum === 'ok' && got().equals(payload)
      },
    ),
    { numRuns: 15 },
  )
})

test.each([
  ['length', { checksum: 'wrong' }, 'ERR_RDB_CORRUPT'],
  ['eof', { checksum: 'wrong' }, 'ERR_RDB_CORRUPT'],
  ['length', { magic: 'REDIZ0010' }, 'ERR_RDB_CORRUPT'],
  ['eof', { magic: 'SQLite fo' }, 'ERR_RDB_CORRUPT'],
] as const)('%s framing with %j is refused', (framing, options, code) => {
  const payload = rdbBytes({ body: randomBytes(50), ...(options as RdbBytesOptions) })
  let error: unknown
  try {
    feed(framing, payload, [onWire(framing, payload)]).reader.settle()
  } catch (caught) {
    error = caught
  }
  expect(error).toBeInstanceOf(RdbError)
  expect((error as RdbError).code).toBe(code)
})

test('one wrong bit anywhere is found', () => {
  const payload = rdbBytes({ body: randomBytes(100) })
  for (let at = 9; at < payload.length; at += 1) {
    const damaged = Buffer.from(payload)
    damaged[at] = damaged[at]! ^ 0x04
    const run = (): unknown => feed('length', damaged, [damaged])
    expect(run, `byte ${at}`).toThrow(RdbError)
  }
})

test('a length that ends before the RDB does is a truncated snapshot', () => {
  const body = randomBytes(50)
  // Nothing that looks like the end where the rest is cut off: opcode 255 and eight bytes.
  body[body.length - 3 - 9] = 0
  const payload = rdbBytes({ body }).subarray(0, -12)
  expect(() => feed('length', payload, [payload])).toThrow(/stops before the end/)
})

test('without a checksum the structure decides which mark is the end', () => {
  // Looks like an end, twice: opcode 255, eight zeros, mark.
  const fake = Buffer.concat([Buffer.from([0xff]), Buffer.alloc(8), MARK])
  const payload = rdbBytes({ body: Buffer.concat([fake, randomBytes(20)]), checksum: 'zero' })
  const wire = onWire('eof', payload)
  for (const cut of [1, 18, 58, 59, 60, wire.length - 41, wire.length - 40, wire.length - 1]) {
    let asked = 0
    const { reader, got } = feed(
      'eof',
      payload,
      [wire.subarray(0, cut), wire.subarray(cut)],
      () => {
        asked += 1
        return asked > (cut === 58 ? 2 : 1)
      },
    )
    expect(reader.ended, `cut at ${cut}`).toEqual({
      bytes: payload.length,
      checksum: 'absent',
      rdbVersion: 10,
    })
    expect(got().equals(payload)).toBe(true)
  }
})

test('where nobody knows, a mark counts once the master is silent behind it', () => {
  const payload = rdbBytes({ checksum: 'zero', body: randomBytes(30) })
  const { reader } = feed('eof', payload, [onWire('eof', payload)])
  expect(reader.ended).toBeUndefined()
  expect(reader.atMark).toBe(true)
  expect(reader.settle()).toBe(true)
  expect(reader.ended).toEqual({ bytes: payload.length, checksum: 'absent', rdbVersion: 10 })
})

test('silence without a mark settles nothing', () => {
  const payload = rdbBytes({ body: randomBytes(30) })
  const { reader } = feed('eof', payload, [onWire('eof', payload).subarray(0, -1)])
  expect(reader.settle()).toBe(false)
})

test('an RDB before version 5 has no checksum, and Valkey has its own magic', () => {
  const old = rdbBytes({ magic: 'REDIS0004', checksum: 'none', body: randomBytes(30) })
  expect(feed('length', old, [old]).reader.ended).toEqual({
    bytes: old.length,
    checksum: 'absent',
    rdbVersion: 4,
  })
  const valkey = rdbBytes({ magic: 'VALKEY080', body: randomBytes(30) })
  expect(feed('eof', valkey, [onWire('eof', valkey)]).reader.ended).toEqual({
    bytes: valkey.length,
    checksum: 'ok',
    rdbVersion: 80,
  })
})
