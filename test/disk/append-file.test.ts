/** A file that grows at its end: where it stands at any moment. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { AppendFile } from '../../src/disk/append-file.js'
test('what is appended whole never stands half in the file, whatever came before it', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-whole-'))
  try {
    const file = new AppendFile(join(dir, 'file'))
    const ends = new Set([0])
    const sizes = new Set<number>()
    for (const [other, whole] of [
      [(1 << 20) - 10, 100],
      [5, 3 << 20],
      [1 << 20, 1 << 20],
    ] as const) {
      file.append(Buffer.alloc(other))
      file.kick()
      ends.add(file.position)
      file.appendWhole(Buffer.alloc(whole))
      ends.add(file.position)
      file.kick()
      while (file.queuedBytes > 0) {
        await new Promise((resolve) => setImmediate(resolve))
        sizes.add(file.writtenPosition)
      }
    }
    await file.close()
    expect([...sizes].filter((size) => !ends.has(size))).toEqual([])
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
})
