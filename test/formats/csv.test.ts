/** `csv` of an export and of an inspection are one form: the same rows, whatever chooses them. */
import { describe, expect, test } from 'vitest'
import { KEY_FORMAT_NAMES, KEY_FORMATS, formatOfName } from '../../src/formats/formats.js'
import { runCli } from '../helpers/cli.js'

const FILES = ['fixtures/demo/ecommerce.rdb', 'fixtures/redis-8.6/types.rdb']

describe.each(FILES)('%s', (file) => {
  test.each([
    [[]],
    [['--match', '*1*']],
    [['--type', 'hash,zset,string']],
    [['--ttl', 'none', '--db', '0']],
    [['--min-size', '100']],
  ])('%j', async (filters) => {
    const exported = await runCli(['export', file, '--format', 'csv', ...filters])
    const inspected = await runCli(['inspect', file, '--csv', ...filters])
    expect([exported.code, inspected.code]).toEqual([0, 0])
    expect(exported.out.split('\n').length).toBeGreaterThan(3)
    expect(exported.out).toBe(inspected.out)
  })
})

test('a name says which format is meant, and names of others are not taken', () => {
  for (const name of KEY_FORMAT_NAMES) {
    for (const extension of KEY_FORMATS[name].extensions) {
      expect(formatOfName(`dir.d/some.file.${extension.toUpperCase()}`)).toBe(name)
    }
  }
  for (const name of ['-', 'plain', '.hidden', '/dir.json/plain', 'dir.json/.hidden']) {
    expect([name, formatOfName(name)]).toEqual([name, undefined])
  }
  for (const name of ['a.foo', 'a.json.bak', 'x.txt']) expect(formatOfName(name)).toBe('unknown')
})
