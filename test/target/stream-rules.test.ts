/** Each command of a stream, and what is sent in its place to servers of various ages. */
import { describe, expect, test } from 'vitest'
import { VERDICT } from '../../src/target/stream/rule-outcome.js'
import { StreamRules } from '../../src/target/stream/stream-rules.js'
import { TTL_SHIFT_MS } from '../../src/target/expiry-time.js'
import { CommandTable } from '../../src/resp/command-table.js'
import { CommandDecoder, RESP } from '../../src/resp/decoder.js'
import { CommandEncoder, encodeCommand } from '../../src/resp/encoder.js'
import { targetCapabilities } from '../../src/servers/capabilities.js'

const RECEIVED_MS = 1_700_000_000_000

interface Target {
  family?: 'redis' | 'valkey'
  version?: number
  lacks?: readonly string[]
  shiftMs?: number
  publish?: boolean
}

/** What becomes of the command: lines of what is sent, or why nothing is. */
function rewrite(line: string, target: Target = {}): string[] {
  const losses: string[] = []
  const table = new CommandTable()
  const rules = new StreamRules(table, {
    target: targetCapabilities(target.family ?? 'redis', target.version ?? 80600),
    hasCommand: (name) => !(target.lacks ?? []).includes(name),
    publish: target.publish ?? false,
    onLoss: (what) => losses.push(`lost: ${what}`),
  })
  rules.receivedMs = () => RECEIVED_MS
  rules.shiftMs = target.shiftMs ?? 0
  const decoder = new CommandDecoder()
  decoder.feed(encodeCommand(...line.split(' ')))
  expect(decoder.next()).toBe(RESP.COMMAND)
  const out = new CommandEncoder()
  const info = table.findOrAdd(decoder.bytes, decoder.args[0]!, decoder.args[1]!)
  const verdict = rules.apply(info, decoder, out)
  if (verdict === VERDICT.SAME) return [line]
  if (verdict === VERDICT.LEFT_OUT) return [`left out: ${rules.reason}`]
  if (verdict === VERDICT.NOT_HELD) return [`not held: ${rules.reason}`]
  const lines = commandsIn(out)
  expect(rules.frames).toBe(lines.length)
  return [...lines, ...losses]
}

function commandsIn(out: CommandEncoder): string[] {
  const decoder = new CommandDecoder()
  decoder.feed(out.view())
  const lines: string[] = []
  while (decoder.next() === RESP.COMMAND) {
    const words: string[] = []
    for (let i = 0; i < decoder.argc; i += 1) words.push(decoder.arg(i).toString())
    lines.push(words.join(' '))
  }
  return lines
}

describe('relative times count from the reception', () => {
  const at = RECEIVED_MS + 100_000
  test.each([
    ['SET k v EX 100', [`SET k v PXAT ${at}`]],
    ['set k v px 100000', [`SET k v PXAT ${at}`]],
    ['SETEX k 100 v', ['SET k v', `PEXPIREAT k ${at}`]],
    ['PSETEX k 100000 v', ['SET k v', `PEXPIREAT k ${at}`]],
    ['EXPIRE k 100', [`PEXPIREAT k ${at}`]],
    ['PEXPIRE k 100000', [`PEXPIREAT k ${at}`]],
    ['EXPIRE k 100 NX', [`PEXPIREAT k ${at} NX`]],
    ['RESTORE k 100000 x REPLACE', [`RESTORE k ${at} x REPLACE ABSTTL`]],
    ['RESTORE-ASKING k 0 x', ['RESTORE k 0 x']],
    ['HEXPIRE h 100 FIELDS 1 f', [`HPEXPIREAT h ${at} FIELDS 1 f`]],
    ['HSETEX h EX 100 FIELDS 1 f v', [`HSETEX h PXAT ${at} FIELDS 1 f v`]],
    ['MSETEX 1 k v EX 100', [`MSETEX 1 k v PXAT ${at}`]],
  ])('%s', (line, sent) => expect(rewrite(line)).toEqual(sent))
})

describe('absolute times pass as they are, and move while a load is behind', () => {
  test.each([
    ['SET k v PXAT 4102444800000', 'SET k v PXAT *'],
    ['PEXPIREAT k 4102444800000', 'PEXPIREAT k *'],
    ['PEXPIREAT k 4102444800000 GT', 'PEXPIREAT k * GT'],
    ['RESTORE k 4102444800000 x ABSTTL', 'RESTORE k * x ABSTTL'],
    ['HPEXPIREAT h 4102444800000 FIELDS 1 f', 'HPEXPIREAT h * FIELDS 1 f'],
    ['HSETEX h PXAT 4102444800000 FIELDS 1 f v', 'HSETEX h PXAT * FIELDS 1 f v'],
    ['MSETEX 1 k v PXAT 4102444800000', 'MSETEX 1 k v PXAT *'],
  ])('%s', (line, moved) => {
    expect(rewrite(line)).toEqual([line])
    expect(rewrite(line, { shiftMs: TTL_SHIFT_MS })).toEqual([
      moved.replace('*', String(4_102_444_800_000 + TTL_SHIFT_MS)),
    ])
  })

  test('EXPIREAT counts seconds', () => {
    expect(rewrite('EXPIREAT k 4102444800')).toEqual(['PEXPIREAT k 4102444800000'])
  })

  test('KEEPTTL and values that look like options stay', () => {
    for (const line of [
      'SET k v KEEPTTL',
      'SET k EX',
      'SET PX PXAT NX',
      'HSETEX h KEEPTTL FIELDS 1 PXAT 9',
    ]) {
      expect(rewrite(line, { shiftMs: TTL_SHIFT_MS })).toEqual([line])
    }
  })
})

describe('what a client may not send, or would act twice', () => {
  test.each([
    ['PING', ['left out: PING']],
    ['REPLCONF GETACK *', ['left out: REPLCONF']],
    ['TRIMSLOTS RANGES 1 0 9', ['not held: TRIMSLOTS']],
    ['cluster SYNCSLOTS FINISH', ['left out: cluster command']],
    ['PUBLISH c m', ['left out: PUBLISH']],
    ['XADD x IDMP p i * f v', ['left out: XADD duplicate (IDMP)']],
    ['XADD x IDMP p i 5-1 f v', ['XADD x 5-1 f v', 'XIDMPRECORD x p i 5-1']],
    [
      'XADD x NOMKSTREAM IDMP p i MAXLEN = 4 5-1 IDMP v',
      ['XADD x NOMKSTREAM MAXLEN = 4 5-1 IDMP v', 'XIDMPRECORD x p i 5-1'],
    ],
    ['XADD x IDMPAUTO p 5-1 f v', ['XADD x 5-1 f v', 'lost: ids of stream producers (IDMP)']],
    ['VADD v VALUES 2 1 2 a CAS', ['VADD v VALUES 2 1 2 a']],
    ['VADD v VALUES -1e308 1 2 CAS CAS', ['VADD v VALUES -1e308 1 2 CAS CAS']],
    // An element of that name is none of the options.
    ['VADD v VALUES 2 1 2 CAS', ['VADD v VALUES 2 1 2 CAS']],
    ['VADD v VALUES 2 1 2 CAS CAS EF 9', ['VADD v VALUES 2 1 2 CAS EF 9']],
    ['SET k v IFEQ x', ['SET k v']],
    ['SET k v IFEQ KEEPTTL', ['SET k v']],
    ['DELEX k IFEQ x', ['DEL k']],
    ['DELIFEQ k x', ['DEL k']],
  ])('%s', (line, sent) => expect(rewrite(line)).toEqual(sent))

  test('PUBLISH goes on where subscribers are to hear it', () => {
    expect(rewrite('PUBLISH c m', { publish: true })).toEqual(['PUBLISH c m'])
  })
})

describe('newer forms for older servers', () => {
  const old = { version: 70015, lacks: ['HSETEX', 'HGETDEL', 'MSETEX', 'DELEX'] }
  test.each([
    ['HSETEX h KEEPTTL FIELDS 1 f 3.1', ['HSET h f 3.1']],
    [
      'HSETEX h PXAT 4102444800000 FIELDS 2 f v g w',
      ['HSET h f v g w', 'lost: expiry of hash fields'],
    ],
    ['HPEXPIREAT h 4102444800000 FIELDS 1 f', ['not held: expiry of hash fields']],
    ['HPERSIST h FIELDS 1 f', ['left out: HPERSIST for a target without field expiry']],
    ['HGETDEL h FIELDS 2 f g', ['HDEL h f g']],
    [
      'MSETEX 2 a 1 b 2 PXAT 4102444800000',
      ['SET a 1 PXAT 4102444800000', 'SET b 2 PXAT 4102444800000'],
    ],
    ['MSETEX 1 a 1 NX KEEPTTL', ['SET a 1 KEEPTTL']],
    ['XADD x KEEPREF MAXLEN 2 9-1 f v', ['XADD x MAXLEN 2 9-1 f v']],
    ['XADD x IDMP p i 5-1 f v', ['XADD x 5-1 f v', 'lost: ids of stream producers (IDMP)']],
    ['XCFGSET x IDMP-DURATION 10', ['not held: ids of stream producers (IDMP)']],
  ])('7.0: %s', (line, sent) => expect(rewrite(line, old)).toEqual(sent))

  const older = { version: 50014 }
  test.each([
    ['SET k v PXAT 4102444800000', ['SET k v', 'PEXPIREAT k 4102444800000']],
    ['PEXPIREAT k 4102444800000 NX', ['PEXPIREAT k 4102444800000']],
    ['XGROUP CREATE x g 1-1 ENTRIESREAD 1', ['XGROUP CREATE x g 1-1']],
    ['XSETID x 9-9 ENTRIESADDED 5 MAXDELETEDID 4-4', ['XSETID x 9-9']],
    ['FUNCTION FLUSH', ['not held: functions']],
  ])('5.0: %s', (line, sent) => expect(rewrite(line, older)).toEqual(sent))
})
