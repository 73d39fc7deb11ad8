/** A run that was killed while it cut an archive back had set aside what a failover lost; the next replaced it. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { lostName } from '../../src/archive/layout.js'
import { ArchiveStore } from '../../src/archive/store.js'
import { ArchiveWriter } from '../../src/archive/writer/writer.js'
import { encodeCommand } from '../../src/resp/encoder.js'

const EMPTY_RDB = Buffer.from('524544495330303131ff0000000000000000', 'hex')

test('what lies under the name stays, and what is lost now has a name of its own', async () => {
  const root = mkdtempSync(join(tmpdir(), 'rrep-aside-'))
  try {
    const store = new ArchiveStore(join(root, 'archive'), 'test')
    store.create()
    store.load()
    const fail = (error: Error): never => {
      throw error
    }
    const writer = new ArchiveWriter(store, { rotateBytes: 0, fsync: 'no', onError: fail })
    const replid = 'ab'.repeat(20)
    writer.beginSnapshot({ replid, replOffset: 1000 })
    writer.snapshotBytes(EMPTY_RDB, 0, EMPTY_RDB.length)
    writer.endSnapshot({ rdbVersion: 11, checksum: 'ok' })
    const kept = encodeCommand('SET', 'k', 'kept')
    const lost = encodeCommand('SET', 'k', 'lost')
    writer.stream(kept, 0, kept.length)
    writer.stream(lost, 0, lost.length)
    const before = store.path(lostName(replid, 1000 + kept.length + 1))
    writeFileSync(before, 'of an earlier run')
    const part = await writer.cutBack(1000 + kept.length)
    await writer.close()
    expect(readFileSync(before, 'utf8')).toBe('of an earlier run')
    expect(part?.writes).toBe(1)
    expect(part?.file).toBe(before.replace('.aof', '-2.aof'))
    expect(readFileSync(part!.file!, 'utf8')).toContain('lost')
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
})
