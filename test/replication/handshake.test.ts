import { expect, test } from 'vitest'
import { AuthError, LinkError, ProtocolError, type RrepError } from '../../src/errors.js'
import {
  beginHandshake,
  onHandshakeLine,
  readLongReply,
  type HandshakeOutcome,
  type HandshakePlan,
} from '../../src/replication/handshake.js'
import { MAX_HELLO_BYTES } from '../../src/replication/hello.js'

const REPLID = '0123456789abcdef0123456789abcdef01234567'
const PLAN: HandshakePlan = {
  server: 'db:6379',
  username: undefined,
  password: undefined,
  rdbOnly: true,
  emptySnapshot: false,
  version: '99.0.0',
  resume: undefined,
  fullResync: 'take',
}

/** Plays a master's lines; what was asked and what came of it. */
function play(plan: Partial<HandshakePlan>, lines: readonly string[]) {
  const asked: string[] = []
  let transition = beginHandshake({ ...PLAN, ...plan })
  let outcome: HandshakeOutcome | undefined
  const note = (): void => {
    if (transition.request === undefined) return
    const words = transition.request.toString().split('\r\n')
    asked.push(
      words
        .filter((word, at) => at > 0 && !/^\$\d+$/.test(word))
        .join(' ')
        .trim(),
    )
    if (words[0] === 'SYNC') asked.push('SYNC inline')
  }
  note()
  for (const line of lines) {
    transition = onHandshakeLine(transition.state, line)
    note()
    outcome = transition.outcome
    if (outcome !== undefined) break
  }
  return { asked: asked.filter((text) => text !== ''), outcome, state: transition.state }
}

function failure(outcome: HandshakeOutcome | undefined): RrepError {
  if (outcome?.kind !== 'failed') throw new Error(`no failure but ${outcome?.kind ?? 'nothing'}`)
  return outcome.error
}

const NO_HELLO = "-ERR unknown command 'HELLO'"
const CONF = ['+PONG', NO_HELLO, '+OK', '-ERR Unrecognized REPLCONF option: version', '+OK']

test('one request at a time, each reply read before the next', () => {
  const { asked, outcome, state } = play({}, [
    ...CONF,
    `+FULLRESYNC ${REPLID} 4711`,
    '$EOF:abcdefabcdefabcdefabcdefabcdefabcdefabcd',
  ])
  expect(asked).toEqual([
    'PING',
    'HELLO',
    'REPLCONF capa eof capa psync2',
    'REPLCONF version 99.0.0',
    'REPLCONF rdb-only 1',
    'PSYNC ? -1',
  ])
  expect(state.rdbOnlyAccepted).toBe(true)
  expect(outcome).toEqual({
    kind: 'payload',
    header: {
      replid: REPLID,
      replOffset: 4711,
      framing: 'eof',
      lengthBytes: undefined,
      mark: Buffer.from('abcdefabcdefabcdefabcdefabcdefabcdefabcd'),
    },
  })
})

test('a password is sent behind PING, with a user before it where there is one', () => {
  const lines = ['-NOAUTH Authentication required.', '+OK']
  expect(play({ password: 'pw' }, lines).asked.slice(0, 2)).toEqual(['PING', 'AUTH pw'])
  expect(play({ password: 'p w', username: 'joe' }, lines).asked[1]).toBe('AUTH joe p w')
})

test('a server without a password takes one that was not needed', () => {
  for (const line of [
    '-ERR Client sent AUTH, but no password is set',
    '-ERR AUTH <password> called without any password configured for the default user.',
  ]) {
    const { asked } = play({ password: 'pw' }, ['+PONG', line])
    expect(asked.at(-1)).toBe('HELLO')
  }
})

test('rdb-only that is refused is remembered as such', () => {
  const { state } = play({}, [
    '+PONG',
    NO_HELLO,
    '+OK',
    '+OK',
    '-ERR Unrecognized REPLCONF option: rdb-only',
  ])
  expect(state.rdbOnlyAccepted).toBe(false)
  expect(state.step).toBe('psync')
})

test('without the filter PSYNC is not sent: it would bring everything', () => {
  const { asked, outcome } = play({ rdbOnly: false, emptySnapshot: true }, [
    '+PONG',
    "-ERR unknown command 'HELLO'",
    '+OK',
    '+OK',
    '-ERR Unrecognized REPLCONF option: rdb-filter-only',
  ])
  expect(asked.at(-1)).toBe('REPLCONF rdb-filter-only')
  expect(outcome).toEqual({ kind: 'filter-refused' })
})

test('SYNC follows an unknown command only', () => {
  const conf = ['+PONG', ...Array<string>(4).fill('-ERR unknown command')]
  const old = play({}, [...conf, "-ERR unknown command 'PSYNC'", '$12'])
  expect(old.asked.slice(-2)).toEqual(['PSYNC ? -1', 'SYNC inline'])
  expect(old.outcome).toEqual({
    kind: 'payload',
    header: {
      replid: undefined,
      replOffset: -1,
      framing: 'length',
      lengthBytes: 12,
      mark: undefined,
    },
  })
  const neither = play({}, [...conf, "-ERR unknown command 'PSYNC'", "-ERR unknown command 'SYNC'"])
  expect(failure(neither.outcome)).toBeInstanceOf(ProtocolError)
  const refused = play({}, [...CONF, '-NOPERM this user has no permissions to run psync'])
  expect(refused.asked.at(-1)).toBe('PSYNC ? -1')
  expect(failure(refused.outcome)).toBeInstanceOf(AuthError)
})

test('a resume asks for the next byte and takes an old or a new id', () => {
  const resume = { replid: REPLID, nextReplOffset: 5490 }
  const other = REPLID.replaceAll('0', 'f')
  const before = ['+PONG', '*server redis version 7.0.15 mode standalone', ...CONF.slice(1, 3)]
  const conf = [...before, "-NOPERM this user has no permissions to run the 'info' command"]
  const same = play({ rdbOnly: false, resume }, [...conf, '+CONTINUE'])
  expect(same.asked.at(-1)).toBe(`PSYNC ${REPLID} 5490`)
  expect(same.outcome).toEqual({ kind: 'continue', replid: undefined })
  const changed = play({ rdbOnly: false, resume }, [...conf, `+CONTINUE ${other}`])
  expect(changed.outcome).toEqual({ kind: 'continue', replid: other })
  const left = play({ rdbOnly: false, resume, fullResync: 'leave' }, [
    ...conf,
    `+FULLRESYNC ${other} 7`,
  ])
  expect(left.outcome).toEqual({ kind: 'full-offered' })

  // What INFO tells spares the master a save.
  const info = (second: number): string =>
    `$# Replication\r\nmaster_replid:${other}\r\nmaster_repl_offset:6000\r\n` +
    `master_replid2:${REPLID}\r\nsecond_repl_offset:${second}\r\nrepl_backlog_active:1\r\n` +
    'repl_backlog_first_byte_offset:5000\r\nrepl_backlog_histlen:1001\r\n'
  const promoted = play({ rdbOnly: false, resume }, [...before, info(5490), `+CONTINUE ${other}`])
  expect(promoted.outcome).toEqual({ kind: 'continue', replid: other })
  const ahead = play({ rdbOnly: false, resume }, [...before, info(5489)])
  expect(ahead.outcome).toEqual({ kind: 'ahead', point: { ...resume, nextReplOffset: 5489 } })
  const early = { ...resume, nextReplOffset: 4999 }
  const passed = play({ resume: early, rdbOnly: false, fullResync: 'leave' }, [
    ...before,
    info(1e4),
  ])
  expect(passed.outcome).toMatchObject({
    kind: 'full-offered',
    why: expect.stringContaining('its backlog begins at offset 5000') as string,
  })
})

test('the answer to INFO is read wherever it is cut, and what is none is a line', () => {
  const resume = { replid: REPLID, nextReplOffset: 5490 }
  const { state } = play({ rdbOnly: false, resume }, [
    '+PONG',
    '*server redis version 7.0.15 mode standalone',
    ...CONF.slice(1, 3),
  ])
  expect(state.step).toBe('info')
  const text = '# Replication\r\nrole:master\r\n'
  const bytes = Buffer.from(`$${text.length}\r\n${text}\r\n+CONTINUE\r\n`)
  const whole = bytes.indexOf('+CONTINUE')
  for (let cut = 1; cut < whole; cut += 1) {
    expect(readLongReply(state, bytes, 0, cut).kind).toBe('more')
  }
  const found = readLongReply(state, bytes, 0, bytes.length)
  expect(found).toEqual({ kind: 'reply', end: whole, line: `$${text}` })
  const huge = Buffer.from('$99999999\r\n')
  expect(readLongReply(state, huge, 0, huge.length)).toMatchObject({ kind: 'reply' })
  expect(readLongReply(state, Buffer.from('-NOPERM no\r\n'), 0, 12)).toEqual({ kind: 'line' })
})

test.each([
  ['-LOADING Redis is loading the dataset in memory', 'ERR_LOADING'],
  ["-NOMASTERLINK Can't SYNC while not connected with my master", 'ERR_NOMASTERLINK'],
  ["-ERR Can't SYNC while not connected with my master", 'ERR_NOMASTERLINK'],
  [
    '-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to no',
    'ERR_MASTERDOWN',
  ],
  ['-BUSY Redis is busy running a script.', 'ERR_BUSY'],
  ['-ERR max number of clients reached', 'ERR_TOO_MANY_CLIENTS'],
])('%s passes by itself', (line, code) => {
  for (const lines of [[line], [...CONF, line]]) {
    const error = failure(play({}, lines).outcome)
    expect(error).toBeInstanceOf(LinkError)
    expect(error.code).toBe(code)
    expect(error.retriable).toBe(true)
  }
})

test('a save that failed stands in place of the payload, and passes', () => {
  const error = failure(
    play({}, [...CONF, `+FULLRESYNC ${REPLID} 1`, "-ERR BGSAVE failed, replication can't continue"])
      .outcome,
  )
  expect(error.code).toBe('ERR_BGSAVE_FAILED')
  expect(error.retriable).toBe(true)
})

test.each([
  [['-NOAUTH Authentication required.'], {}, 'ERR_NOAUTH'],
  [['+PONG', '+OK', '-NOAUTH Authentication required.'], {}, 'ERR_NOAUTH'],
  [Array<string>(3).fill('-ERR operation not permitted'), {}, 'ERR_NOAUTH'],
  [['-NOAUTH', '-WRONGPASS invalid username-password pair'], { password: 'x' }, 'ERR_WRONGPASS'],
  [['-NOAUTH', '-ERR invalid password'], { password: 'x' }, 'ERR_WRONGPASS'],
  [
    ['+PONG', "-ERR wrong number of arguments for 'auth' command"],
    { password: 'x', username: 'joe' },
    'ERR_AUTH',
  ],
  [['-DENIED Redis is running in protected mode because …'], {}, 'ERR_DENIED'],
  [[...CONF, "-NOPERM this user has no permissions to run the 'psync' command"], {}, 'ERR_NOPERM'],
] as const)('%j is final', (lines, plan, code) => {
  const error = failure(play(plan, lines).outcome)
  expect(error).toBeInstanceOf(AuthError)
  expect(error.code).toBe(code)
  expect(error.retriable).toBe(false)
})

test('NOPERM names the smallest ACL that suffices, for the user at hand', () => {
  const error = failure(
    play({ username: 'backup', password: 'x' }, ['+PONG', '+OK', ...CONF.slice(1), '-NOPERM no'])
      .outcome,
  )
  expect(error.hint).toContain('ACL SETUSER backup on >PASSWORD +psync +replconf +ping')
})

test.each(['HTTP/1.1 400 Bad Request', 'SSH-2.0-OpenSSH_9.2', '\x15\x03\x03'])(
  'what answers %j is no Redis',
  (line) => {
    const error = failure(play({}, [line]).outcome)
    expect(error.code).toBe('ERR_NOT_REDIS')
    expect(error.message).not.toContain('\x15')
  },
)

test.each([
  `+FULLRESYNC ${REPLID}`,
  `+FULLRESYNC ${REPLID.slice(1)} 1`,
  `+FULLRESYNC ${REPLID} -1`,
  '+CONTINUE nonsense',
  '+FOO',
])('%s is no answer to PSYNC', (line) => {
  expect(failure(play({}, [...CONF, line]).outcome).code).toBe('ERR_PROTOCOL')
})

test.each(['$-1', '$', '$EOF:short', '$12x', '+OK', ':1'])('%s is no header', (line) => {
  const { outcome } = play({}, [...CONF, `+FULLRESYNC ${REPLID} 1`, line])
  expect(failure(outcome).code).toBe('ERR_PROTOCOL')
})

/** As Valkey sends it, with a module. */
const HELLO_REPLY =
  '*14\r\n$6\r\nserver\r\n$6\r\nvalkey\r\n$7\r\nversion\r\n$5\r\n9.1.2\r\n$5\r\nproto\r\n:2\r\n' +
  '$2\r\nid\r\n:12\r\n$4\r\nmode\r\n$7\r\ncluster\r\n$4\r\nrole\r\n$6\r\nmaster\r\n' +
  '$7\r\nmodules\r\n*1\r\n*8\r\n$4\r\nname\r\n$9\r\nvectorset\r\n$3\r\nver\r\n:1\r\n' +
  '$4\r\npath\r\n$0\r\n\r\n$4\r\nargs\r\n*0\r\n'

test('the answer to HELLO is read to its last byte, however it is cut, and says the mode', () => {
  const { state } = play({ rdbOnly: false }, ['+PONG'])
  expect(state.step).toBe('hello')
  const bytes = Buffer.from(`${HELLO_REPLY}+OK\r\n`)
  for (let end = 1; end < HELLO_REPLY.length; end += 1) {
    expect(readLongReply(state, bytes, 0, end), `cut at ${end}`).toEqual({ kind: 'more' })
  }
  const reply = readLongReply(state, bytes, 0, bytes.length)
  if (reply.kind !== 'reply') throw new Error(reply.kind)
  expect(reply.end).toBe(HELLO_REPLY.length)
  const { state: after } = onHandshakeLine(state, reply.line)
  expect(after).toMatchObject({ step: 'capa', isClusterNode: true })
})

test('a server that does not know HELLO, or is no cluster node, is acknowledged as ever', () => {
  const { state } = play({ rdbOnly: false }, ['+PONG'])
  for (const line of [
    "-ERR unknown command 'HELLO'",
    '*server redis mode standalone role master',
  ]) {
    expect(onHandshakeLine(state, line).state).toMatchObject({ step: 'capa', isClusterNode: false })
  }
  const endless = Buffer.alloc(MAX_HELLO_BYTES + 20, '*2\r\n')
  const reply = readLongReply(state, endless, 0, endless.length)
  if (reply.kind !== 'reply') throw new Error(reply.kind)
  expect(failure(onHandshakeLine(state, reply.line).outcome).code).toBe('ERR_NOT_REDIS')
})
