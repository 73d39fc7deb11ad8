/** What TRIMSLOTS deleted in a shard that nobody writes to had the time of the last write: at a moment between
 * the two its archive had the keys no longer, and nobody else had them yet. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { AofParser } from '../../src/aof/aof-parser.js'
import { MomentGate } from '../../src/archive/moment-gate.js'
import { ArchiveStore } from '../../src/archive/store.js'
import { ArchiveWriter } from '../../src/archive/writer/writer.js'
import { encodeCommand } from '../../src/resp/encoder.js'

const EMPTY_RDB = Buffer.from('524544495330303131ff0000000000000000', 'hex')
const root = mkdtempSync(join(tmpdir(), 'rrep-420-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

test('slots are emptied at their time, also where nothing was written for long', async () => {
  const store = new ArchiveStore(join(root, 'archive'), 'test')
  store.create()
  store.load()
  let nowMs = 1000_000
  const writer = new ArchiveWriter(store, {
    ...{ rotateBytes: 0, fsync: 'no', now: () => nowMs },
    onError: (error) => {
      throw error
    },
  })
  writer.beginSnapshot({ replid: 'ab'.repeat(20), replOffset: 1000 })
  writer.snapshotBytes(EMPTY_RDB, 0, EMPTY_RDB.length)
  writer.endSnapshot({ rdbVersion: 11, checksum: 'ok' })
  const take = (command: Buffer): void => writer.stream(command, 0, command.length)
  take(encodeCommand('SET', 'k', 'v'))
  nowMs = 1500_000
  take(encodeCommand('TRIMSLOTS', 'RANGES', '1', '0', '9'))
  nowMs = 1600_000
  take(encodeCommand('SET', 'k', 'w'))
  await writer.close()

  const [incr] = store.timeline.flatMap((entry) => (entry.kind === 'incr' ? [entry.file] : []))
  const trimsBy = (timeMs: number): number => {
    const gate = new MomentGate({ timeMs })
    gate.beginPart(0)
    let trims = 0
    const parser: AofParser = new AofParser(
      {
        command: (_command, at) => gate.command(at) || parser.stop(),
        timestamp: (seconds) => gate.timestamp(seconds) || parser.stop(),
        annotation: (line, at) => {
          if (gate.annotation(line, at) !== undefined) trims += 1
        },
      },
      { file: 'incr' },
    )
    const bytes = readFileSync(store.path(incr!))
    parser.push(bytes, 0, bytes.length)
    return trims
  }
  expect([1200_000, 1499_999, 1500_000, 1700_000].map(trimsBy)).toEqual([0, 0, 1, 1])
})
