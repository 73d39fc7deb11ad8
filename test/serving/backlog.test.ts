/** Both logs keep the same promises: exact bytes by offset, a bounded size, what replicas need. */
import { mkdtempSync, readdirSync, statSync, truncateSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { DiskBacklog } from '../../src/serving/backlog/disk-backlog.js'
import { MemoryBacklog } from '../../src/serving/backlog/memory-backlog.js'
import type { GrowingLog } from '../../src/serving/origin/stream-log.js'

const FIRST = 1001
const dirs: string[] = []
afterEach(async () => {
  for (const dir of dirs.splice(0)) await rm(dir, { recursive: true, force: true })
})

function temporaryDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-backlog-test-'))
  dirs.push(dir)
  return dir
}

/** The byte that belongs at an offset: any mistake in offsets shows. */
const byteAt = (replOffset: number): number => replOffset % 251

function fill(log: GrowingLog, byteCount: number, chunkBytes: number): void {
  for (let left = byteCount; left > 0; left -= chunkBytes) {
    const next = log.endReplOffset + 1
    const length = Math.min(left, chunkBytes)
    const chunk = Buffer.alloc(length + 7)
    for (let at = 0; at < chunk.length; at += 1) chunk[at] = byteAt(next + at - 3)
    log.append(chunk, 3, 3 + length)
  }
}

async function expectBytes(log: GrowingLog, from: number, to: number): Promise<void> {
  const buffer = Buffer.alloc(5000)
  for (let at = from; at <= to;) {
    const view = log.view(at, 4096)
    const bytes = view ?? buffer.subarray(0, await log.read(at, buffer))
    expect(bytes.length).toBeGreaterThan(0)
    let right = 0
    while (right < bytes.length && bytes[right] === byteAt(at + right)) right += 1
    expect(right).toBe(bytes.length)
    at += bytes.length
  }
}

const kinds: Record<string, (size: number, retain: () => number) => GrowingLog> = {
  memory: (size, retain) => new MemoryBacklog(size, FIRST, retain),
  disk: (size, retain) => {
    const dir = temporaryDir()
    const nothing = (): void => undefined
    const options = { dir, sizeBytes: size, retain, onError: nothing, onDamage: nothing }
    return DiskBacklog.create(options, 'abcdef01', FIRST)
  },
}

for (const [name, make] of Object.entries(kinds)) {
  describe(`a backlog on ${name}`, () => {
    test('gives the bytes of each offset, however they came', async () => {
      const log = make(64 << 20, () => Infinity)
      expect(log.endReplOffset).toBe(FIRST - 1)
      fill(log, 3_000_000, 70_001)
      fill(log, 500, 1)
      await log.flush()
      expect(log.firstReplOffset).toBe(FIRST)
      expect(log.endReplOffset).toBe(FIRST - 1 + 3_000_500)
      await expectBytes(log, FIRST, log.endReplOffset)
      await log.close()
    })

    test('forgets the oldest bytes, but not what a replica needs', async () => {
      let needed = Infinity
      const log = make(1 << 20, () => needed)
      for (let round = 0; round < 5; round += 1) {
        fill(log, 1 << 20, 100_000)
        await log.flush()
      }
      const kept = log.endReplOffset - log.firstReplOffset + 1
      expect(kept).toBeGreaterThanOrEqual(1 << 20)
      expect(kept).toBeLessThan(3 << 20)
      needed = log.firstReplOffset + 10
      fill(log, 4 << 20, 100_000)
      await log.flush()
      expect(log.firstReplOffset).toBeLessThanOrEqual(needed)
      await expectBytes(log, needed, log.endReplOffset)
      await log.close()
    })

    test('goes back to an offset, and on from there', async () => {
      for (const cut of [FIRST + 1, FIRST + 999_999, FIRST + 2_000_000, FIRST + 2_999_999]) {
        const log = make(64 << 20, () => Infinity)
        fill(log, 3_000_000, 70_001)
        await log.cutBack(cut)
        expect(log.endReplOffset).toBe(cut - 1)
        expect(log.firstReplOffset).toBe(FIRST)
        fill(log, 1_500_000, 10_000)
        await log.flush()
        await expectBytes(log, FIRST, cut + 1_499_999)
        await log.cutBack(FIRST)
        expect(log.endReplOffset).toBe(FIRST - 1)
        fill(log, 100, 100)
        await log.flush()
        await expectBytes(log, FIRST, FIRST + 99)
        await log.close()
      }
    })

    test('begins anew after a reset', async () => {
      const log = make(1 << 20, () => Infinity)
      fill(log, 200_000, 1000)
      log.reset(5_000_000)
      expect(log.firstReplOffset).toBe(5_000_000)
      expect(log.endReplOffset).toBe(4_999_999)
      expect(log.view(FIRST, 100)).toBe(undefined)
      fill(log, 1000, 100)
      await log.flush()
      await expectBytes(log, 5_000_000, 5_000_999)
      await log.close()
    })
  })
}

describe('a backlog on disk, restored', () => {
  const epoch = '01234567'
  const options = (dir: string): Parameters<typeof DiskBacklog.create>[0] => ({
    dir,
    sizeBytes: 64 << 20,
    retain: () => Infinity,
    onError: () => undefined,
    onDamage: () => undefined,
  })

  test('goes on where the one before ended', async () => {
    const dir = temporaryDir()
    const first = DiskBacklog.create(options(dir), epoch, FIRST)
    fill(first, 9_000_000, 300_000)
    await first.close()
    const second = await DiskBacklog.restore(options(dir), epoch, 1, Infinity)
    expect(second.firstReplOffset).toBe(FIRST)
    expect(second.endReplOffset).toBe(FIRST - 1 + 9_000_000)
    fill(second, 100_000, 999)
    await second.flush()
    await expectBytes(second, FIRST, second.endReplOffset)
    await second.close()
  })

  test('takes no byte beyond what is trusted, and none behind a gap', async () => {
    const dir = temporaryDir()
    const first = DiskBacklog.create(options(dir), epoch, FIRST)
    fill(first, 12_000_000, 300_000)
    await first.close()
    const trusted = FIRST + 9_999_999
    const second = await DiskBacklog.restore(options(dir), epoch, 1, trusted)
    expect(second.endReplOffset).toBe(trusted)
    await expectBytes(second, FIRST, trusted)
    await second.close()
    const files = readdirSync(dir).sort()
    expect(files.length).toBeGreaterThan(2)
    const damaged = join(dir, files[0]!)
    truncateSync(damaged, statSync(damaged).size - 1)
    const third = await DiskBacklog.restore(options(dir), epoch, 1, Infinity)
    expect(third.firstReplOffset).toBeGreaterThan(FIRST)
    expect(third.endReplOffset).toBe(trusted)
    await expectBytes(third, third.firstReplOffset, trusted)
    await third.close()
  })

  test('knows nothing of another history', async () => {
    const dir = temporaryDir()
    const log = await DiskBacklog.restore(options(dir), epoch, 777, Infinity)
    expect(log.firstReplOffset).toBe(777)
    expect(log.endReplOffset).toBe(776)
  })
})
