import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import {
  PlaceKeeper,
  type AppliedSlots,
  type Replication,
} from '../../src/target/cluster/place-keeper.js'

beforeEach(() => vi.useFakeTimers({ toFake: ['performance'] }))
afterEach(() => vi.useRealTimers())

/** One slot. */
const slots = { at: 0 }
const checkpoints: AppliedSlots = {
  copyApplied: () => [Float64Array.of(slots.at)],
  covers: ([then]: readonly Float64Array[]) => slots.at >= then![0]!,
}

function at(replOffset: number): { replOffset: number; db: number; shards: undefined } {
  return { replOffset, db: 0, shards: undefined }
}

/** Of one master, with one replica. */
function replicated(written: number, replica: number | undefined): Replication {
  return new Map([[0, { written, replicas: replica === undefined ? [] : [replica], wanted: 1 }]])
}

function begun(): PlaceKeeper {
  const places = new PlaceKeeper(checkpoints)
  slots.at = 10
  places.beginAt(at(10))
  return places
}

function goOn(places: PlaceKeeper, replOffset: number): void {
  slots.at = replOffset
  places.last = at(replOffset)
}

test('a place counts when the replicas have all in front of it, and some seconds are over', () => {
  const places = begun()
  goOn(places, 20)
  expect(places.look(replicated(1000, 1000), [0])).toBe(undefined)
  vi.advanceTimersByTime(6000)
  // The replica is behind, or not there.
  expect(places.look(replicated(2000, 999), [0])).toBe(undefined)
  expect(places.look(replicated(2000, undefined), [0])).toBe(undefined)
  // Or its master does not answer.
  expect(places.look(new Map(), [0])).toBe(undefined)
  expect(places.look(replicated(2000, 1000), [0])).toMatchObject(at(20))
})

test('the mark before the last is kept: a failover may lose the last', () => {
  const places = begun()
  for (const offset of [20, 30]) {
    goOn(places, offset)
    places.look(replicated(offset, offset), [0])
    vi.advanceTimersByTime(6000)
    const place = places.look(replicated(offset, offset), [0])
    expect(place).toMatchObject(at(offset))
    places.marked(place!)
  }
  expect(places.keptReplOffset).toBe(20)
})

test('behind a failover it is gone back to the newest place of which nothing is lost', () => {
  const places = begun()
  for (const offset of [20, 30, 40]) {
    goOn(places, offset)
    places.look(replicated(offset, 0), [0])
  }
  slots.at = 35
  expect(places.newestWhole).toMatchObject(at(30))
  places.startAt(at(30))
  expect(places.last).toEqual(at(30))
  // What is older than all of them cannot be had again.
  slots.at = 5
  expect(() => places.newestWhole).toThrow('older than what is kept')
})

test('a replica that is hopelessly behind is not waited for', () => {
  const places = begun()
  goOn(places, 20)
  places.look(replicated(1000, 0), [0])
  vi.advanceTimersByTime(599_000)
  expect(places.look(replicated(1000, 0), [0])).toBe(undefined)
  vi.advanceTimersByTime(2000)
  expect(places.look(replicated(1000, 0), [0])).toMatchObject(at(20))
})
