/**
 * Recorded links of masters that few machines have, played again: what the real ones sent, byte for
 * byte, is read as they meant it.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { FIXTURES } from '../helpers/fixtures.js'
import { playRecordedLink, readRecordedLink } from '../helpers/recorded-link.js'

const NAMES = readdirSync(join(FIXTURES, 'links'))
  .filter((name) => name.endsWith('.jsonl') && !name.endsWith('.expected.jsonl'))
  .map((name) => name.slice(0, -'.jsonl'.length))
  .sort()

test('there are recordings of twenty versions', () => {
  expect(NAMES).toHaveLength(20)
})

test.each(NAMES)('%s: sync has its snapshot, tail its last writes', async (name) => {
  const link = readRecordedLink(name)
  const master = await playRecordedLink(link)
  const source = `127.0.0.1:${master.port}`
  try {
    const synced = await runCli(['sync', source, '-o', '-'])
    expect(synced.code, synced.err).toBe(0)
    const { payload, isEof } = link.fullSyncs[0]!
    expect(synced.stdout.equals(isEof ? payload.subarray(0, -40) : payload)).toBe(true)
    if (link.replid === undefined) {
      // Up to 2.6 there are no offsets to begin at, and SELECT stands inline in the stream.
      const tailed = await runCli(['tail', source, '--db', '1', '--count', '1'])
      expect(tailed.code, tailed.err).toBe(0)
      expect(tailed.out).toMatch(/^\S+ \d+ db1 \w+ /)
      return
    }
    const keys = ['--match', 'd:[24]', '--command', 'SET', '--count', '2']
    const tailed = await runCli(['tail', source, '--no-full-sync', ...keys])
    expect(tailed.code, tailed.err).toBe(0)
    const writes = tailed.out.split('\n').map((line) => line.replace(/^\S+ \d+ /, ''))
    expect(writes).toEqual(['db1 SET "d:2" "x"', 'db0 SET "d:4" "z"', ''])
  } finally {
    await master.stop()
  }
})
