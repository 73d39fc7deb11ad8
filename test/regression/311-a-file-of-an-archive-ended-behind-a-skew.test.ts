/**
 * A PING is not stored: what stands behind it says so. In front of a transaction that was said at once. When
 * the link was lost inside of that transaction and a new file begun, the file before ended with
 * the note alone, which belongs to the command behind it: read by itself it ended 14 bytes too early.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { recoverPart } from '../../src/archive/recovery.js'
import { ArchiveStore } from '../../src/archive/store.js'
import { ArchiveWriter } from '../../src/archive/writer/writer.js'
import { encodeCommand } from '../../src/resp/encoder.js'

const EMPTY_RDB = Buffer.from('524544495330303131ff0000000000000000', 'hex')
const START = 1000

test('a link lost in a transaction behind a PING leaves files whose ends meet', async () => {
  const root = mkdtempSync(join(tmpdir(), 'rrep-skew-'))
  try {
    const store = new ArchiveStore(join(root, 'archive'), 'test')
    store.create()
    store.load()
    const fail = (error: Error): never => {
      throw error
    }
    const writer = new ArchiveWriter(store, { rotateBytes: 300, fsync: 'no', onError: fail })
    const replid = 'ab'.repeat(20)
    writer.beginSnapshot({ replid, replOffset: START })
    writer.snapshotBytes(EMPTY_RDB, 0, EMPTY_RDB.length)
    writer.endSnapshot({ rdbVersion: 11, checksum: 'ok' })
    const whole = Buffer.concat([encodeCommand('SET', 'k', 'v'.repeat(300)), encodeCommand('PING')])
    const broken = Buffer.concat([whole, encodeCommand('MULTI'), encodeCommand('SET', 'k', '1')])
    writer.stream(broken, 0, broken.length)
    writer.linkLost()
    expect(writer.resumePoint?.nextReplOffset).toBe(START + whole.length + 1)
    writer.continued(replid, START + whole.length + 1)
    const more = encodeCommand('SET', 'k', '2')
    // The first piece is no command yet, and the file is large enough.
    writer.stream(more, 0, 5)
    writer.stream(more, 5, more.length)
    await writer.close()

    const parts = store.timeline.flatMap((entry) =>
      entry.kind === 'incr' ? [recoverPart(store.path(entry.file))] : [],
    )
    expect(parts.length).toBeGreaterThan(1)
    for (const [i, part] of parts.entries()) {
      expect(part.filePosition).toBe(part.fileBytes)
      if (i > 0) expect(part.head?.replOffset).toBe(parts[i - 1]!.replOffset)
    }
    expect(parts.at(-1)!.replOffset).toBe(START + whole.length + more.length)
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
})
