/**
 * What no server at hand writes: RDB 14 and 15 of Redis (arrays, hash templates, NACKed entries,
 * GCRA), Valkey's UPDATE. Bytes are put together here after the reference, by hand.
 */
import { describe, expect, test } from 'vitest'
import { parseDumpPayload } from '../../src/rdb/dump-payload.js'
import { RdbParser, type RdbParserOptions } from '../../src/rdb/parser.js'
import { streamIdText, u64Text } from '../../src/rdb/values/u64.js'
import { DEPTH, type Depth, type RdbVisitor, type Slice } from '../../src/rdb/visitor.js'

const hex = (text: string): Buffer => Buffer.from(text.replace(/\s+/g, ''), 'hex')
const str = (text: string): Buffer => Buffer.concat([Buffer.of(text.length), Buffer.from(text)])
const text = ({ bytes, start, end }: Slice): string => bytes.toString('latin1', start, end)

function listpack(...entries: (number | string)[]): Buffer {
  const parts = entries.map((entry) => {
    const data =
      typeof entry === 'number'
        ? Buffer.of(entry)
        : Buffer.concat([Buffer.of(0x80 | entry.length), Buffer.from(entry)])
    return Buffer.concat([data, Buffer.of(data.length)])
  })
  const body = Buffer.concat(parts)
  const head = Buffer.alloc(6)
  head.writeUInt32LE(body.length + 7)
  head.writeUInt16LE(entries.length, 4)
  const all = Buffer.concat([head, body, Buffer.of(0xff)])
  return Buffer.concat([Buffer.of(all.length), all])
}

const file = (magic: string, ...parts: Buffer[]): Buffer =>
  Buffer.concat([Buffer.from(magic), ...parts, Buffer.of(0xff), Buffer.alloc(8)])

/** Everything told, as lines. */
function tell(depth: Depth = DEPTH.ELEMENTS): { lines: string[]; visitor: RdbVisitor } {
  const lines: string[] = []
  const visitor: RdbVisitor = {
    key: ({ key, type }) => {
      lines.push(`key ${text(key)} ${type.name}`)
      return depth
    },
    keyEnd: (_header, { elements }) => lines.push(`end ${elements}`),
    rawValue: (bytes, start, end) => lines.push(`raw ${bytes.toString('hex', start, end)}`),
    hashTemplate: (id, count) => lines.push(`template ${id} ${count}`),
    hashTemplateField: (field) => lines.push(`name ${text(field)}`),
    hashField: (field, value) => lines.push(`${text(field)}=${text(value)}`),
    arrayMeta: (count, at) => lines.push(`array ${count} ${at === undefined ? '-' : u64Text(at)}`),
    arrayElement: (index, value, tag) => lines.push(`[${u64Text(index)}] ${text(value)} ${tag}`),
    gcra: (value) => lines.push(`gcra ${u64Text(value)}`),
    streamNacked: (id) => lines.push(`nacked ${streamIdText(id)}`),
    streamConsumerPending: (id) => lines.push(`pending ${streamIdText(id)}`),
    streamGroupEnd: () => lines.push('group end'),
    streamIdmpEnd: (added, duplicate) => lines.push(`ids ${u64Text(added)} ${u64Text(duplicate)}`),
    updateCommand: (bytes, start, end) => lines.push(bytes.toString('latin1', start, end)),
    notice: (code) => lines.push(`notice ${code}`),
  }
  return { lines, visitor }
}

function read(bytes: Buffer, depth?: Depth, options: RdbParserOptions = {}): string[] {
  const whole = tell(depth)
  const parser = new RdbParser(whole.visitor, options)
  parser.push(bytes)
  parser.end()
  const pieces = tell(depth)
  const again = new RdbParser(pieces.visitor, options)
  for (const byte of bytes) again.push(Buffer.of(byte))
  again.end()
  if (depth !== DEPTH.RAW) expect(pieces.lines).toEqual(whole.lines)
  return whole.lines
}

describe('Redis 8.8', () => {
  test('an array: strings, integers, doubles, short strings', () => {
    const array = Buffer.concat([
      hex('1c'),
      str('arr'),
      hex('04 01 07'),
      hex('00 00'),
      str('text'),
      hex('05 01 feffffffffffffff'),
      hex('06 02 000000000000f83f'),
      hex('81 00000001 00000000 03'),
      str('s'),
    ])
    expect(read(file('REDIS0014', array))).toEqual([
      'key arr array',
      'array 4 7',
      '[0] text 0',
      '[5] -2 1',
      '[6] 1.5 2',
      '[4294967296] s 3',
      'end 4',
    ])
    expect(read(file('REDIS0014', array), DEPTH.SKIP)).toEqual(['key arr array', 'end 4'])
  })

  test('a stream whose group has an entry that nobody owns', () => {
    const id = (n: number): Buffer => hex(`0000000000000005 000000000000000${n}`)
    const stream = (nacked: Buffer): Buffer =>
      Buffer.concat([
        hex('1b'),
        str('st'),
        hex('00'), // no nodes
        hex('00 05 05 00 00 00 00 02'), // length, last, first, max deleted, added
        hex('01'),
        str('g'),
        hex('05 05 02 02'), // last, entries read, two pending
        Buffer.concat([id(1), hex('0100000000000000 01'), id(2), hex('0200000000000000 03')]),
        hex('01'),
        str('c'),
        hex('0300000000000000 0400000000000000 01'),
        id(1),
        nacked,
        hex('3c 0a 00 00 00'),
      ])
    expect(read(file('REDIS0014', stream(Buffer.concat([hex('01'), id(2)]))))).toEqual([
      'key st stream-listpacks-5',
      'pending 5-1',
      'nacked 5-2',
      'group end',
      'ids 0 0',
      'end 0',
    ])
    expect(() => read(file('REDIS0014', stream(hex('00'))))).toThrow(/not those of its consumers/)
    expect(() => read(file('REDIS0014', stream(Buffer.concat([hex('01'), id(3)]))))).toThrow(
      /not in the group's list/,
    )
  })

  test('a rate limiter', () => {
    expect(read(file('REDIS0014', hex('21'), str('r'), hex('40ff')))).toEqual([
      'key r gcra',
      'gcra 255',
      'end 1',
    ])
  })
})

describe('Redis 8.10: hashes with a template', () => {
  const template = Buffer.concat([hex('f2 07 02'), str('aa'), str('bb')])

  test('by reference, values in a listpack or one by one', () => {
    const byListpack = Buffer.concat([hex('1e'), str('h1'), listpack(7, 'x', 12)])
    const byStrings = Buffer.concat([hex('20'), str('h2'), hex('07'), str('y'), hex('c0 05')])
    expect(read(file('REDIS0015', template, byListpack, byStrings))).toEqual([
      'template 7 2',
      'name aa',
      'name bb',
      'key h1 hash-template-listpack-ref',
      'aa=x',
      'bb=12',
      'end 2',
      'key h2 hash-template-array-ref',
      'aa=y',
      'bb=5',
      'end 2',
    ])
    expect(read(file('REDIS0015', template, byListpack, byStrings), DEPTH.SKIP)).toEqual([
      'template 7 2',
      'name aa',
      'name bb',
      'key h1 hash-template-listpack-ref',
      'end 2',
      'key h2 hash-template-array-ref',
      'end 2',
    ])
    expect(() => read(file('REDIS0015', byStrings))).toThrow(/unknown template 7/)
    const short = Buffer.concat([hex('1e'), str('h'), listpack(7, 'x')])
    expect(() => read(file('REDIS0015', template, short))).toThrow(/fewer values than fields/)
    expect(() => read(file('REDIS0015', template, template))).toThrow(/occurs twice/)
  })

  test('in a DUMP payload, as in the tests of Redis; a checksum of 0 is accepted', () => {
    const body = hex('1f 01 02 06 6669656c6431 06 6669656c6432 c0 01 c0 02')
    const payload = Buffer.concat([body, hex('0f00'), Buffer.alloc(8)])
    const { lines, visitor } = tell()
    parseDumpPayload(payload, visitor, { key: Buffer.from('k') })
    expect(lines).toEqual(['key k hash-template-array', 'field1=1', 'field2=2', 'end 2'])
    expect(() => parseDumpPayload(payload, tell().visitor, { checksum: 'verify' })).toThrow(
      /checksum/,
    )
    const names = Buffer.concat([hex('1d 00'), listpack('f', 'g'), listpack(1, 'x', 'y')])
    const packed = tell()
    parseDumpPayload(Buffer.concat([names, hex('0f00'), Buffer.alloc(8)]), packed.visitor)
    expect(packed.lines.slice(1)).toEqual(['f=x', 'g=y', 'end 2'])
    const reference = Buffer.concat([hex('20 07'), str('y'), hex('0f00'), Buffer.alloc(8)])
    expect(() => parseDumpPayload(reference, tell().visitor)).toThrow(/refers to another record/)
  })
})

describe('numbers that mean two things', () => {
  test('opcode 242 of Valkey is a command', () => {
    const command = '*2\r\n$3\r\nDEL\r\n$1\r\na\r\n'
    const bytes = file('VALKEY081', hex('f2'), Buffer.from(command))
    expect(read(bytes)).toEqual([command])
  })

  test('type 22: expiries before the field in Redis, behind the value in Valkey', () => {
    const redis = Buffer.concat([hex('16'), str('h'), hex('01 00'), str('f'), str('v')])
    const valkey = Buffer.concat([
      hex('16'),
      str('h'),
      hex('01'),
      str('f'),
      str('v'),
      hex('ffffffffffffffff'),
    ])
    expect(read(file('REDIS0012', redis))).toEqual(['key h hash-metadata-pre-ga', 'f=v', 'end 1'])
    expect(read(file('VALKEY080', valkey))).toEqual(['key h hash-2', 'f=v', 'end 1'])
  })

  test('what cannot be read says so, with its byte', () => {
    const key = (typeByte: string): Buffer => Buffer.concat([hex(typeByte), str('k'), hex('00')])
    for (const [magic, typeByte, says] of [
      ['VALKEY081', '17', /not known yet.*byte 9/],
      ['REDIS0008', '06', /release candidate.*byte 9/],
      ['REDIS0009', '65', /Redis Enterprise.*byte 9/],
      ['REDIS0009', '08', /there is no such.*byte 9/],
      ['VALKEY080', '18', /there is no such.*byte 9/],
    ] as const) {
      expect(() => read(file(magic, key(typeByte)))).toThrow(says)
    }
    expect(() => read(file('REDIS0080'))).toThrow(/version 80/)
    expect(() => read(file('REDIS0016'))).toThrow(/version 16/)
    expect(() => read(file('VALKEY011'))).toThrow(/version 11/)
  })
})
