import { expect, test } from 'vitest'
import { AofError } from '../../src/errors.js'
import { AofParser, type AofEnd } from '../../src/aof/aof-parser.js'

function wire(...args: string[]): string {
  return `*${args.length}\r\n${args.map((arg) => `$${arg.length}\r\n${arg}\r\n`).join('')}`
}

function read(chunks: string[], byteOffset = 0): { events: string[]; end: AofEnd } {
  const events: string[] = []
  const parser = new AofParser(
    {
      command: (command, at) => {
        const words = Array.from({ length: command.argc }, (_, i) => command.arg(i).toString())
        const where = `${at.byteOffset}-${at.endByteOffset} db${at.dbnum} ${at.unixSeconds}`
        events.push(`${where}${at.inTransaction ? ' tx' : ''} ${words.join(' ')}`)
      },
      timestamp: (seconds, at) => events.push(`TS ${seconds} ${at.byteOffset}`),
      annotation: (line) => events.push(line.toString()),
    },
    { byteOffset, file: 'x.aof' },
  )
  for (const chunk of chunks) parser.push(Buffer.from(chunk, 'latin1'))
  return { events, end: parser.end() }
}

const SAMPLE = [
  '#TS:100\r\n',
  wire('SELECT', '3'),
  wire('SET', 'a', '1'),
  '# remark\r\n',
  wire('multi'),
  wire('INCR', 'b'),
  wire('SELECT', '0'),
  wire('INCR', 'c'),
  wire('exec'),
  '#TS:101\r\n',
  wire('DEL', 'a'),
]

test('commands come with offset, database, time and transaction', () => {
  const { events, end } = read([SAMPLE.join('')], 1000)
  const at = (n: number) => 1000 + SAMPLE.slice(0, n).join('').length
  expect(events).toEqual([
    'TS 100 1000',
    `${at(1)}-${at(2)} db0 100 SELECT 3`,
    `${at(2)}-${at(3)} db3 100 SET a 1`,
    '# remark',
    `${at(4)}-${at(5)} db3 100 multi`,
    `${at(5)}-${at(6)} db3 100 tx INCR b`,
    `${at(6)}-${at(7)} db3 100 tx SELECT 0`,
    `${at(7)}-${at(8)} db0 100 tx INCR c`,
    `${at(8)}-${at(9)} db0 100 tx exec`,
    `TS 101 ${at(9)}`,
    `${at(10)}-${at(11)} db0 101 DEL a`,
  ])
  expect(end).toEqual({
    complete: true,
    validByteOffset: at(11),
    endByteOffset: at(11),
    commands: 8,
    reading: undefined,
  })
})

test('the bytes may be cut anywhere; an end inside a command or transaction is told', () => {
  const text = SAMPLE.join('')
  const whole = read([text]).events
  let boundary = 0
  const boundaries = new Set<number>()
  SAMPLE.forEach((item, i) => {
    boundary += item.length
    // Items 4 to 7 lie in the transaction; its last item closes it.
    if (i < 4 || i >= 8) boundaries.add(boundary)
  })
  for (let place = 0; place <= text.length; place++) {
    expect(read([text.slice(0, place), text.slice(place)]).events).toEqual(whole)
    const { end } = read([text.slice(0, place)])
    const valid = Math.max(0, ...[...boundaries].filter((each) => each <= place))
    expect(end.validByteOffset).toBe(valid)
    expect(end.complete).toBe(place === valid)
    expect(end.endByteOffset).toBe(place)
    const start = SAMPLE.slice(0, 4).join('').length
    if (!end.complete && place <= start) expect(end.reading).toBe('command')
  }
})

test.each([
  ['*0\r\n', 0],
  ['PING\r\n', 0],
  ['\n', 0],
  ['#TS:12x\r\n', 0],
  ['#TS:12\n', 0],
  [`#${'x'.repeat(1030)}\r\n`, 0],
  [wire('EXEC'), 0],
  [wire('MULTI') + wire('MULTI'), 15],
  [wire('SELECT', '-1'), 0],
  ['*1\r\n$4\r\nPINGxx', 12],
])('wrong bytes are refused with their offset: %j', (text, byteOffset) => {
  const before = wire('SET', 'a', '1')
  try {
    read([before, text])
    expect.unreachable()
  } catch (error) {
    expect(error).toBeInstanceOf(AofError)
    expect((error as AofError).code).toBe('ERR_AOF_CORRUPT')
    expect((error as AofError).where).toMatchObject({
      file: 'x.aof',
      byteOffset: before.length + byteOffset,
    })
  }
})

test('a visitor can stop the parser before the next item', () => {
  const seen: string[] = []
  const parser: AofParser = new AofParser({
    command: (command) => {
      seen.push(command.arg(0).toString())
      if (seen.length === 2) parser.stop()
    },
  })
  parser.push(Buffer.from(SAMPLE.join('')))
  parser.push(Buffer.from(wire('SET', 'late', '1')))
  expect(seen).toEqual(['SELECT', 'SET'])
})
