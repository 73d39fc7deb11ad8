import { describe, expect, test } from 'vitest'
import { ReplyPacer } from '../../src/target/server/reply-pacer.js'

const AHEAD_BYTES = 1_000_000

/** Answers at a steady rate for a second, from time 0. */
function steady(pacer: ReplyPacer, bytesPerMs: number): void {
  for (let nowMs = 0; nowMs <= 1000; nowMs += 1) pacer.answered(bytesPerMs, nowMs)
}

describe('how long replies are left unread', () => {
  test('not at all until the rate is known', () => {
    expect(new ReplyPacer(AHEAD_BYTES).restMs(17)).toBe(0)
  })

  test('for less than the server needs for what is sent ahead', () => {
    for (const bytesPerMs of [20_000, 50_000, 130_000]) {
      const pacer = new ReplyPacer(AHEAD_BYTES)
      steady(pacer, bytesPerMs)
      expect(pacer.intervalMs).toBeGreaterThan(0)
      for (let nowMs = 1000; nowMs < 1100; nowMs += 0.7) {
        expect(pacer.restMs(nowMs)).toBeGreaterThan(0)
        expect(pacer.restMs(nowMs) * bytesPerMs).toBeLessThan(AHEAD_BYTES)
      }
    }
  })

  test('to the same times, whoever asks when', () => {
    const pacer = new ReplyPacer(AHEAD_BYTES)
    steady(pacer, 50_000)
    for (let nowMs = 1000; nowMs < 1100; nowMs += 1) {
      expect((nowMs + pacer.restMs(nowMs)) % pacer.intervalMs).toBe(0)
    }
  })

  test('never long, however slow the server is', () => {
    const pacer = new ReplyPacer(AHEAD_BYTES)
    steady(pacer, 2_500)
    expect(pacer.intervalMs).toBe(30)
  })

  test('not at all behind a server that is as fast as the timer', () => {
    const pacer = new ReplyPacer(AHEAD_BYTES)
    steady(pacer, 900_000)
    expect(pacer.restMs(1001)).toBe(0)
  })

  test('not at all at the end', () => {
    const pacer = new ReplyPacer(AHEAD_BYTES)
    steady(pacer, 50_000)
    pacer.stop()
    steady(pacer, 50_000)
    expect(pacer.restMs(1001)).toBe(0)
  })
})
