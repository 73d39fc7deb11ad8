import { expect, test } from 'vitest'
import { LOADABLE, makeLoadable } from '../../src/aof/loadable.js'
import { CommandDecoder, RESP } from '../../src/resp/decoder.js'
import { CommandEncoder, encodeCommand } from '../../src/resp/encoder.js'

const NOW_MS = 1_795_000_000_000

function loadable(text: string): string {
  const decoder = new CommandDecoder()
  decoder.feed(encodeCommand(...text.split(' ')))
  expect(decoder.next()).toBe(RESP.COMMAND)
  const out = new CommandEncoder()
  const companion = new CommandEncoder()
  switch (makeLoadable(decoder, out, companion, NOW_MS)) {
    case LOADABLE.AS_IS:
      return 'as it is'
    case LOADABLE.NOTHING:
      return 'nothing'
    case LOADABLE.DROPPED:
      return 'dropped'
    default:
      return [out, companion].flatMap((each) => words(each)).join(' | ')
  }
}

function words(encoder: CommandEncoder): string[] {
  const decoder = new CommandDecoder()
  decoder.feed(encoder.view())
  const commands: string[] = []
  while (decoder.next() === RESP.COMMAND) {
    commands.push(
      Array.from({ length: decoder.argc }, (_, i) => decoder.arg(i).toString()).join(' '),
    )
  }
  return commands
}

// The left sides are what real masters were seen to send.
test.each([
  ['SET k v PX 100000', `SET k v PXAT ${NOW_MS + 100_000}`],
  ['set k v nx ex 5', `set k v nx PXAT ${NOW_MS + 5000}`],
  ['SET k EX PX 7', `SET k EX PXAT ${NOW_MS + 7}`],
  ['SET k v PXAT 5', 'as it is'],
  ['SET k v KEEPTTL', 'as it is'],
  ['SET EX 100', 'as it is'],
  ['SET k v EX abc', 'as it is'],
  ['PUBLISH __sentinel__:hello 127.0.0.1,26379', 'nothing'],
  ['PUBLISH __sentinel__:HELLO 127.0.0.1,26379', 'as it is'],
  ['PUBLISH news 1', 'as it is'],
  ['SETEX k 10 v', `SET k v PXAT ${NOW_MS + 10_000}`],
  ['PSETEX k 10 v', `SET k v PXAT ${NOW_MS + 10}`],
  ['EXPIRE k 100', `PEXPIREAT k ${NOW_MS + 100_000}`],
  ['pexpire k 100 GT', `PEXPIREAT k ${NOW_MS + 100} GT`],
  ['EXPIRE k -5000000000000', 'PEXPIREAT k 1'],
  ['EXPIREAT k 4102444800', 'as it is'],
  ['PEXPIREAT k 4102444800000', 'as it is'],
  ['GETEX k PX 9', `PEXPIREAT k ${NOW_MS + 9}`],
  ['GETEX k PERSIST', 'as it is'],
  ['RESTORE k 100000 p REPLACE', `RESTORE k ${NOW_MS + 100_000} p REPLACE ABSTTL`],
  ['RESTORE k 0 p', 'as it is'],
  ['RESTORE k 4102444800000 p ABSTTL IDLETIME 5', 'as it is'],
  ['RESTORE-ASKING k 9 p', `RESTORE-ASKING k ${NOW_MS + 9} p ABSTTL`],
  ['XADD x 5-1 f v', 'as it is'],
  ['XADD x MAXLEN = 4 9-1 IDMP v', 'as it is'],
  ['XADD x IDMP p i 7-0 f v', 'XADD x 7-0 f v | XIDMPRECORD x p i 7-0'],
  ['XADD x NOMKSTREAM IDMPAUTO p MAXLEN = 4 7-0 f v', 'XADD x NOMKSTREAM MAXLEN = 4 7-0 f v'],
  ['XADD x IDMP p i * f v', 'nothing'],
  ['VADD v VALUES 2 1 2 a CAS', 'VADD v VALUES 2 1 2 a'],
  [
    'VADD v REDUCE 1 VALUES 2 1 2 CAS NOQUANT CAS EF 5',
    'VADD v REDUCE 1 VALUES 2 1 2 CAS NOQUANT EF 5',
  ],
  ['VADD v FP32 blob a SETATTR CAS', 'as it is'],
  ['PING', 'nothing'],
  ['ping', 'nothing'],
  ['REPLCONF GETACK *', 'nothing'],
  ['CLUSTER SYNCSLOTS ESTABLISH x', 'nothing'],
  ['CLUSTER FLUSHSLOT 7', 'dropped'],
  ['TRIMSLOTS RANGES 1 0 5', 'dropped'],
  ['PUBLISH c m', 'as it is'],
  ['PONG', 'as it is'],
])('%s → %s', (command, expected) => {
  expect(loadable(command)).toBe(expected)
})
