/** The pacer against a line in miniature: a sender of some rate, and buffers of some size between. */
import { expect, test } from 'vitest'
import { ReadPacer } from '../../src/net/read-pacer.js'

interface Run {
  elapsedMs: number
  reads: number
  restMs: number
}

/** Without pauses: reads come when the sender has made 20 KB. */
function receive(totalBytes: number, bytesPerMs: number, bufferBytes: number, paced: boolean): Run {
  const pacer = new ReadPacer()
  let nowMs = 0
  let received = 0
  let reads = 0
  while (received < totalBytes) {
    const gapMs = 20_000 / bytesPerMs
    nowMs += gapMs
    const small = Math.min(totalBytes - received, 20_000)
    received += small
    reads += 1
    const restMs = paced ? pacer.read(small, nowMs) : 0
    if (restMs === 0) continue
    nowMs += restMs
    // The sender stands still once the buffers are full.
    const waiting = Math.min(bufferBytes, restMs * bytesPerMs, totalBytes - received)
    received += waiting
    reads += 1
    pacer.read(waiting, nowMs)
  }
  return { elapsedMs: nowMs, reads, restMs: pacer.restMs }
}

test('where the buffers hold what comes, reads become few and the time stays the same', () => {
  const plain = receive(1e9, 60_000, 8e6, false)
  const paced = receive(1e9, 60_000, 8e6, true)
  expect(paced.reads).toBeLessThan(plain.reads / 8)
  expect(paced.elapsedMs).toBeLessThan(plain.elapsedMs * 1.01)
})

test.each([16e3, 64e3, 128e3, 300e3])(
  'buffers of %d bytes: the sender loses next to no time',
  (bufferBytes) => {
    const plain = receive(1e9, 60_000, bufferBytes, false)
    const paced = receive(1e9, 60_000, bufferBytes, true)
    expect(paced.elapsedMs).toBeLessThan(plain.elapsedMs * 1.12)
  },
)

test('a sender that becomes slower is not rested away, and the rest comes back', () => {
  const pacer = new ReadPacer()
  let nowMs = 0
  const feed = (bytes: number, bytesPerMs: number): void => {
    for (let done = 0; done < bytes; done += 20_000)
      pacer.read(20_000, (nowMs += 20_000 / bytesPerMs))
  }
  feed(4e8, 60_000)
  const fast = pacer.restMs
  feed(1e9, 5_000)
  expect([fast, pacer.restMs]).toEqual([17, 24])
})

test('large reads are followed by the next at once', () => {
  const pacer = new ReadPacer()
  for (let nowMs = 1; nowMs < 1000; nowMs += 1) expect(pacer.read(1 << 20, nowMs)).toBe(0)
})
