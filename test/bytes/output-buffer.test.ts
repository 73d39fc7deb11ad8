import fc from 'fast-check'
import { expect, test } from 'vitest'
import { OutputBuffer } from '../../src/bytes/output-buffer.js'

const CAPACITY_BYTES = 64

/** A piece of output: plain, or written behind a hold that is released or dropped. */
const anyPieces = fc.array(
  fc.record({
    bytes: fc.uint8Array({ maxLength: 150 }),
    how: fc.constantFrom('write', 'held', 'dropped', 'flush'),
  }),
  { maxLength: 40 },
)

test('a sink that keeps what it is given, and gives another buffer, gets the same bytes', () => {
  let kept = 0
  fc.assert(
    fc.property(anyPieces, fc.nat(7), (pieces, keepsUpTo) => {
      const got: Buffer[] = []
      const out = new OutputBuffer((bytes) => {
        // Such a buffer has grown, and is not to be replaced.
        if (bytes.buffer.byteLength !== CAPACITY_BYTES || got.length % 8 > keepsUpTo) {
          got.push(Buffer.from(bytes))
          return
        }
        kept += 1
        got.push(bytes)
        out.goOnIn(Buffer.allocUnsafeSlow(CAPACITY_BYTES))
      }, CAPACITY_BYTES)
      const wanted: Uint8Array[] = []
      for (const { bytes, how } of pieces) {
        if (how === 'held' || how === 'dropped') out.hold()
        out.write(bytes)
        if (how === 'held') out.release()
        if (how === 'dropped') out.drop()
        else wanted.push(bytes)
        if (how === 'flush') out.flush()
      }
      expect(out.totalBytes).toBe(Buffer.concat(wanted).length)
      out.flush()
      expect(Buffer.concat(got)).toEqual(Buffer.concat(wanted))
    }),
  )
  expect(kept).toBeGreaterThan(100)
})
