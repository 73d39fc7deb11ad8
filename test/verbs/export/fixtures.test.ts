/**
 * Every fixture, exported, is the state that its server reported.
 */
import { expect, test } from 'vitest'
import { exportToBuffer } from '../../helpers/export.js'
import {
  parseStates,
  rdbFixtures,
  readStates,
  sortStates,
  withScoresAsNumbers,
  type KeyState,
} from '../../helpers/fixtures.js'

/** Made by APPEND, SETRANGE and BITFIELD: `raw` until the server is restarted, and nothing in the
 * file says so. */
const RAW_BY_HISTORY = new Set(['raw:append', 'raw:setrange', 'raw:bitfield'])

const fixtures = rdbFixtures()

function comparable(state: KeyState): KeyState {
  const key = Buffer.from(state.key, 'base64').toString('latin1')
  const encoding = RAW_BY_HISTORY.has(key) ? '-' : state.encoding
  return withScoresAsNumbers({ ...state, encoding })
}

test.skipIf(fixtures.length === 0).each(fixtures.map((each) => [each.name, each] as const))(
  '%s as jsonl with base64 strings is the state that the server reported',
  async (_name, fixture) => {
    const { text, result } = await exportToBuffer({ source: fixture.rdb, strings: 'base64' })
    const expected = readStates(fixture.expected).map(comparable)
    expect(sortStates(parseStates(text)).map(comparable)).toEqual(expected)
    expect(result.keysWritten).toBe(expected.length)
    expect(result.unorderedValues).toBe(0)
  },
)

test.skipIf(fixtures.length === 0).each(fixtures.map((each) => [each.name, each] as const))(
  '%s as text says of valid UTF-8 what the bytes say',
  async (_name, fixture) => {
    const { text, result } = await exportToBuffer({ source: fixture.rdb })
    const exact = await exportToBuffer({ source: fixture.rdb, strings: 'base64' })
    const lines = parseStates(text)
    const bytes = parseStates(exact.text)
    expect(lines.length).toBe(bytes.length)
    lines.forEach((line, index) => {
      const other = bytes[index]!
      expect(line.key).toBe(Buffer.from(other.key, 'base64').toString('utf8'))
      expect([line.db, line.type, line.encoding, line.expireAt]).toEqual([
        other.db,
        other.type,
        other.encoding,
        other.expireAt,
      ])
      if (line.type === 'string') {
        expect(line.value).toBe(Buffer.from(other.value as string, 'base64').toString('utf8'))
      }
    })
    const json = await exportToBuffer({ source: fixture.rdb, format: 'json' })
    expect(JSON.parse(json.text)).toEqual(lines)
    expect(result.keysRead).toBe(lines.length)
  },
)
