/**
 * The two coordinates of an archive: for any stream, cut into any chunks, split at any boundary,
 * and with its last file cut at any byte, each command stands once, in its database, at its offset.
 */
import { createHash } from 'node:crypto'
import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { AofParser } from '../../src/aof/aof-parser.js'
import { openArchive } from '../../src/archive/reader.js'
import { ReplOffsetTracker } from '../../src/archive/marks.js'
import type { IncrRecord } from '../../src/archive/sidecar.js'
import { encodeCommand } from '../../src/resp/encoder.js'
import { ArchiveWriter } from '../../src/archive/writer/writer.js'
import { ArchiveStore } from '../../src/archive/store.js'

const REPLID = 'ab'.repeat(20)
const START = 1000
const EMPTY_RDB = Buffer.from('524544495330303131ff0000000000000000', 'hex')

interface Sent {
  bytes: Buffer
  /** Last stream byte. */
  replOffset: number
  /** As it should stand in the file; undefined: not at all. */
  stored: string | undefined
  dbnum: number
  /** A split or an end may be behind it. */
  isBoundary: boolean
}

const kind = fc.constantFrom(
  'set',
  'set',
  'set',
  'ping',
  'getack',
  'select',
  'xadd',
  'multi',
  'dup',
)
const kinds = fc.array(fc.tuple(kind, fc.nat(200)), { minLength: 1, maxLength: 40 })

function makeStream(list: readonly (readonly [string, number])[]): Sent[] {
  const sent: Sent[] = []
  let replOffset = START
  let dbnum = 0
  const push = (words: string[], stored: string | undefined, isBoundary = true): void => {
    const bytes = encodeCommand(...words)
    replOffset += bytes.length
    sent.push({ bytes, replOffset, stored, dbnum, isBoundary })
  }
  const simple = (what: string, n: number, isBoundary: boolean): void => {
    if (what === 'xadd') {
      push(['XADD', 'x', 'IDMP', 'p', 'i', `${n}-1`, 'f', 'v'], `XADD x ${n}-1 f v`, isBoundary)
    } else {
      const value = 'v'.repeat(n)
      push(['SET', `k${n}`, value], `SET k${n} ${value}`, isBoundary)
    }
  }
  for (const [what, n] of list) {
    if (what === 'ping') push(['PING'], undefined)
    else if (what === 'getack') push(['REPLCONF', 'GETACK', '*'], undefined)
    else if (what === 'dup') push(['XADD', 'x', 'IDMP', 'p', 'i', '*', 'f', 'v'], undefined)
    else if (what === 'select') {
      push(['SELECT', String(n % 5)], `SELECT ${n % 5}`)
      dbnum = n % 5
    } else if (what === 'multi') {
      push(['MULTI'], 'MULTI', false)
      simple('set', n, false)
      if (n % 2 === 0) simple('xadd', n, false)
      push(['EXEC'], 'EXEC')
    } else simple(what, n, true)
  }
  return sent
}

interface Found {
  text: string
  replOffset: number
  dbnum: number
}

/** Every command of every part, without what is no part of the stream. */
function readParts(store: ArchiveStore, { isHashed = true } = {}): Found[] {
  const found: Found[] = []
  let previousEnd: number | undefined
  for (const entry of store.timeline) {
    if (entry.kind !== 'incr') continue
    const tracker = new ReplOffsetTracker()
    let isHead = true
    const parser = new AofParser({
      annotation: (line, at) => {
        const mark = tracker.annotation(line, at.byteOffset)
        if (at.byteOffset === 0 && mark?.kind === 'at') {
          expect(mark.replOffset).toBe(entry.startReplOffset)
          if (previousEnd !== undefined) expect(mark.replOffset).toBe(previousEnd)
        }
      },
      command: (command, at) => {
        tracker.command(at.endByteOffset - at.byteOffset)
        const words = Array.from({ length: command.argc }, (_, i) => command.arg(i).toString())
        const wasHead = isHead
        isHead = false
        if (wasHead || words[0] === 'XIDMPRECORD') return
        found.push({ text: words.join(' '), replOffset: tracker.replOffset, dbnum: at.dbnum })
      },
    })
    const bytes = readFileSync(store.path(entry.file))
    parser.push(bytes)
    expect(parser.end().complete).toBe(true)
    previousEnd = tracker.replOffset
    // What is complete has a hash, and what is not has none.
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    if (!isHashed) continue
    const isComplete = entry.endReplOffset !== undefined
    expect(store.sidecar.hashes?.[entry.file]).toEqual(
      isComplete ? { bytes: bytes.length, sha256 } : undefined,
    )
  }
  return found
}

function expected(sent: readonly Sent[]): Found[] {
  return sent.flatMap((each) =>
    each.stored === undefined
      ? []
      : [{ text: each.stored, replOffset: each.replOffset, dbnum: each.dbnum }],
  )
}

async function inDirectory(body: (dir: string) => Promise<void>): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), 'rrep-archive-unit-'))
  try {
    await body(join(root, 'archive'))
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

function open(
  dir: string,
  rotateBytes = 0,
  now?: () => number,
  holdBytes = 8 << 20,
): [ArchiveWriter, ArchiveStore] {
  const store = new ArchiveStore(dir, 'test')
  store.create()
  store.load()
  const errors: Error[] = []
  const archive = new ArchiveWriter(store, {
    rotateBytes,
    holdBytes,
    fsync: 'no',
    sync: () => Promise.resolve(),
    onError: (error) => errors.push(error),
    ...(now === undefined ? {} : { now }),
  })
  expect(errors).toEqual([])
  return [archive, store]
}

function snapshot(archive: ArchiveWriter): void {
  archive.beginSnapshot({ replid: REPLID, replOffset: START })
  archive.snapshotBytes(EMPTY_RDB, 0, EMPTY_RDB.length)
  archive.endSnapshot({ rdbVersion: 11, checksum: 'ok' })
}

function feed(archive: ArchiveWriter, bytes: Buffer, places: readonly number[]): void {
  const at = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b)
  let from = 0
  for (const to of [...at, bytes.length]) {
    if (to > from) archive.stream(bytes, from, to)
    from = to
  }
}

test('commands stand once, at their offsets, over rotations and a split at any boundary', async () => {
  await fc.assert(
    fc.asyncProperty(
      kinds,
      kinds,
      fc.array(fc.nat(), { maxLength: 12 }),
      fc.nat(),
      fc.integer({ min: 0, max: 2 }),
      fc.constantFrom(100, 8 << 20),
      async (before, after, places, pick, speed, holdBytes) => {
        await inDirectory(async (dir) => {
          const sent = makeStream([...before, ...after])
          const watchAt = before.length
          let nowMs = 1_795_000_000_000
          const [archive, store] = open(dir, 700, () => (nowMs += 300 * speed), holdBytes)
          snapshot(archive)
          const bytes = Buffer.concat(sent.map((each) => each.bytes))
          // Watched from some byte on, split at a boundary behind it, told when all has passed.
          const watchByte = Buffer.concat(
            makeStream(before.slice(0, watchAt)).map((each) => each.bytes),
          ).length
          feed(archive, bytes.subarray(0, watchByte), places)
          archive.watchForSplit()
          feed(archive, bytes.subarray(watchByte), places)
          const candidates = sent.filter(
            (each) => each.isBoundary && each.replOffset >= START + watchByte,
          )
          const chosen = candidates[pick % Math.max(candidates.length, 1)]
          let split: IncrRecord | undefined
          if (chosen !== undefined) {
            // Behind a transaction that grew aside the file before it is complete.
            const isBeforeAside = sent.some(
              (each) =>
                holdBytes === 100 && each.stored === 'EXEC' && each.replOffset > chosen.replOffset,
            )
            split = await archive.splitAt(REPLID, chosen.replOffset).catch((error: unknown) => {
              if (!isBeforeAside) throw error
              expect(error).toMatchObject({ code: 'ERR_SNAPSHOT_PASSED' })
              return undefined
            })
          }
          archive.stopWatching()
          // It goes on behind the split.
          const more = encodeCommand('SET', 'last', '1')
          archive.stream(more, 0, more.length)
          await archive.close()
          if (split !== undefined) {
            expect(split.startReplOffset).toBe(chosen!.replOffset)
            expect(store.timeline).toContain(split)
          }
          expect(readParts(store)).toEqual([
            ...expected(sent),
            {
              text: 'SET last 1',
              replOffset: START + bytes.length + more.length,
              dbnum: sent.findLast((each) => each.stored?.startsWith('SELECT'))
                ? Number(
                    sent.findLast((each) => each.stored?.startsWith('SELECT'))!.stored!.slice(7),
                  )
                : 0,
            },
          ])
        })
      },
    ),
    { numRuns: 30 },
  )
})

test('a last part cut at any byte goes on at the right one', async () => {
  await fc.assert(
    fc.asyncProperty(
      kinds,
      fc.array(fc.nat(), { maxLength: 6 }),
      fc.nat(),
      fc.boolean(),
      async (list, places, cutAt, losesSidecar) => {
        await inDirectory(async (dir) => {
          const sent = makeStream(list)
          const bytes = Buffer.concat(sent.map((each) => each.bytes))
          const [first, store] = open(dir)
          snapshot(first)
          feed(first, bytes, places)
          await first.close()
          const file = store.path(store.currentIncr!.file)
          const size = statSync(file).size
          const head = readFileSync(file).indexOf('SELECT') + 'SELECT\r\n$1\r\n0\r\n'.length
          truncateSync(file, head + (cutAt % (size - head + 1)))
          if (losesSidecar) rmSync(store.path('rrep.json'))
          const [second, resumed] = open(dir)
          const point = second.resumePoint!
          expect(point.replid).toBe(REPLID)
          const from = point.nextReplOffset - START - 1
          second.continued(REPLID, point.nextReplOffset)
          feed(second, bytes.subarray(from), places)
          await second.close()
          expect(readParts(resumed)).toEqual(expected(sent))
          // Nothing was asked for again that the file still held.
          expect([START, ...sent.map((each) => each.replOffset)]).toContain(START + from)
        })
      },
    ),
    { numRuns: 50 },
  )
})

test('links lost anywhere, transactions held or grown aside: every file ends at a boundary', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(kinds, { minLength: 1, maxLength: 4 }),
      fc.array(fc.nat(), { minLength: 1, maxLength: 8 }),
      fc.constantFrom(0, 700),
      fc.constantFrom(60, 8 << 20),
      fc.boolean(),
      async (lists, losses, rotateBytes, holdBytes, waits) => {
        await inDirectory(async (dir) => {
          const sent = makeStream(lists.flat())
          const bytes = Buffer.concat(sent.map((each) => each.bytes))
          const [writer, store] = open(dir, rotateBytes, undefined, holdBytes)
          snapshot(writer)
          let from = 0
          for (const loss of losses) {
            const to = from + (loss % (bytes.length - from + 1))
            if (to > from) writer.stream(bytes, from, to)
            if (waits) {
              await writer.sync()
              // What a copy made now would hold.
              for (const entry of store.timeline) {
                if (entry.kind !== 'incr') continue
                const parser = new AofParser({ command: () => undefined })
                parser.push(readFileSync(store.path(entry.file)))
                expect(parser.end().complete).toBe(true)
              }
            }
            writer.linkLost()
            from = writer.resumePoint!.nextReplOffset - START - 1
            writer.continued(REPLID, START + from + 1)
          }
          writer.stream(bytes, from, bytes.length)
          await writer.close()
          expect(readParts(store)).toEqual(expected(sent))
          expect(readdirSync(store.partsDir).filter((name) => name.startsWith('temp-'))).toEqual([])
        })
      },
    ),
    { numRuns: 40 },
  )
})

test('an archive of an earlier version is read, and gone on with where it ends', async () => {
  await inDirectory(async (dir) => {
    // Two bases and six increments of a Redis 7.0; its offset was 2446, and `n` 30.
    cpSync(join(import.meta.dirname, 'format-1'), dir, { recursive: true })
    const before = openArchive(dir)
    expect(before.problems).toEqual([])
    expect(before.windows).toMatchObject([{ bases: 2, fromReplOffset: 0 }])
    expect(before.at({ replOffset: 2000 }).increments).toHaveLength(5)
    const [writer, store] = open(dir)
    const { replid, nextReplOffset } = writer.resumePoint!
    expect({ replid, nextReplOffset }).toEqual({
      replid: before.windows[0]!.replid,
      nextReplOffset: 2447,
    })
    writer.continued(replid, nextReplOffset)
    const more = encodeCommand('INCR', 'n')
    writer.stream(more, 0, more.length)
    await writer.close()
    expect(openArchive(dir).endReplOffset()).toBe(2446 + more.length)
    const found = readParts(store, { isHashed: false })
    expect(found.filter(({ text }) => /^incr n$/i.test(text))).toHaveLength(31)
    expect(store.timeline.map(({ kind }) => kind).join(' ')).toBe(
      'base incr incr incr incr incr base incr',
    )
  })
})

test('bases go by age only when a newer one covers the age', async () => {
  await inDirectory(async (dir) => {
    let nowMs = 1_000_000
    const [archive, store] = open(dir, 0, () => nowMs)
    for (const atMs of [1_000_000, 2_000_000, 3_000_000]) {
      nowMs = atMs
      snapshot(archive)
      await archive.sync()
    }
    await archive.close()
    const seqs = (): number[] =>
      store.timeline.flatMap((entry) => (entry.kind === 'base' ? [entry.seq] : []))
    expect(seqs()).toEqual([1, 2, 3])
    // A million ms ago was 2,500,000: the base of 2,000,000 is needed for it.
    expect(store.prune({ ageMs: 1_000_000 }, 3_500_000).length).toBeGreaterThan(0)
    expect(seqs()).toEqual([2, 3])
    expect(store.prune({ ageMs: 1_000_000 }, 3_500_000)).toEqual([])
    expect(store.prune({ bases: 1 }, 3_500_000).length).toBeGreaterThan(0)
    expect(seqs()).toEqual([3])
  })
})

test('relative times of a master up to 6.2 become absolute at their reception', async () => {
  await inDirectory(async (dir) => {
    const [archive, store] = open(dir, 0, () => 1_795_000_000_500)
    archive.beginSnapshot({ replid: REPLID, replOffset: START })
    const old = Buffer.from(EMPTY_RDB)
    old.write('0009', 5)
    archive.snapshotBytes(old, 0, old.length)
    archive.endSnapshot({ rdbVersion: 9, checksum: 'ok' })
    // The value spans chunks and is larger than what is else held whole.
    const big = 'b'.repeat(3_000_000)
    const bytes = Buffer.concat([
      encodeCommand('MULTI'),
      encodeCommand('SET', 'k', big, 'PX', '100000'),
      encodeCommand('EXPIRE', 'k', '7'),
      encodeCommand('EXEC'),
      encodeCommand('SET', 'l', 'v'),
    ])
    feed(archive, bytes, [1000, 1_000_000, 2_000_000])
    await archive.close()
    const found = readParts(store)
    expect(found.map((each) => each.text.replace(big, 'BIG'))).toEqual([
      'MULTI',
      'SET k BIG PXAT 1795000100500',
      'PEXPIREAT k 1795000007500',
      'EXEC',
      'SET l v',
    ])
    expect(found.at(-1)?.replOffset).toBe(START + bytes.length)
    expect(store.sidecar.relativeTimes).toBe(true)
  })
})
