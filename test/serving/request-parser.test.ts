import fc from 'fast-check'
import { expect, test } from 'vitest'
import { RequestParser, type Request } from '../../src/serving/clients/request-parser.js'

function parse(chunks: readonly Buffer[]): (string[] | 'newline')[] {
  const parser = new RequestParser()
  const found: (string[] | 'newline')[] = []
  for (const chunk of chunks) {
    parser.push(chunk)
    for (let next = parser.next(); next !== undefined; next = parser.next()) {
      found.push(next === 'newline' ? next : texts(next))
    }
  }
  return found
}

const texts = (request: Request): string[] => request.map((each) => each.toString('latin1'))
const array = (...words: string[]): string =>
  `*${words.length}\r\n${words.map((word) => `$${word.length}\r\n${word}\r\n`).join('')}`

test('inline and RESP requests are the same, pipelined or not', () => {
  const text = `PING\r\n${array('REPLCONF', 'capa', 'eof')}SYNC\r\n\nREPLCONF  listening-port 6380\n`
  expect(parse([Buffer.from(text)])).toEqual([
    ['PING'],
    ['REPLCONF', 'capa', 'eof'],
    ['SYNC'],
    'newline',
    ['REPLCONF', 'listening-port', '6380'],
  ])
})

test('requests are the same wherever the bytes are cut', () => {
  const word = fc.string({ unit: 'binary-ascii', maxLength: 20 })
  fc.assert(
    fc.property(
      fc.array(fc.array(word, { minLength: 1, maxLength: 5 }), { maxLength: 5 }),
      fc.array(fc.nat(200), { maxLength: 6 }),
      (requests, cuts) => {
        const bytes = Buffer.from(requests.map((words) => array(...words)).join(''), 'latin1')
        const places = [...new Set([0, ...cuts.filter((cut) => cut < bytes.length), bytes.length])]
        places.sort((left, right) => left - right)
        const chunks = places.slice(1).map((end, index) => bytes.subarray(places[index], end))
        expect(parse(chunks)).toEqual(requests)
      },
    ),
  )
})

test('what is no request is refused, and nothing grows without end', () => {
  expect(() => parse([Buffer.from('*x\r\n')])).toThrow(/invalid length/)
  expect(() => parse([Buffer.from('*2000\r\n')])).toThrow(/multibulk/)
  expect(() => parse([Buffer.from('*1\r\n$99999999\r\n')])).toThrow(/bulk length/)
  expect(() => parse([Buffer.from('*1\r\n:5\r\n')])).toThrow(/expected '\$'/)
  const endless = Array.from({ length: 40 }, () => Buffer.alloc(8 << 10, 0x61))
  expect(() => parse(endless)).toThrow(/too big/)
})
