/** `--rewrite-key` and `--map-db`: what they take, and what they make of names. */
import { describe, expect, test } from 'vitest'
import { UsageError } from '../../src/errors.js'
import {
  compileKeyMapping,
  parseDbMapping,
  parseRewriteRule,
} from '../../src/target/key-mapping.js'

function rewritten(rule: string, name: string | Buffer): Buffer {
  const mapping = compileKeyMapping({ rewriteKey: [parseRewriteRule(rule)] })
  const bytes = Buffer.isBuffer(name) ? name : Buffer.from(name)
  return Buffer.from(mapping.key(bytes, 0, bytes.length))
}

describe('rules of rewriting', () => {
  test.each([
    ['s/^old:/new:/', 'old:1', 'new:1'],
    ['s/^old:/new:/', 'older:old:1', 'older:old:1'],
    ['s/a/b/', 'aa', 'ba'],
    ['s/a/b/g', 'aa', 'bb'],
    ['s/A/b/i', 'a', 'b'],
    ['s/(\\w+):(\\w+)/\\2:\\1/', 'user:9', '9:user'],
    ['s/user/<&>/', 'user:9', '<user>:9'],
    ['s/user/a\\&b/', 'user:9', 'a&b:9'],
    ['s/a/$1$&/', 'a', '$1$&'.replace('&', 'a')],
    ['s|a/b|c|', 'a/b', 'c'],
    ['s/a\\/b/c/', 'a/b', 'c'],
    ['s/ä/ö/', 'xäx', 'xöx'],
    ['s/^/pre:/', 'k', 'pre:k'],
  ])('%s', (rule, name, wanted) => expect(rewritten(rule, name).toString()).toBe(wanted))

  test('bytes that are no text pass unharmed', () => {
    const name = Buffer.from([0xff, 0x61, 0x00, 0xc3])
    expect(rewritten('s/a/b/', name)).toEqual(Buffer.from([0xff, 0x62, 0x00, 0xc3]))
  })

  test.each(['', 's', 's/a', 's/a/b', 's/a/b/x', 'y/a/b/', 's/(/b/', 's//b/'])(
    'refused: %j',
    (text) => expect(() => parseRewriteRule(text)).toThrow(UsageError),
  )
})

describe('mapping of databases', () => {
  test('pairs', () => {
    expect(parseDbMapping('0:15')).toEqual([0, 15])
    const mapping = compileKeyMapping({ mapDb: new Map([[0, 15]]) })
    expect([mapping.db(0), mapping.db(1), mapping.isActive, mapping.renames]).toEqual([
      15,
      1,
      true,
      false,
    ])
  })

  test.each(['', '0', '0:', 'a:b', '0:1:2', '-1:0'])('refused: %j', (text) =>
    expect(() => parseDbMapping(text)).toThrow(UsageError),
  )
})
