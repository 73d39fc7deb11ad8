/**
 * `rrep sync` meets every fault: never a bad file at the target, one clear line, the exit code of
 * the table. The master is scripted, since a real one does not fail at a chosen byte.
 */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { runCli, type CliResult } from '../helpers/cli.js'
import { rdbBody, rdbBytes } from '../helpers/rdb-bytes.js'
import { spawnRrep } from '../helpers/rrep-process.js'
import {
  framed,
  fullResync,
  MARK,
  startScriptedMaster,
  type MasterScript,
  type ScriptedMaster,
} from '../helpers/scripted-master.js'
import { waitFor } from '../helpers/servers.js'

const PAYLOAD = rdbBytes({ body: rdbBody({ key: 'value', other: 'x'.repeat(300) }) })

let dir: string
let target: string
let master: ScriptedMaster | undefined

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'rrep-faults-'))
  target = join(dir, 'dump.rdb')
  writeFileSync(target, 'the old dump')
})

afterEach(async () => {
  await master?.stop()
  master = undefined
  rmSync(dir, { recursive: true, force: true })
})

async function syncFrom(script: MasterScript, ...more: string[]): Promise<CliResult> {
  await master?.stop()
  master = await startScriptedMaster({ payload: PAYLOAD, ...script })
  const source = `127.0.0.1:${master.port}`
  const patience = ['--retries', '0', '--timeout', '5s', '--wait', '0s']
  return await runCli(['sync', source, '-o', target, ...patience, ...more])
}

/** The old file stands untouched and alone; one line (and a hint) says what happened. */
function expectUntouched(result: CliResult, code: number): void {
  expect(result, result.err).toMatchObject({ code, out: '' })
  expect(readdirSync(dir)).toEqual(['dump.rdb'])
  expect(readFileSync(target, 'utf8')).toBe('the old dump')
  const lines = result.err.trimEnd().split('\n')
  expect(lines[0]).toMatch(/^rrep: /)
  expect(lines.slice(1).filter((line) => !line.startsWith('hint: '))).toEqual([])
}

test('a sound master gives a sound file, and the script is no help to it', async () => {
  const result = await syncFrom({ framing: 'eof' })
  expect(result.code).toBe(0)
  expect(readFileSync(target).equals(PAYLOAD)).toBe(true)
  expect(readdirSync(dir)).toEqual(['dump.rdb'])
})

const CUTS: readonly (readonly [string, MasterScript])[] = [
  ['on connecting', { onConnect: (connection) => connection.close() }],
  ['at PING', { reply: (args, c) => (args[0] === 'PING' ? (c.reset(), '') : undefined) }],
  ['at capa', { reply: (args, c) => (args[1] === 'capa' ? (c.close(), '') : undefined) }],
  ['at rdb-only', { reply: (args, c) => (args[1] === 'rdb-only' ? (c.reset(), '') : undefined) }],
  ['at PSYNC', { onPsync: (connection) => connection.close() }],
  ['in the reply', { onPsync: (connection) => void connection.socket.end('+FULLRES') }],
  ['behind the reply', { onPsync: (connection) => void connection.socket.end(fullResync()) }],
  [
    'in the header',
    { onPsync: (connection) => void connection.socket.end(`${fullResync()}$EOF:${MARK.slice(3)}`) },
  ],
  [
    'behind the header',
    { onPsync: (connection) => void connection.socket.end(`${fullResync()}$EOF:${MARK}\r\n`) },
  ],
]

test.each(CUTS)('a link cut %s', async (_, script) => {
  expectUntouched(await syncFrom(script), 3)
})

test('a link cut at random bytes of the payload, framed either way', async () => {
  for (const framing of ['length', 'eof'] as const) {
    const wire = framed(PAYLOAD, framing)
    for (let i = 0; i < 12; i += 1) {
      const at = Math.floor(Math.random() * wire.length)
      const result = await syncFrom({
        onPsync: (connection) => {
          connection.send(fullResync())
          void connection.socket.end(wire.subarray(0, at))
        },
      })
      expectUntouched(result, 3)
    }
  }
})

test('a payload damaged at random bytes, framed either way', async () => {
  for (const framing of ['length', 'eof'] as const) {
    for (let i = 0; i < 8; i += 1) {
      const damaged = Buffer.from(PAYLOAD)
      const at = Math.floor(Math.random() * damaged.length)
      damaged[at] = damaged[at]! ^ (1 << i)
      const result = await syncFrom({
        onPsync: (connection) => {
          connection.send(fullResync())
          void connection.socket.end(framed(damaged, framing))
        },
      })
      // An EOF opcode that is hit looks like an end that never came.
      expectUntouched(result, 6)
    }
  }
})

test('a wrong checksum, a payload that is no RDB, one that is structurally wrong', async () => {
  const bodies = [
    rdbBytes({ body: rdbBody({ a: 'b' }), checksum: 'wrong' }),
    randomBytes(500),
    // No checksum, and a value that claims more than there is.
    rdbBytes({ body: Buffer.from([0xfe, 0, 0, 1, 0x61, 0x80, 0, 1, 0, 0]), checksum: 'zero' }),
  ]
  for (const payload of bodies) {
    for (const framing of ['length', 'eof'] as const) {
      const result = await syncFrom({
        onPsync: (connection) => {
          connection.send(fullResync())
          void connection.socket.end(framed(payload, framing))
        },
      })
      expectUntouched(result, 6)
    }
  }
})

test.each([
  ['garbage', { onConnect: (c) => c.send(Buffer.concat([randomBytes(40), Buffer.from('\n')])) }, 5],
  ['a web server', { reply: () => 'HTTP/1.1 400 Bad Request' }, 5],
  ['a header that is none', { onPsync: (c) => c.send(`${fullResync()}$abc\r\n`) }, 5],
  ['a refused PSYNC', { onPsync: (c) => c.send('-ERR not today\r\n') }, 5],
  ['a server without replication', { reply: (args) => `-ERR unknown command '${args[0]!}'` }, 5],
  ['NOAUTH', { onPsync: (c) => c.send('-NOAUTH Authentication required.\r\n') }, 4],
  ['NOPERM', { onPsync: (c) => c.send('-NOPERM no permissions\r\n') }, 4],
  ['LOADING', { onPsync: (c) => c.send('-LOADING dataset\r\n') }, 3],
  ['NOMASTERLINK', { onPsync: (c) => c.send("-NOMASTERLINK Can't SYNC\r\n") }, 3],
  [
    'a failed save',
    { onPsync: (c) => c.send(`${fullResync()}-ERR BGSAVE failed, replication can't continue\r\n`) },
    3,
  ],
] as const satisfies readonly (readonly [string, MasterScript, number])[])(
  '%s',
  async (_, script, code) => {
    expectUntouched(await syncFrom(script), code)
  },
)

test.each([
  ['at once', {}],
  ['in the handshake', { reply: () => '' }],
  ['at PSYNC', { onPsync: () => undefined }],
  [
    'in the payload',
    {
      onPsync: (connection) => {
        connection.send(fullResync())
        connection.send(framed(PAYLOAD, 'eof').subarray(0, 200))
      },
    },
  ],
] as const satisfies readonly (readonly [string, MasterScript])[])(
  'a master that stalls %s',
  async (phase, script) => {
    const silent = phase === 'at once' ? { reply: () => '' } : script
    const result = await syncFrom(silent, '--timeout', '300ms')
    expectUntouched(result, 3)
    expect(result.err).toContain('within 0.3 s')
  },
)

test('attempts are counted, told and limited; --json has the error as one line', async () => {
  const script: MasterScript = { onPsync: (c) => c.send('-NOMASTERLINK x\r\n') }
  const result = await syncFrom(script, '--retries', '1')
  expect(result.code).toBe(3)
  expect(result.err.split('\n')[0]).toMatch(/NOMASTERLINK.*next attempt in/)
  expect(master?.connections).toHaveLength(2)
  const json = await syncFrom({ onPsync: (c) => c.send('-NOPERM x\r\n') }, '--json')
  expect(JSON.parse(json.err)).toMatchObject({
    error: 'ERR_NOPERM',
    hint: expect.stringContaining('+psync') as string,
    server: expect.stringContaining('127.0.0.1') as string,
  })
})

test('a second attempt brings the file whole', async () => {
  const result = await syncFrom(
    {
      onPsync: (connection) => {
        connection.send(fullResync())
        const wire = framed(PAYLOAD, 'length')
        if (connection.number === 0) void connection.socket.end(wire.subarray(0, 300))
        else connection.send(wire)
      },
    },
    '--retries',
    '1',
  )
  expect(result.code).toBe(0)
  expect(readFileSync(target).equals(PAYLOAD)).toBe(true)
})

test('what is in a pipe already is not followed by a second snapshot', async () => {
  await master?.stop()
  let piped = 0
  master = await startScriptedMaster({
    onPsync: (connection) => {
      connection.send(fullResync())
      connection.send(framed(PAYLOAD, 'length').subarray(0, 300))
      void waitFor(() => piped > 0, { what: 'bytes in the pipe' }).then(() => connection.close())
    },
  })
  const result = await runCli(['sync', `127.0.0.1:${master.port}`, '-o', '-', '--retries', '3'], {
    onStdout: (chunk) => (piped += chunk.length),
  })
  expect(result.code).toBe(3)
  expect(result.err).toContain('not tried again')
  expect(master.connections.filter(({ commands }) => commands.length > 3)).toHaveLength(1)
})

test.each([
  ['a directory that is missing', ['-o', '/no/such/place/dump.rdb'], 1],
  ['a directory as the file', ['-o', tmpdir()], 1],
  ['a place in the name that means nothing', ['-o', '{what}.rdb'], 2],
  ['a compression that does not exist', ['-o', 'x', '--compress', 'lzma'], 2],
  ['no output', [], 2],
  ['an address that is none', ['-o', 'x', 'a:b:c:d'], 2],
] as const)('%s is told before a server is asked', async (_, args, code) => {
  master = await startScriptedMaster({ payload: PAYLOAD })
  const source = args.length > 2 && args[0] === '-o' && args[2] === 'a:b:c:d' ? [] : [master.port]
  const result = await runCli(['sync', ...source.map((port) => `127.0.0.1:${port}`), ...args])
  expect(result.code).toBe(code)
  expect(master.connections).toHaveLength(0)
})

function commandsOf(connection: number): readonly string[] {
  return (master?.connections[connection]?.commands ?? []).map((each) => String(each))
}

test.each(['SIGINT', 'SIGTERM'] as const)('%s in each phase tidies up', async (reason) => {
  const wire = framed(PAYLOAD, 'eof')
  // What has come when the signal comes: PING, PSYNC, the first bytes of the snapshot.
  const phases: [MasterScript, () => boolean][] = [
    [{ reply: () => '' }, () => commandsOf(0).length > 0],
    [{ onPsync: () => undefined }, () => commandsOf(0).some((each) => each.startsWith('PSYNC'))],
    [
      { onPsync: (c) => c.send(Buffer.concat([Buffer.from(fullResync()), wire.subarray(0, 200)])) },
      () => readdirSync(dir).length > 1,
    ],
  ]
  for (const [script, reached] of phases) {
    const controller = new AbortController()
    await master?.stop()
    master = await startScriptedMaster({ payload: PAYLOAD, ...script })
    const running = runCli(['sync', `127.0.0.1:${master.port}`, '-o', target], {
      signal: controller.signal,
    })
    await waitFor(reached, { what: 'the phase' })
    controller.abort(reason)
    expectUntouched(await running, reason === 'SIGINT' ? 130 : 143)
  }
})

const BIG = rdbBytes({ body: rdbBody({ a: 'x'.repeat(60_000), b: 'y'.repeat(60_000) }) })

// The larger one meets the limit in the middle of a block that is written past the cache.
test.each([
  ['64', BIG],
  ['2500', rdbBytes({ body: rdbBody({ a: 'x'.repeat(4 << 20), b: 'y'.repeat(60_000) }) })],
])('a file that may not grow so large: %s KiB', async (limit, payload) => {
  master = await startScriptedMaster({ payload })
  const source = `127.0.0.1:${master.port}`
  // In blocks of 1024 bytes.
  const { ended } = spawnRrep(['sync', source, '-o', target], { prelude: `ulimit -f ${limit};` })
  const { code, err } = await ended
  expect(code, err).toBe(1)
  expect(err).toContain('larger than allowed')
  expect(readdirSync(dir)).toEqual(['dump.rdb'])
  expect(readFileSync(target, 'utf8')).toBe('the old dump')
})

const tmpfs = mountTmpfs()

test.skipIf(tmpfs === undefined)('a full disk (a small tmpfs; needs root)', async () => {
  const mount = tmpfs ?? ''
  try {
    const file = join(mount, 'dump.rdb')
    writeFileSync(file, 'the old dump')
    master = await startScriptedMaster({ payload: BIG })
    const source = `127.0.0.1:${master.port}`
    for (const more of [[], ['--compress', 'gzip:1', '--json']]) {
      // Compressed it would fit: so leave no room at all.
      if (more.length > 0) fillUp(join(mount, 'filler'))
      const result = await runCli(['sync', source, '-o', file, ...more])
      expect(result.code, result.err).toBe(1)
      expect(result.err).toContain('no space left on the disk')
      expect(readFileSync(file, 'utf8')).toBe('the old dump')
      expect(readdirSync(mount).filter((name) => name.endsWith('.part'))).toEqual([])
    }
  } finally {
    execFileSync('umount', [mount])
    rmSync(mount, { recursive: true, force: true })
  }
})

function fillUp(path: string): void {
  for (;;) {
    try {
      appendFileSync(path, randomBytes(1024))
    } catch {
      return
    }
  }
}

function mountTmpfs(): string | undefined {
  const mount = mkdtempSync(join(tmpdir(), 'rrep-tmpfs-'))
  try {
    mkdirSync(mount, { recursive: true })
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', mount], { stdio: 'pipe' })
    return mount
  } catch {
    rmSync(mount, { recursive: true, force: true })
    return undefined
  }
}

test('SIGKILL leaves at most a temporary, which the next run clears', async () => {
  const wire = framed(PAYLOAD, 'length')
  let stall = true
  master = await startScriptedMaster({
    onPsync: (connection) => {
      connection.send(fullResync())
      connection.send(stall ? wire.subarray(0, 300) : wire)
    },
  })
  const source = `127.0.0.1:${master.port}`
  const { child, ended } = spawnRrep(['sync', source, '-o', target])
  await waitFor(() => readdirSync(dir).length === 2, { what: 'the temporary' })
  child.kill('SIGKILL')
  expect((await ended).signal).toBe('SIGKILL')
  expect(readFileSync(target, 'utf8')).toBe('the old dump')
  expect(readdirSync(dir)).toHaveLength(2)
  stall = false
  const again = await runCli(['sync', source, '-o', target])
  expect(again.code).toBe(0)
  expect(readdirSync(dir)).toEqual(['dump.rdb'])
  expect(readFileSync(target).equals(PAYLOAD)).toBe(true)
})

test('a real SIGTERM ends the process with 143, and a slow reader of a pipe does not hold it', async () => {
  const huge = rdbBytes({ body: rdbBody({ a: 'x'.repeat(1_000_000) }) })
  master = await startScriptedMaster({
    onPsync: (connection) => {
      connection.send(fullResync())
      // All but the end, and then silence.
      connection.send(framed(huge, 'length').subarray(0, -1))
    },
  })
  const { child, ended } = spawnRrep(['sync', `127.0.0.1:${master.port}`, '-o', '-'], {
    stdout: 'pipe',
  })
  // Something has come, and nobody reads it: stream and pipe fill up.
  let hasCome = false
  child.stdout?.once('readable', () => (hasCome = true))
  await waitFor(() => hasCome, { what: 'the first bytes' })
  child.kill('SIGTERM')
  const closed = await new Promise<number | null>((resolve) => child.once('exit', resolve))
  expect(closed).toBe(143)
  child.stdout?.resume()
  await ended
})
