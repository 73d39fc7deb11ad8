import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CommandDecoder, nameTable, RESP, type DecoderOptions } from '../../src/resp/decoder.js'

/** Built without the encoder under test elsewhere. */
function wire(...args: (string | Buffer)[]): Buffer {
  const parts: Buffer[] = [Buffer.from(`*${args.length}\r\n`)]
  for (const arg of args) {
    const bytes = typeof arg === 'string' ? Buffer.from(arg, 'latin1') : arg
    parts.push(Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n'))
  }
  return Buffer.concat(parts)
}

interface Item {
  kind: number
  args?: string[]
  bytes: number
  text?: string
}

function decodeAll(chunks: Iterable<Uint8Array>, options?: DecoderOptions): Item[] {
  const decoder = new CommandDecoder(options)
  const items: Item[] = []
  for (const chunk of chunks) {
    // A copy that is overwritten afterwards shows whether positions outlive their chunk.
    const reused = Buffer.from(chunk)
    decoder.feed(reused)
    for (;;) {
      const status = decoder.next()
      if (status === RESP.MORE) break
      if (status === RESP.BAD) {
        items.push({ kind: status, bytes: decoder.problemAt, text: decoder.problem })
        return items
      }
      const bytes = decoder.end - decoder.start
      if (status === RESP.COMMAND) {
        const args = Array.from({ length: decoder.argc }, (_, i) =>
          decoder.arg(i).toString('latin1'),
        )
        items.push({ kind: status, args, bytes })
      } else {
        const text = Buffer.from(decoder.bytes.subarray(decoder.start, decoder.end))
        items.push({ kind: status, text: text.toString('latin1'), bytes })
      }
    }
    reused.fill(0xee)
  }
  return items
}

function cut(bytes: Buffer, at: readonly number[]): Buffer[] {
  const places = [...new Set(at.map((n) => n % (bytes.length + 1)))].sort((a, b) => a - b)
  const chunks: Buffer[] = []
  let from = 0
  for (const place of [...places, bytes.length]) {
    chunks.push(bytes.subarray(from, place))
    from = place
  }
  return chunks
}

const argument = fc.oneof(
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
  fc.constantFrom('SET', 'PING', '\r\n', '*1\r\n', '$3\r\n').map((text) => Buffer.from(text)),
  fc.integer({ min: 500, max: 3000 }).map((size) => Buffer.alloc(size, 'x\r\n')),
)
const commands = fc.array(fc.array(argument, { minLength: 1, maxLength: 80 }), { maxLength: 12 })

test('commands come out as they went in, wherever the stream is cut', () => {
  fc.assert(
    fc.property(commands, fc.array(fc.nat(), { maxLength: 20 }), (list, places) => {
      const stream = Buffer.concat(list.map((args) => wire(...args)))
      const expected = list.map((args) => ({
        kind: RESP.COMMAND,
        args: args.map((arg) => arg.toString('latin1')),
        bytes: wire(...args).length,
      }))
      expect(decodeAll(cut(stream, places))).toEqual(expected)
    }),
    { numRuns: 300 },
  )
})

test('a sample cut at every place, and fed byte by byte, gives the same items', () => {
  const stream = Buffer.concat([
    wire('SELECT', '3'),
    Buffer.from('\n'),
    wire('SET', 'key', 'value\r\n*1\r\n'),
    Buffer.from('#TS:1795363998\r\n'),
    wire('MULTI'),
    wire(...Array.from({ length: 70 }, (_, i) => `arg${i}`)),
    wire('EXEC', ''),
  ])
  const options: DecoderOptions = { lines: 'annotations' }
  const whole = decodeAll([stream], options)
  expect(whole.map((item) => item.kind)).toEqual([1, 2, 1, 3, 1, 1, 1])
  for (let place = 0; place <= stream.length; place++) {
    expect(decodeAll([stream.subarray(0, place), stream.subarray(place)], options)).toEqual(whole)
  }
  const single = Array.from(stream, (_, i) => stream.subarray(i, i + 1))
  expect(decodeAll(single, options)).toEqual(whole)
})

test('what is consumed is counted to the byte', () => {
  const decoder = new CommandDecoder()
  const first = wire('SET', 'a', '1')
  const second = wire('DEL', 'b')
  decoder.feed(Buffer.concat([first, second.subarray(0, 5)]))
  expect(decoder.next()).toBe(RESP.COMMAND)
  expect(decoder.consumedBytes).toBe(first.length)
  expect(decoder.next()).toBe(RESP.MORE)
  expect(decoder.consumedBytes).toBe(first.length)
  expect(decoder.atBoundary).toBe(false)
  decoder.feed(second.subarray(5))
  expect(decoder.next()).toBe(RESP.COMMAND)
  expect(decoder.consumedBytes).toBe(first.length + second.length)
  expect(decoder.next()).toBe(RESP.MORE)
  expect(decoder.atBoundary).toBe(true)
})

test.each([
  ['PING\r\n', 0],
  ['*0\r\n', 0],
  ['*-1\r\n', 0],
  ['*\r\n', 0],
  ['*1\n$4\r\nPING\r\n', 0],
  ['*99999999999\r\n', 0],
  ['*1\r\n+4\r\nPING\r\n', 4],
  ['*1\r\n$\r\n\r\n', 4],
  ['*1\r\n$-1\r\n', 4],
  ['*1\r\n$4\r\nPINGxx', 12],
  ['*1\r\n$4\rxPING\r\n', 7],
  ['*1\r\n$99999999999\r\n', 4],
  ['*2\r\n$1\r\nx\r\n\r\n$1\r\ny\r\n', 11],
])('wrong bytes are refused where they stand: %j', (text, byteOffset) => {
  const before = wire('SET', 'a', 'b')
  const stream = Buffer.concat([before, Buffer.from(text)])
  for (let place = 0; place <= stream.length; place++) {
    const items = decodeAll([stream.subarray(0, place), stream.subarray(place)])
    expect(items[0]).toMatchObject({ kind: RESP.COMMAND })
    const last = items[items.length - 1]!
    expect(last.kind).toBe(RESP.BAD)
    expect(last.bytes).toBe(before.length + byteOffset)
  }
})

test('a claimed length does not make the decoder allocate', () => {
  const decoder = new CommandDecoder()
  decoder.feed(Buffer.from('*1000000000\r\n$1000000000\r\nabc'))
  const before = process.memoryUsage().arrayBuffers
  expect(decoder.next()).toBe(RESP.MORE)
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1_000_000)
})

test('skip passes over ordinary commands and stops before those in the table', () => {
  const table = nameTable(['PING', 'SELECT'])
  const ordinary = [wire('SET', 'a', 'b'), wire('lpush', 'l', 'PING'), wire('X'), wire('MSET')]
  const decoder = new CommandDecoder()
  decoder.feed(
    Buffer.concat([...ordinary, wire('ping'), wire('DEL', 'a'), wire('SET', 'a').subarray(0, 9)]),
  )
  expect(decoder.skip(table)).toBe(4)
  expect(decoder.end - decoder.start).toBe(Buffer.concat(ordinary).length)
  expect(decoder.skip(table)).toBe(0)
  expect(decoder.next()).toBe(RESP.COMMAND)
  expect(decoder.arg(0).toString()).toBe('ping')
  expect(decoder.skip(table)).toBe(1)
  expect(decoder.skip(table)).toBe(0)
  expect(decoder.next()).toBe(RESP.MORE)
  expect(decoder.skip(table)).toBe(0)
})

test('skip and next agree on every stream, also on a damaged one', () => {
  const table = nameTable(['SEL'])
  fc.assert(
    fc.property(
      commands,
      fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 3 }),
      fc.array(fc.nat(), { maxLength: 5 }),
      (list, damage, places) => {
        const stream = Buffer.concat(list.map((args) => wire(...args)))
        for (const [at, byte] of damage) if (stream.length > 0) stream[at % stream.length] = byte
        const plain = new CommandDecoder()
        const skipping = new CommandDecoder()
        let commandsPlain = 0
        let commandsSkipping = 0
        let badPlain = -1
        let badSkipping = -1
        for (const chunk of cut(stream, places)) {
          plain.feed(chunk)
          for (let s = plain.next(); s !== RESP.MORE; s = plain.next()) {
            if (s === RESP.BAD) {
              badPlain = plain.problemAt
              break
            }
            commandsPlain += 1
          }
          skipping.feed(chunk)
          for (;;) {
            commandsSkipping += skipping.skip(table)
            const s = skipping.next()
            if (s === RESP.BAD) badSkipping = skipping.problemAt
            if (s === RESP.MORE || s === RESP.BAD) break
            commandsSkipping += 1
          }
          if (badPlain >= 0 || badSkipping >= 0) break
        }
        expect([commandsSkipping, badSkipping]).toEqual([commandsPlain, badPlain])
        expect(skipping.consumedBytes).toBe(plain.consumedBytes)
      },
    ),
    { numRuns: 300 },
  )
})

test('pieces of large commands put together are the stream, cut anywhere', () => {
  fc.assert(
    fc.property(commands, fc.array(fc.nat(), { maxLength: 30 }), (list, places) => {
      const stream = Buffer.concat(list.map((args) => wire(...args)))
      const decoder = new CommandDecoder({ pieceBytes: 200 })
      const out: Buffer[] = []
      let whole = 0
      let open = false
      let mostHeld = 0
      for (const chunk of cut(stream, places)) {
        const reused = Buffer.from(chunk)
        decoder.feed(reused)
        for (;;) {
          const status = decoder.next()
          if (status === RESP.MORE) break
          if (status === RESP.PIECE) {
            expect(decoder.pieceFirst).toBe(!open)
            if (decoder.pieceFirst) expect(decoder.arg(0).equals(list[whole]![0]!)).toBe(true)
            open = !decoder.pieceLast
            if (decoder.pieceLast) whole += 1
          } else {
            expect(status).toBe(RESP.COMMAND)
            expect(open).toBe(false)
            whole += 1
          }
          out.push(Buffer.from(decoder.bytes.subarray(decoder.start, decoder.end)))
        }
        mostHeld = Math.max(mostHeld, decoder.heldBytes)
        reused.fill(0xee)
      }
      expect(Buffer.concat(out).equals(stream)).toBe(true)
      expect(whole).toBe(list.length)
      expect(decoder.atBoundary).toBe(true)
      // A name may itself be long, and is held until it is whole.
      const longestName = Math.max(0, ...list.map((args) => args[0]!.length))
      expect(mostHeld).toBeLessThanOrEqual(220 + longestName)
    }),
    { numRuns: 500 },
  )
})

test('commands in the table of what is to be held whole never come in pieces', () => {
  const big = Buffer.alloc(5000, 'v')
  const stream = Buffer.concat([wire('SET', 'k', big), wire('XADD', 'k', big)])
  const chunks = Array.from({ length: Math.ceil(stream.length / 100) }, (_, i) =>
    stream.subarray(100 * i, 100 * i + 100),
  )
  const items = decodeAll(chunks, { pieceBytes: 1000, holdWhole: nameTable(['XADD']) })
  expect(items.filter((item) => item.kind === RESP.PIECE).length).toBeGreaterThan(5)
  expect(items.filter((item) => item.kind === RESP.COMMAND).map((item) => item.args![0])).toEqual([
    'XADD',
  ])
})

test('inline requests are lines where they are asked for', () => {
  const stream = Buffer.concat([Buffer.from('PING\r\n'), wire('PING'), Buffer.from('SYNC\r\n')])
  const items = decodeAll(
    Array.from(stream, (_, i) => stream.subarray(i, i + 1)),
    { lines: 'any' },
  )
  expect(items.map((item) => item.text ?? item.args)).toEqual(['PING\r\n', ['PING'], 'SYNC\r\n'])
})

test('masters up to 2.6 put SELECT and PING inline, and answers, between their commands', () => {
  const bytes = Buffer.concat([
    Buffer.from('PING\r\nselect 3\r\n'),
    wire('SET', 'k', 'v'),
    Buffer.from('-ERR Unrecognized REPLCONF option: ACK\r\n+PONG\r\nSELECT 12\r\nping\r\n'),
    wire('DEL', 'k'),
  ])
  const whole = decodeAll([bytes], { oldMasters: true })
  expect(whole.map(({ args, text }) => args?.join(' ') ?? text)).toEqual([
    ...['PING', 'select 3', 'SET k v', '-ERR Unrecognized REPLCONF option: ACK\r\n', '+PONG\r\n'],
    ...['SELECT 12', 'ping', 'DEL k'],
  ])
  expect(whole.reduce((sum, each) => sum + each.bytes, 0)).toBe(bytes.length)
  for (let at = 1; at < bytes.length; at += 1) {
    expect(decodeAll(cut(bytes, [at]), { oldMasters: true }), `cut at ${at}`).toEqual(whole)
  }
})

test.each([
  'select\r\n',
  'select x\r\n',
  'p\r\n',
  'PINGS\r\n',
  '-5\r\n',
  '+1\r\n',
  's'.repeat(600),
])('what is neither command nor answer stays wrong: %j', (text) => {
  const [first] = decodeAll([Buffer.from(text)], { oldMasters: true })
  expect(first).toMatchObject({ kind: RESP.BAD, bytes: 0 })
})
