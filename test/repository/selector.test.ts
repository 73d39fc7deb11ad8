/** Which backup a time names, in the zone of whoever asks. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { selectBackup } from '../../src/index.js'
import { backupId, RECORD_FILE, writeRecord } from '../../src/repository/record.js'

const repo = mkdtempSync(join(tmpdir(), 'rrep-selector-'))
const zone = process.env['TZ']

beforeAll(() => {
  for (const startedAt of ['2026-11-24T20:00:00.000Z', '2026-11-25T02:00:00.000Z']) {
    const id = backupId(new Date(startedAt), 'aabbccdd')
    mkdirSync(join(repo, 'a', id), { recursive: true })
    const file = { file: 'dump.rdb', bytes: 1, sha256: '0'.repeat(64), keys: 0, expires: 0 }
    const record = {
      ...{ id, name: 'a', source: 'x', startedAt, finishedAt: startedAt, rdbVersion: 10 },
      ...{ keys: 0, expires: 0, databases: {}, tags: [], files: [file], isCluster: false },
    }
    writeFileSync(join(repo, 'a', id, RECORD_FILE), writeRecord(record))
  }
})
afterEach(() => {
  if (zone === undefined) delete process.env['TZ']
  else process.env['TZ'] = zone
})
afterAll(() => rmSync(repo, { recursive: true, force: true }))

const startOf = async (selector: string): Promise<string> =>
  (await selectBackup(`${repo}@${selector}`)).record.startedAt

test('a time without a zone is local', async () => {
  process.env['TZ'] = 'America/New_York'
  // Midnight there is 05:00 in UTC.
  expect(await startOf('2026-11-25')).toBe('2026-11-25T02:00:00.000Z')
  expect(await startOf('2026-11-24T20:30')).toBe('2026-11-24T20:00:00.000Z')
  process.env['TZ'] = 'UTC'
  expect(await startOf('2026-11-25')).toBe('2026-11-24T20:00:00.000Z')
})

test('with a zone it is that, and unix seconds are a time too', async () => {
  process.env['TZ'] = 'America/New_York'
  expect(await startOf('2026-11-25T00:00Z')).toBe('2026-11-24T20:00:00.000Z')
  expect(await startOf('2026-11-25T02:00:00Z')).toBe('2026-11-25T02:00:00.000Z')
  expect(await startOf(String(Date.parse('2026-11-25T01:59:59Z') / 1000))).toBe(
    '2026-11-24T20:00:00.000Z',
  )
})
