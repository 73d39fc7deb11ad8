import { expect, test } from 'vitest'
import { OutputBuffer } from '../../src/bytes/output-buffer.js'
import { PieceSize } from '../../src/bytes/piece-size.js'

test('pieces are large while they come to no more than usual, and small behind one that did', () => {
  const out = new OutputBuffer(() => undefined)
  const pieces = new PieceSize(out)
  const small = pieces.bytes
  const load = (growth: number): number => {
    const { bytes } = pieces
    out.write(Buffer.alloc(bytes * growth))
    pieces.loaded(bytes)
    return pieces.bytes
  }
  const large = load(1)
  expect(large).toBeGreaterThan(small)
  expect(load(2)).toBe(large)
  expect(load(20)).toBe(small)
  expect(load(20)).toBe(small)
  expect(load(1)).toBe(large)
})
