/** Live replay and AOFs sent COPY to targets without it and SET … KEEPTTL to those before 6.0, keys
 * for 2.4 got PEXPIREAT and stayed without an expiry, and a development build was "not a server
 * version". */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { CommandTable } from '../../src/resp/command-table.js'
import { CommandDecoder, RESP } from '../../src/resp/decoder.js'
import { CommandEncoder, encodeCommand } from '../../src/resp/encoder.js'
import { capabilitiesOf, type TargetCapabilities } from '../../src/servers/capabilities.js'
import { VERDICT } from '../../src/target/stream/rule-outcome.js'
import { StreamRules } from '../../src/target/stream/stream-rules.js'
import { runCli } from '../helpers/cli.js'
import { startServer, type TestServer } from '../helpers/servers.js'

/** What the rules make of a command for a target; undefined: it cannot be held. */
function ruled(target: TargetCapabilities, ...args: string[]): string[][] | undefined {
  const table = new CommandTable()
  const rules = new StreamRules(table, {
    target,
    hasCommand: () => true,
    publish: false,
    onLoss: () => undefined,
  })
  const command = decode(encodeCommand(...args))
  const out = new CommandEncoder(1 << 12)
  const info = table.findOrAdd(command.bytes, command.args[0]!, command.args[1]!)
  const verdict = rules.apply(info, command, out)
  if (verdict === VERDICT.SAME) return [args]
  if (verdict !== VERDICT.REWRITTEN) return undefined
  const decoder = new CommandDecoder({ lines: 'none' })
  decoder.feed(out.bytes, 0, out.length)
  const commands: string[][] = []
  while (decoder.next() === RESP.COMMAND) {
    commands.push(Array.from({ length: decoder.argc }, (_, i) => decoder.arg(i).toString()))
  }
  return commands
}

function decode(bytes: Uint8Array): CommandDecoder {
  const decoder = new CommandDecoder({ lines: 'none' })
  decoder.feed(bytes, 0, bytes.length)
  expect(decoder.next()).toBe(RESP.COMMAND)
  return decoder
}

let dir: string
let target: TestServer

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'rrep-065-'))
  target = await startServer({ args: ['--rename-command', 'COPY', ''] })
})
beforeEach(async () => {
  await target.client.flushall()
})
afterAll(async () => {
  await target.stop()
  rmSync(dir, { recursive: true, force: true })
})

describe('by version', () => {
  test('SET … KEEPTTL is a script before 6.0, and keeps value and time there', async () => {
    expect(ruled(capabilitiesOf('redis', '6.0.20'), 'SET', 'k', '8.5', 'KEEPTTL')).toEqual([
      ['SET', 'k', '8.5', 'KEEPTTL'],
    ])
    const [script] = ruled(capabilitiesOf('redis', '5.0.14'), 'SET', 'k', '8.5', 'KEEPTTL')!
    expect(script![0]).toBe('EVAL')
    await target.client.set('k', '1', 'PX', 100_000)
    await target.client.call(script![0]!, ...script!.slice(1))
    expect(await target.client.get('k')).toBe('8.5')
    expect(await target.client.pttl('k')).toBeGreaterThan(90_000)
    await target.client.set('k', '1')
    await target.client.call(script![0]!, ...script!.slice(1))
    expect(await target.client.pttl('k')).toBe(-1)
    expect(ruled(capabilitiesOf('redis', '2.4.18'), 'SET', 'k', '8.5', 'KEEPTTL')).toBeUndefined()
  })

  test('an expiry for 2.4 is in seconds, and never too early', () => {
    const redis24 = capabilitiesOf('redis', '2.4.18')
    expect(ruled(redis24, 'PEXPIREAT', 'k', '4102444800001')).toEqual([
      ['EXPIREAT', 'k', '4102444801'],
    ])
    expect(ruled(redis24, 'SET', 'k', 'v', 'PXAT', '4102444800000')).toEqual([
      ['SET', 'k', 'v'],
      ['EXPIREAT', 'k', '4102444800'],
    ])
  })

  test('GETEX and GETDEL, which only a client sends, come to what they do', () => {
    const redis60 = capabilitiesOf('redis', '6.0.20')
    expect(ruled(redis60, 'GETDEL', 'k')).toEqual([['DEL', 'k']])
    expect(ruled(redis60, 'GETEX', 'k', 'PERSIST')).toEqual([['PERSIST', 'k']])
    expect(ruled(redis60, 'GETEX', 'k', 'PXAT', '5')).toEqual([['PEXPIREAT', 'k', '5']])
  })

  test('a development build counts as the newest of its family', () => {
    expect(capabilitiesOf('redis', '255.255.255')).toMatchObject({ fieldExpiry: true, copy: true })
    expect(capabilitiesOf('valkey', '255.255.255')).toMatchObject({ fieldExpiry: true })
  })
})

test('COPY into a target that has none: the value and its time arrive', async () => {
  const path = join(dir, 'copy.aof')
  const commands = [
    ['SET', 'a', '1', 'PXAT', '4102444800000'],
    ['RPUSH', 'list', 'x', 'y'],
    ['SET', 'list2', 'in the way'],
    ['COPY', 'a', 'b'],
    ['COPY', 'list', 'list2', 'REPLACE'],
  ]
  writeFileSync(path, Buffer.concat(commands.map((args) => encodeCommand(...args))))
  const { code, err } = await runCli(['replay', path, `127.0.0.1:${target.port}`])
  expect(err).not.toContain('failed')
  expect(code).toBe(0)
  expect(await target.client.get('b')).toBe('1')
  expect(Number(await target.client.call('PEXPIRETIME', 'b'))).toBeGreaterThan(4102444790000)
  expect(await target.client.lrange('list2', 0, -1)).toEqual(['x', 'y'])
})
