import { describe, expect, test } from 'vitest'
import { CommandTable, KeyPositions } from '../../src/resp/command-table.js'
import { CommandDecoder, RESP } from '../../src/resp/decoder.js'
import { encodeCommand } from '../../src/resp/encoder.js'
import { serverBinary, startServer } from '../helpers/servers.js'

function keysOf(text: string): string[] {
  const table = new CommandTable()
  const decoder = new CommandDecoder()
  decoder.feed(encodeCommand(...text.split(' ')))
  expect(decoder.next()).toBe(RESP.COMMAND)
  const info = table.find(decoder.bytes, decoder.args[0]!, decoder.args[1]!)
  if (info === undefined) return ['unknown']
  const positions = new KeyPositions()
  const count = positions.find(info, decoder)
  return Array.from({ length: count }, (_, i) => decoder.arg(positions.positions[i]!).toString())
}

test.each([
  ['set k v', 'k'],
  ['MSET a 1 b 2', 'a b'],
  ['DEL a b c', 'a b c'],
  ['BLPOP a b 0', 'a b'],
  ['BITOP AND d a b', 'd a b'],
  ['XGROUP CREATE x g $', 'x'],
  ['EVAL script 2 a b c', 'a b'],
  ['EVAL script 9 a', 'a'],
  ['EVAL script x a', ''],
  ['ZUNIONSTORE d 2 a b WEIGHTS 1 2', 'd a b'],
  ['ZDIFF 2 a b WITHSCORES', 'a b'],
  ['MSETEX 2 a 1 b 2 EX 100', 'a b'],
  ['LMPOP 2 a b LEFT', 'a b'],
  ['BLMPOP 0 1 a LEFT', 'a'],
  ['SORT l ALPHA STORE d', 'l d'],
  ['SORT l BY STORE GET STORE LIMIT 0 STORE STORE d', 'l d'],
  ['GEORADIUS g 1 2 9 km STORE d', 'g d'],
  ['GEORADIUS g 1 2 9 km ASC STOREDIST d', 'g d'],
  ['XREADGROUP GROUP g c COUNT 2 STREAMS x y > >', 'x y'],
  ['MIGRATE h 1 k 0 1000', 'k'],
  ['PUBLISH c m', ''],
  ['FLUSHALL', ''],
  ['NOSUCH a b', 'unknown'],
])('keys of %s: %s', (command, expected) => {
  expect(keysOf(command).join(' ')).toBe(expected)
})

/** Keys at odd places, or names that are no keys: ours differ from first/last/step on purpose. */
const BY_OPTIONS = new Set([
  ...['BLMPOP', 'BZMPOP', 'EVAL', 'EVAL_RO', 'EVALSHA', 'EVALSHA_RO', 'FCALL', 'FCALL_RO', 'LMPOP'],
  ...['ZMPOP', 'SINTERCARD', 'ZDIFF', 'ZINTER', 'ZINTERCARD', 'ZUNION', 'MSETEX', 'XREAD'],
  ...['XREADGROUP', 'ZDIFFSTORE', 'ZINTERSTORE', 'ZUNIONSTORE', 'GEORADIUS', 'GEORADIUSBYMEMBER'],
  ...['SORT', 'SORT_RO', 'MIGRATE', 'XGROUP', 'XINFO', 'OBJECT', 'MEMORY'],
  ...['SPUBLISH', 'SSUBSCRIBE', 'SUNSUBSCRIBE'],
])

describe.each(['redis-7.0', 'redis-8.6', 'valkey-9.1'])('%s', (name) => {
  const binary = serverBinary(name)
  test.skipIf(binary === undefined)('the table agrees with what its COMMAND tells', async () => {
    const server = await startServer({ binary: binary! })
    try {
      const table = new CommandTable()
      const reply = (await server.client.call('COMMAND')) as unknown[][]
      const wrong: string[] = []
      for (const [commandName, , flags, first, last, step] of reply) {
        const info = table.get(String(commandName))
        if (info === undefined) {
          wrong.push(`${String(commandName)} is missing`)
          continue
        }
        const writes = (flags as string[]).some((flag) => flag === 'write')
        if (writes && !info.isWrite) wrong.push(`${info.name} writes`)
        if (BY_OPTIONS.has(info.name)) continue
        const ours =
          info.keys.kind === 'range' ? [info.keys.first, info.keys.last, info.keys.step] : [0, 0, 0]
        if (String(ours) !== String([first, last, step])) {
          wrong.push(
            `${info.name}: ${String(ours)}, the server says ${String([first, last, step])}`,
          )
        }
      }
      expect(reply.length).toBeGreaterThan(200)
      expect(wrong).toEqual([])
      expect(table.learn(reply)).toBe(0)
      expect(table.learn([['mod.set', 3, ['write'], 1, 1, 1]])).toBe(1)
      expect(table.get('MOD.SET')?.keys).toEqual({ kind: 'range', first: 1, last: 1, step: 1 })
    } finally {
      await server.stop()
    }
  })
})

test('ever new names do not fill the memory', () => {
  const table = new CommandTable()
  const before = table.entries.length
  for (let i = 0; i < 10_000; i++) {
    const name = Buffer.from(`cmd${i}`)
    table.findOrAdd(name, 0, name.length)
  }
  expect(table.entries.length - before).toBeLessThan(5000)
  const hostile = Buffer.from('\u001b[2J')
  expect(table.findOrAdd(hostile, 0, hostile.length)).toBe(table.other)
})
