import fc from 'fast-check'
import { expect, test } from 'vitest'
import { ReplyCounter } from '../../src/resp/reply-counter.js'

interface Reply {
  wire: string
  errors: [number, string][]
}

const simple = fc.constantFrom(
  '+OK\r\n',
  '+QUEUED\r\n',
  ':1\r\n',
  ':-5\r\n',
  '$-1\r\n',
  '*-1\r\n',
  '*0\r\n',
)
const bulk = fc
  .string({ unit: 'binary-ascii', maxLength: 30 })
  .map((text) => `$${text.length}\r\n${text}\r\n`)
const flat: fc.Arbitrary<Reply> = fc.oneof(
  simple.map((wire) => ({ wire, errors: [] })),
  bulk.map((wire) => ({ wire, errors: [] })),
  fc.constantFrom('ERR bad', 'BUSYKEY x').map((text) => ({
    wire: `-${text}\r\n`,
    errors: [[-1, text] as [number, string]],
  })),
)
const nested: fc.Arbitrary<Reply> = fc
  .array(fc.oneof(flat, flat, fc.constant({ wire: '*2\r\n+a\r\n*1\r\n:1\r\n', errors: [] })), {
    minLength: 1,
    maxLength: 5,
  })
  .map((parts) => ({
    wire: `*${parts.length}\r\n${parts.map((part) => part.wire).join('')}`,
    errors: parts.flatMap((part, i) =>
      part.errors.map(([, text]) => [i, text] as [number, string]),
    ),
  }))

test('replies and errors are counted alike wherever the bytes are cut', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(flat, nested)), fc.integer({ min: 1, max: 9 }), (list, step) => {
      const errors: [number, number, string][] = []
      const counter = new ReplyCounter({
        onError: (reply, element, text) =>
          errors.push([reply, element, Buffer.from(text).toString('latin1')]),
      })
      const bytes = Buffer.from(list.map((reply) => reply.wire).join(''), 'latin1')
      for (let at = 0; at < bytes.length; at += step) counter.push(bytes.subarray(at, at + step))
      expect(counter.replies).toBe(list.length)
      expect(counter.atBoundary).toBe(true)
      expect(errors).toEqual(
        list.flatMap((reply, i) => reply.errors.map(([element, text]) => [i, element, text])),
      )
    }),
    { numRuns: 300 },
  )
})

test('bytes that begin no reply stop the counting', () => {
  const counter = new ReplyCounter({ onError: () => undefined })
  counter.push(Buffer.from('+OK\r\nHTTP/1.1\r\n+OK\r\n'))
  expect(counter.replies).toBe(1)
  expect(counter.badByte).toBe('H'.charCodeAt(0))
})
