/** The link against a scripted master on a real socket: what a real one cannot be made to show. */
import { randomBytes } from 'node:crypto'
import { afterEach, expect, test, vi } from 'vitest'
import { AbortedError, LinkError, ProtocolError, RdbError } from '../../src/errors.js'
import { parseServerAddress } from '../../src/net/address.js'
import type { LostStream } from '../../src/replication/consumer.js'
import { LinkRecorder, makeLink } from '../helpers/link-recorder.js'
import { rdbBytes } from '../helpers/rdb-bytes.js'
import {
  framed,
  fullResync,
  MARK,
  REPLID,
  startScriptedMaster,
  type MasterConnection,
  type MasterScript,
  type ScriptedMaster,
} from '../helpers/scripted-master.js'
import { waitFor } from '../helpers/servers.js'

const PAYLOAD = rdbBytes({ body: randomBytes(200) })
const PING = '*1\r\n$4\r\nPING\r\n'
const GETACK = '*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n'

const masters: ScriptedMaster[] = []

async function master(script: MasterScript): Promise<ScriptedMaster> {
  const started = await startScriptedMaster({ payload: PAYLOAD, ...script })
  masters.push(started)
  return started
}

afterEach(async () => {
  for (const each of masters.splice(0)) await each.stop()
})

test.each(['length', 'eof'] as const)('a snapshot comes whole, framed by %s', async (framing) => {
  const { port, connections } = await master({ framing, replOffset: 4711 })
  const recorder = new LinkRecorder()
  const link = makeLink(port, recorder)
  await link.run()
  expect(recorder.snapshot.equals(PAYLOAD)).toBe(true)
  expect(recorder.resyncs).toEqual([
    {
      replid: REPLID,
      replOffset: 4711,
      framing,
      lengthBytes: framing === 'length' ? PAYLOAD.length : undefined,
      content: 'all',
      refusedResume: undefined,
      streamKept: false,
    },
  ])
  expect(recorder.ends).toEqual([{ bytes: PAYLOAD.length, checksum: 'ok', rdbVersion: 10 }])
  expect(recorder.states).toEqual(['connecting', 'handshake', 'waiting', 'snapshot', 'closed'])
  expect(connections[0]!.commands.map((args) => args[0])).not.toContain('SYNC')
})

/** A fault that comes when what it is to hit has happened. */
function onceTrue(condition: () => boolean, act: () => void): void {
  void waitFor(condition, { what: 'the moment of the fault' }).then(act)
}

test('an EOF mark may be cut at every position', async () => {
  const wire = framed(PAYLOAD, 'eof')
  const { port } = await master({
    onPsync: (connection) => {
      connection.send(fullResync())
      const cut = wire.length - 40 + connection.number
      void connection.sendInPieces(wire, [cut])
    },
  })
  for (let split = 0; split <= 40; split += 1) {
    const recorder = new LinkRecorder()
    await makeLink(port, recorder).run()
    expect(recorder.snapshot.equals(PAYLOAD), `split at ${split}`).toBe(true)
  }
})

test('newlines before the reply and before the payload are keepalives', async () => {
  const { port } = await master({
    onPsync: (connection) => {
      connection.send('\n\n')
      connection.send(fullResync())
      connection.send('\n')
      connection.send(framed(PAYLOAD, 'eof'))
    },
  })
  const recorder = new LinkRecorder()
  await makeLink(port, recorder).run()
  expect(recorder.keepalives).toBe(3)
  expect(recorder.ends).toHaveLength(1)
})

test('stream bytes have the offsets behind the snapshot, however they are cut', async () => {
  const stream = Buffer.from(PING + GETACK + PING)
  const { port } = await master({
    onPsync: (connection) => {
      connection.send(fullResync(1000))
      // Glued to the payload.
      connection.send(Buffer.concat([framed(PAYLOAD, 'length'), stream.subarray(0, 5)]))
      void connection.sendInPieces(stream.subarray(5), [1, 9, 10, 30])
    },
  })
  const recorder = new LinkRecorder()
  const link = makeLink(port, recorder, { purpose: 'stream' })
  recorder.onEvent = () => {
    if (recorder.stream.length === stream.length) link.stop()
  }
  await link.run()
  expect(recorder.stream.equals(stream)).toBe(true)
  expect(recorder.streamStart).toBe(1001)
  expect(recorder.streamFault).toBeUndefined()
  expect(recorder.replOffset).toBe(1000 + stream.length)
})

test('an ACK goes out behind the payload, each second, and at once on GETACK', async () => {
  const acks: string[] = []
  const { port, connections } = await master({
    framing: 'eof',
    onAck: (_, args) => void acks.push(args.join(' ')),
  })
  // The link's clock stands still but where it is moved on here.
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
  const recorder = new LinkRecorder()
  recorder.acks = { ack: 7, fack: 5 }
  const link = makeLink(port, recorder, { purpose: 'stream' })
  const running = link.run()
  try {
    await waitFor(() => acks.length === 1, { what: 'the ACK behind the payload' })
    for (const count of [2, 3]) {
      vi.advanceTimersByTime(1000)
      await waitFor(() => acks.length === count, { what: `ACK ${count}` })
    }
    // Cut in the middle of the word, and without a tick of the clock.
    await connections[0]!.sendInPieces(Buffer.from(GETACK), [20])
    await waitFor(() => acks.length === 4, { what: 'the answer to GETACK' })
  } finally {
    vi.useRealTimers()
  }
  link.stop()
  await running
  expect(acks).toEqual(Array.from({ length: 4 }, () => 'REPLCONF ACK 7 FACK 5'))
})

test('by default ACK 0, which counts for nothing', async () => {
  const acks: string[] = []
  const { port } = await master({ onAck: (_, args) => void acks.push(args.join(' ')) })
  const recorder = new LinkRecorder()
  const link = makeLink(
    port,
    {
      onFullResync: () => undefined,
      onSnapshotBytes: () => undefined,
      onSnapshotEnd: () => undefined,
      onContinue: () => undefined,
      onStream: () => undefined,
      resumePoint: () => 'full',
    },
    { purpose: 'stream' },
  )
  const running = link.run()
  await waitFor(() => acks.length > 0, { what: 'an ACK' })
  link.stop()
  await running
  expect(acks[0]).toBe('REPLCONF ACK 0')
  expect(recorder.losses).toEqual([])
})

test('a lost link goes on behind the last byte, also under a new id', async () => {
  const newId = REPLID.replaceAll('0', 'e')
  const recorder = new LinkRecorder()
  const { port, connections } = await master({
    onPsync: (connection, args) => {
      if (connection.number === 0) {
        connection.send(fullResync(1000))
        connection.send(framed(PAYLOAD, 'length'))
        connection.send(PING)
        onceTrue(
          () => recorder.stream.length === PING.length,
          () => connection.reset(),
        )
      } else if (connection.number === 1) {
        expect(args).toEqual(['PSYNC', REPLID, '1015'])
        connection.send(`+CONTINUE ${newId}\r\n${PING}`)
        onceTrue(
          () => recorder.stream.length === 2 * PING.length,
          () => connection.close(),
        )
      } else {
        expect(args).toEqual(['PSYNC', newId, '1029'])
        connection.send(`+CONTINUE\r\n${PING}`)
      }
    },
  })
  const link = makeLink(port, recorder, { purpose: 'stream', retries: 2 })
  recorder.onEvent = () => {
    if (recorder.stream.length === 3 * PING.length) link.stop()
  }
  await link.run()
  expect(recorder.streamFault).toBeUndefined()
  expect(recorder.continues).toEqual([
    { replid: newId, previousReplid: REPLID, nextReplOffset: 1015 },
    { replid: newId, previousReplid: undefined, nextReplOffset: 1029 },
  ])
  expect(recorder.losses.map((loss) => [loss.during, loss.attempt])).toEqual([
    ['stream', 1],
    ['stream', 1],
  ])
  expect(connections).toHaveLength(3)
})

test('the consumer may ask to go on from an earlier byte', async () => {
  const asked: string[][] = []
  const recorder = new LinkRecorder()
  const { port } = await master({
    onPsync: (connection, args) => {
      asked.push([...args])
      if (connection.number === 0) {
        connection.send(fullResync(1000))
        connection.send(Buffer.concat([framed(PAYLOAD, 'length'), Buffer.from('*3\r\n$3\r\nSE')]))
        onceTrue(
          () => recorder.snapshot.length === PAYLOAD.length,
          () => connection.reset(),
        )
      } else connection.send('+CONTINUE\r\n')
    },
  })
  recorder.resume = { replid: REPLID, nextReplOffset: 1001 }
  const link = makeLink(port, recorder, { purpose: 'stream', retries: 1 })
  recorder.onEvent = () => {
    if (recorder.continues.length > 0) link.stop()
  }
  await link.run()
  expect(asked[1]).toEqual(['PSYNC', REPLID, '1001'])
})

test('a resume that is refused brings a snapshot, and says where the gap begins', async () => {
  const { port } = await master({ replOffset: 9000 })
  const recorder = new LinkRecorder()
  const start = { replid: REPLID, nextReplOffset: 500 }
  const link = makeLink(port, recorder, { purpose: 'stream', start })
  recorder.onEvent = () => {
    if (recorder.ends.length > 0) link.stop()
  }
  await link.run()
  expect(recorder.plans).toEqual(['partial'])
  expect(recorder.resyncs[0]).toMatchObject({ replOffset: 9000, refusedResume: start })
})

test('who is ahead of a promoted master goes back to what that has, or takes a snapshot', async () => {
  const other = REPLID.replaceAll('0', 'f')
  const info = [
    ...[`master_replid:${other}`, 'master_repl_offset:900', 'repl_backlog_active:1'],
    ...['repl_backlog_first_byte_offset:1', 'repl_backlog_histlen:900'],
    ...[`master_replid2:${REPLID}`, 'second_repl_offset:401', ''],
  ].join('\r\n')
  const asked: string[][] = []
  const { port } = await master({
    reply: (args) => (args[0] === 'INFO' ? `$${info.length}\r\n${info}` : undefined),
    onPsync: (connection, args) => {
      asked.push([...args])
      if (args[1] === '?') {
        connection.send(Buffer.concat([Buffer.from(fullResync(900)), framed(PAYLOAD, 'length')]))
      } else connection.send(`+CONTINUE ${other}\r\n`)
    },
  })
  const start = { replid: REPLID, nextReplOffset: 500 }
  const lost: LostStream[] = []
  const recorder = Object.assign(new LinkRecorder(), {
    cutBack: (stream: LostStream) => {
      lost.push(stream)
      recorder.resume = { replid: REPLID, nextReplOffset: 395 }
    },
  })
  const link = makeLink(port, recorder, { purpose: 'stream', start })
  recorder.onEvent = () => {
    if (recorder.continues.length > 0) link.stop()
  }
  await link.run()
  expect(lost).toEqual([{ replid: REPLID, fromReplOffset: 401, toReplOffset: 499 }])
  expect(asked).toEqual([['PSYNC', REPLID, '395']])

  const unable = new LinkRecorder()
  const another = makeLink(port, unable, { purpose: 'stream', start })
  unable.onEvent = () => {
    if (unable.ends.length > 0) another.stop()
  }
  await another.run()
  expect(asked.at(-1)).toEqual(['PSYNC', '?', '-1'])
  const strict = { purpose: 'stream', start, allowFullResync: false } as const
  await expect(makeLink(port, new LinkRecorder(), strict).run()).rejects.toMatchObject({
    code: 'ERR_FULL_RESYNC_NEEDED',
    message: expect.stringContaining('a failover lost the stream from offset 401 on') as string,
  })
})

test('an empty snapshot that is refused is taken whole only where that is allowed', async () => {
  const script: MasterScript = {
    reply: (args) => {
      if (args[0] === 'INFO') return '$33\r\nmaster_repl_offset:5\r\nrole:master\r\n'.trimEnd()
      return args[1] === 'rdb-filter-only' ? '-ERR Unrecognized REPLCONF option' : undefined
    },
  }
  const { port } = await master(script)
  const allowed = new LinkRecorder()
  const link = makeLink(port, allowed, { purpose: 'stream', start: 'now' })
  allowed.onEvent = () => {
    if (allowed.ends.length > 0) link.stop()
  }
  await link.run()
  expect(allowed.plans).toEqual(['empty-snapshot', 'full-snapshot'])
  expect(allowed.resyncs[0]?.content).toBe('all')

  const forbidden = new LinkRecorder()
  const options = { purpose: 'stream', start: 'now', allowFullResync: false } as const
  await expect(makeLink(port, forbidden, options).run()).rejects.toMatchObject({
    code: 'ERR_FULL_RESYNC_NEEDED',
  })
  expect(forbidden.plans).toEqual(['empty-snapshot'])
})

test('from now on, but the backlog is gone: the full snapshot on offer is left', async () => {
  const info = [
    ...[`master_replid:${REPLID}`, 'master_repl_offset:70', 'repl_backlog_active:1'],
    ...['repl_backlog_first_byte_offset:1', 'repl_backlog_histlen:70', ''],
  ].join('\r\n')
  const { port, connections } = await master({
    framing: 'eof',
    reply: (args) => (args[0] === 'INFO' ? `$${info.length}\r\n${info}` : undefined),
  })
  const recorder = new LinkRecorder()
  const link = makeLink(port, recorder, { purpose: 'stream', start: 'now' })
  recorder.onEvent = () => {
    if (recorder.ends.length > 0) link.stop()
  }
  await link.run()
  expect(recorder.plans).toEqual(['partial', 'empty-snapshot'])
  const psyncs = connections.flatMap(({ commands }) =>
    commands.filter(([name]) => name === 'PSYNC').map((args) => args.join(' ')),
  )
  expect(psyncs).toEqual([`PSYNC ${REPLID} 71`, 'PSYNC ? -1'])
  expect(recorder.resyncs).toHaveLength(1)
  expect(recorder.resyncs[0]?.content).toBe('empty')
})

test('what can pass is tried again, and the snapshot begins anew', async () => {
  const recorder = new LinkRecorder()
  let syncs = 0
  const { port } = await master({
    reply: ([name]) => (name === 'INFO' ? '$26\r\nloading_eta_seconds:2\r\nx:1' : undefined),
    onPsync: (connection) => {
      syncs += 1
      if (syncs === 1) connection.send('-LOADING dataset\r\n')
      else if (syncs === 2) {
        connection.send(fullResync())
        connection.send(framed(PAYLOAD, 'length').subarray(0, 100))
        onceTrue(
          () => recorder.snapshot.length > 0,
          () => connection.reset(),
        )
      } else {
        connection.send(fullResync())
        connection.send(framed(PAYLOAD, 'length'))
      }
    },
  })
  // Loading is waited for, and is none of the attempts.
  await makeLink(port, recorder, { retries: 1 }).run()
  expect(recorder.snapshot.equals(PAYLOAD)).toBe(true)
  expect(recorder.resyncs).toHaveLength(2)
  expect(recorder.losses.map((loss) => loss.attempt)).toEqual([1, 1])
  expect(recorder.losses[0]!.error).toMatchObject({
    code: 'ERR_LOADING',
    message: `127.0.0.1:${port} is loading its data, for 2 s more as it reckons`,
  })
  expect(recorder.losses[1]!.snapshotBytes).toBeGreaterThan(0)
})

test('a server that loads for longer than one has patience for is given up', async () => {
  const { port } = await master({ onPsync: (c) => c.send('-LOADING dataset\r\n') })
  const recorder = new LinkRecorder()
  const server = { address: parseServerAddress(`127.0.0.1:${port}`), timeoutMs: 5000 }
  const link = makeLink(port, recorder, {
    retries: 100,
    server: { ...server, loadingWaitMs: 300 },
  })
  await expect(link.run()).rejects.toMatchObject({ code: 'ERR_LOADING' })
  expect(recorder.losses.map(({ retryInMs }) => retryInMs !== undefined)).toEqual([true, false])
})

test('a flood of newlines in place of a reply is refused, and ends with the signal', async () => {
  const flood = Buffer.alloc(3 << 20, '\n')
  const { port } = await master({
    reply: ([name], c) => (name === 'PING' ? (c.send(flood), '') : undefined),
  })
  const recorder = new LinkRecorder()
  await expect(makeLink(port, recorder).run()).rejects.toMatchObject({ code: 'ERR_PROTOCOL' })
  expect(recorder.keepalives).toBeLessThanOrEqual(1 << 20)
})

test.each([
  [
    'a reply',
    {
      reply: ([name]: readonly string[], c: MasterConnection) =>
        name === 'PING' ? (drip(c, '+PONG PONG PONG PONG'), '') : undefined,
    },
  ],
  [
    'newlines',
    {
      reply: ([name]: readonly string[], c: MasterConnection) =>
        name === 'PING' ? (drip(c, '\n'.repeat(100)), '') : undefined,
    },
  ],
  ['the line of PSYNC', { onPsync: (c: MasterConnection) => drip(c, fullResync()) }],
  [
    'a snapshot',
    {
      onPsync: (c: MasterConnection) => {
        c.send(`${fullResync()}$100000\r\nREDIS0010`)
        drip(c, 'x'.repeat(100))
      },
    },
  ],
] satisfies [string, MasterScript][])(
  '%s that comes byte by byte holds nobody for ever',
  async (_, script) => {
    const { port } = await master(script)
    const link = makeLink(port, new LinkRecorder(), { timeoutMs: 500 })
    await expect(link.run()).rejects.toMatchObject({ code: 'ERR_TIMEOUT' })
  },
)

/** A byte each fifth of the patience. */
function drip(connection: MasterConnection, text: string): void {
  let at = 0
  const timer = setInterval(() => {
    if (at === text.length || connection.socket.destroyed) clearInterval(timer)
    else connection.send(text[at++]!)
  }, 100)
}

test('what cannot pass is not tried again', async () => {
  const { port, connections } = await master({ onPsync: (c) => c.send('-ERR nonsense\r\n') })
  const link = makeLink(port, new LinkRecorder(), { retries: 5 })
  await expect(link.run()).rejects.toBeInstanceOf(ProtocolError)
  expect(connections).toHaveLength(1)
})

test('a cut at every byte of the payload is a lost link, never an end', async () => {
  for (const framing of ['length', 'eof'] as const) {
    const wire = framed(PAYLOAD, framing)
    const { port } = await master({
      onPsync: (connection) => {
        connection.send(fullResync())
        connection.socket.end(wire.subarray(0, connection.number * 7))
      },
    })
    for (let at = 0; at < wire.length; at += 7) {
      const recorder = new LinkRecorder()
      await expect(makeLink(port, recorder).run()).rejects.toBeInstanceOf(LinkError)
      expect(recorder.ends).toEqual([])
    }
  }
})

test('a damaged snapshot is refused, with a mark behind it or a close', async () => {
  for (const framing of ['length', 'eof'] as const) {
    const payload = rdbBytes({ body: randomBytes(50), checksum: 'wrong' })
    const { port } = await master({
      onPsync: (connection) => {
        connection.send(fullResync())
        connection.socket.end(framed(payload, framing))
      },
    })
    const recorder = new LinkRecorder()
    await expect(makeLink(port, recorder, { retries: 3 }).run()).rejects.toBeInstanceOf(RdbError)
    expect(recorder.ends).toEqual([])
  }
})

test.each([
  ['handshake', { reply: () => '' }],
  ['waiting', { onPsync: () => undefined }],
  [
    'snapshot',
    {
      onPsync: (connection) => {
        connection.send(fullResync())
        connection.send(framed(PAYLOAD, 'length').subarray(0, -3))
      },
    },
  ],
  ['stream', {}],
] as const satisfies readonly (readonly [string, MasterScript])[])(
  'silence is not borne for ever: %s',
  async (phase, script) => {
    const { port } = await master(script)
    const recorder = new LinkRecorder()
    const purpose = phase === 'stream' ? 'stream' : 'snapshot'
    const link = makeLink(port, recorder, { timeoutMs: 200, purpose })
    await expect(link.run()).rejects.toMatchObject({ code: 'ERR_TIMEOUT', retriable: true })
    expect(recorder.losses[0]?.during).toBe(phase)
  },
)

test('newlines keep a waiting link alive beyond the time-out', async () => {
  const { port } = await master({
    onPsync: (connection) => {
      let left = 6
      const timer = setInterval(() => {
        left -= 1
        if (left > 0) connection.send('\n')
        else {
          clearInterval(timer)
          connection.send(fullResync())
          connection.send(framed(PAYLOAD, 'eof'))
        }
      }, 80)
    },
  })
  const recorder = new LinkRecorder()
  await makeLink(port, recorder, { timeoutMs: 250 }).run()
  expect(recorder.ends).toHaveLength(1)
})

test('a consumer that cannot take more stops the reading until it can', async () => {
  const big = rdbBytes({ body: Buffer.alloc(2_000_000, 'x') })
  const { port } = await master({ payload: big })
  const recorder = new LinkRecorder()
  let open: (() => void) | undefined
  let calls = 0
  const bytes = recorder.onSnapshotBytes.bind(recorder)
  recorder.onSnapshotBytes = (chunk, start, end) => {
    expect(open).toBeUndefined()
    bytes(chunk, start, end)
  }
  recorder.drainAnswer = () => {
    calls += 1
    return new Promise<void>((resolve) => {
      open = () => {
        open = undefined
        resolve()
      }
      setTimeout(open, 20)
    })
  }
  await makeLink(port, recorder, { timeoutMs: 300 }).run()
  expect(calls).toBeGreaterThan(1)
  expect(recorder.snapshot.equals(big)).toBe(true)
})

test('what a consumer throws ends the run, without another attempt', async () => {
  const { port, connections } = await master({})
  const recorder = new LinkRecorder()
  const fault = new LinkError('ERR_CANNOT_WRITE', 'mine', { retriable: true })
  recorder.onSnapshotEnd = () => {
    throw fault
  }
  await expect(makeLink(port, recorder, { retries: 5 }).run()).rejects.toBe(fault)
  expect(connections).toHaveLength(1)
})

test.each(['connecting', 'waiting', 'snapshot', 'backoff'] as const)(
  'an abort while %s ends the run at once',
  async (state) => {
    const { port } = await master({
      onPsync: (connection) => {
        if (state === 'backoff') connection.reset()
        else if (state === 'snapshot') {
          connection.send(fullResync() + `$EOF:${MARK}\r\n`)
          connection.send(PAYLOAD.subarray(0, 60))
        }
      },
    })
    const controller = new AbortController()
    const recorder = new LinkRecorder()
    recorder.onState = (now) => {
      if (now === state) setImmediate(() => controller.abort())
    }
    const link = makeLink(port, recorder, { signal: controller.signal, retries: 5 })
    await expect(link.run()).rejects.toBeInstanceOf(AbortedError)
    expect(link.state).toBe('closed')
  },
)

test('a server without replication ids gives a snapshot and no ACK', async () => {
  const acks: string[] = []
  let pings: NodeJS.Timeout | undefined
  const { port } = await master({
    reply: (args) => {
      if (args[0] === 'PING') return '+PONG'
      return args[0] === 'SYNC' ? undefined : `-ERR unknown command '${args[0]!}'`
    },
    onPsync: (connection) => {
      connection.send(framed(PAYLOAD, 'length'))
      pings = setInterval(() => connection.send(PING), 100)
    },
    onAck: (_, args) => void acks.push(args.join(' ')),
  })
  const recorder = new LinkRecorder()
  const link = makeLink(port, recorder, { purpose: 'stream' })
  const running = link.run()
  // Longer than the second after which an ACK would go out.
  await waitFor(() => recorder.stream.length >= 14 * PING.length, { what: 'the stream' })
  clearInterval(pings)
  link.stop()
  await running
  expect(recorder.resyncs[0]).toMatchObject({ replid: undefined, replOffset: -1 })
  expect(acks).toEqual([])
})
