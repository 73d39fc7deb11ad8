import { expect, test } from 'vitest'
import { MemoryBacklog } from '../../src/serving/backlog/memory-backlog.js'
import { HeldLog } from '../../src/serving/origin/held-log.js'
import { encodeCommand } from '../../src/resp/encoder.js'

const PING = encodeCommand('PING')
const HELLO = encodeCommand('PUBLISH', '__sentinel__:hello', '127.0.0.1,26379,…')
const NEWS = encodeCommand('PUBLISH', 'news', 'of today')
const SET = encodeCommand('SET', 'a', '1')
const MULTI = [encodeCommand('MULTI'), SET, encodeCommand('EXEC')]

function held() {
  const log = new MemoryBacklog(1 << 20, 101)
  const seen = new HeldLog(() => log)
  seen.reset(100)
  const add = (...parts: readonly Buffer[]): void => {
    for (const bytes of parts) {
      log.append(bytes, 0, bytes.length)
      seen.feed(bytes, 0, bytes.length)
    }
  }
  return { log, seen, add }
}

test('what says nothing waits at the end, and goes with what comes behind it', () => {
  const { log, seen, add } = held()
  add(PING, HELLO)
  expect(seen.endReplOffset).toBe(100)
  add(SET)
  expect(seen.endReplOffset).toBe(log.endReplOffset)
  const { endReplOffset } = seen
  add(PING)
  expect(seen.endReplOffset).toBe(endReplOffset)
  expect(seen.view(101, 1 << 20)).toHaveLength(endReplOffset - 100)
  add(NEWS)
  expect(seen.endReplOffset).toBe(log.endReplOffset)
  add(...MULTI)
  expect(seen.endReplOffset).toBe(log.endReplOffset)
})

test('wherever the stream is cut, whole commands go', () => {
  const bytes = Buffer.concat([SET, HELLO, ...MULTI, PING])
  for (let cut = 1; cut < bytes.length; cut += 1) {
    const { seen, add } = held()
    add(bytes.subarray(0, cut), bytes.subarray(cut))
    expect(seen.endReplOffset).toBe(100 + bytes.length - PING.length)
  }
})

test('after some seconds it goes by itself', () => {
  const { log, seen, add } = held()
  add(PING)
  expect(seen.tick(1000)).toBe(false)
  add(PING)
  expect(seen.tick(5900)).toBe(false)
  expect(seen.endReplOffset).toBe(100)
  expect(seen.tick(6100)).toBe(true)
  expect(seen.endReplOffset).toBe(100 + PING.length)
  expect(seen.tick(11_000)).toBe(true)
  expect(seen.endReplOffset).toBe(log.endReplOffset)
})
