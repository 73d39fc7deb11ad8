/**
 * A snapshot that came while much was written splits the increment; what arrived meanwhile could end the new
 * one at once. Then that end was noted before the split was: the timeline and the manifest had the later
 * increment first, and what was read was not what had been written.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { openArchive } from '../../src/archive/reader.js'
import { ArchiveStore } from '../../src/archive/store.js'
import { ArchiveWriter } from '../../src/archive/writer/writer.js'
import { encodeCommand } from '../../src/resp/encoder.js'

const REPLID = 'ab'.repeat(20)
const START = 1000
const EMPTY_RDB = Buffer.from('524544495330303131ff0000000000000000', 'hex')

const dir = mkdtempSync(join(tmpdir(), 'rrep-352-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

test('increments stand in the order of their offsets, also where the next one ends at once', async () => {
  const store = new ArchiveStore(join(dir, 'archive'), 'test')
  store.create()
  store.load()
  const writer = new ArchiveWriter(store, {
    rotateBytes: 300,
    fsync: 'no',
    onError: (error) => {
      throw error
    },
  })
  writer.beginSnapshot({ replid: REPLID, replOffset: START })
  writer.snapshotBytes(EMPTY_RDB, 0, EMPTY_RDB.length)
  writer.endSnapshot({ rdbVersion: 11, checksum: 'ok' })
  writer.watchForSplit()
  let replOffset = START
  const write = (n: number): void => {
    const bytes = encodeCommand('SET', `key:${n}`, 'x'.repeat(100))
    writer.stream(bytes, 0, bytes.length)
    replOffset += bytes.length
  }
  write(0)
  const splitAt = replOffset
  for (let n = 1; n < 10; n += 1) write(n)
  const split = writer.splitAt(REPLID, splitAt)
  // While the part is being split: more than a part holds.
  for (let n = 10; n < 20; n += 1) write(n)
  expect((await split).startReplOffset).toBe(splitAt)
  await writer.close()
  const starts = store.timeline.flatMap((each) =>
    each.kind === 'incr' ? [each.startReplOffset] : [],
  )
  expect(starts.length).toBeGreaterThan(3)
  expect(starts).toEqual([...starts].sort((a, b) => a - b))
  const { increments } = openArchive(store.dir).at('end')
  const text = increments.map(({ path }) => readFileSync(path, 'latin1')).join('')
  const keys = [...text.matchAll(/key:(\d+)/g)].map(([, n]) => Number(n))
  expect(keys).toEqual([...keys.keys()])
})
