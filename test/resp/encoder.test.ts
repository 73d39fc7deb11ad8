import fc from 'fast-check'
import { expect, test } from 'vitest'
import { CommandDecoder, RESP } from '../../src/resp/decoder.js'
import { CommandEncoder, encodeCommand } from '../../src/resp/encoder.js'

test('an encoded command is RESP to the byte', () => {
  expect(encodeCommand('SET', 'k', Buffer.from([0, 13, 10])).toString('latin1')).toBe(
    '*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\n\0\r\n\r\n',
  )
  const encoder = new CommandEncoder(1)
  encoder.begin(12)
  for (let i = 0; i < 12; i++) encoder.integer(10 ** i - 1)
  expect(encoder.view().toString()).toBe(
    '*12\r\n' +
      Array.from({ length: 12 }, (_, i) => {
        const text = String(10 ** i - 1)
        return `$${text.length}\r\n${text}\r\n`
      }).join(''),
  )
})

test('what is encoded is decoded again, in a buffer that grows and is reused', () => {
  const encoder = new CommandEncoder(1)
  const decoder = new CommandDecoder()
  fc.assert(
    fc.property(
      fc.array(fc.array(fc.uint8Array({ maxLength: 60 }), { minLength: 1 }), { minLength: 1 }),
      (list) => {
        encoder.reset()
        for (const args of list) {
          encoder.begin(args.length)
          for (const arg of args) encoder.bulk(arg)
        }
        decoder.feed(encoder.view())
        for (const args of list) {
          expect(decoder.next()).toBe(RESP.COMMAND)
          expect(decoder.argc).toBe(args.length)
          args.forEach((arg, i) => expect(decoder.arg(i).equals(arg)).toBe(true))
        }
        expect(decoder.next()).toBe(RESP.MORE)
      },
    ),
  )
})

test('lengths are written in decimal at every power of ten', () => {
  const encoder = new CommandEncoder()
  for (const size of [0, 9, 10, 99, 100, 999, 1000, 9999, 10_000, 99_999, 100_000]) {
    encoder.reset()
    encoder.begin(1).bulk(Buffer.alloc(size, 'z'))
    expect(encoder.view().toString()).toBe(`*1\r\n$${size}\r\n${'z'.repeat(size)}\r\n`)
  }
})
