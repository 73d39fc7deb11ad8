import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createServer as createTlsServer } from 'node:tls'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { AbortedError, LinkError } from '../../src/errors.js'
import { parseServerAddress } from '../../src/net/address.js'
import type { TlsSettings } from '../../src/net/server-settings.js'
import { LINE_BUFFER_BYTES, openLine, type Line, type LineReader } from '../../src/net/transport.js'
import { makeCertificates, type TestCertificates } from '../helpers/certificates.js'
import { waitFor } from '../helpers/servers.js'

let certificates: TestCertificates
let dir: string
const servers: Server[] = []
const lines: Line[] = []

beforeAll(() => {
  certificates = makeCertificates()
  dir = mkdtempSync(join(tmpdir(), 'rrep-net-'))
})

afterEach(() => {
  for (const line of lines.splice(0)) line.close()
  for (const server of servers.splice(0)) server.close()
})

afterAll(() => {
  certificates.remove()
  rmSync(dir, { recursive: true, force: true })
})

async function listen(
  onSocket: (socket: Socket) => void,
  where: { host?: string; path?: string; tls?: object } = {},
): Promise<number> {
  const server =
    where.tls === undefined
      ? createServer(onSocket)
      : createTlsServer(
          {
            cert: readFileSync(certificates.cert),
            key: readFileSync(certificates.key),
            ...where.tls,
          },
          onSocket,
        )
  server.on('tlsClientError', () => undefined)
  servers.push(server)
  await new Promise<void>((resolve) => {
    if (where.path !== undefined) server.listen(where.path, resolve)
    else server.listen(0, where.host ?? '127.0.0.1', resolve)
  })
  return where.path === undefined ? (server.address() as AddressInfo).port : 0
}

interface Reading extends LineReader {
  received: Buffer
  closed: Error | 'by peer' | undefined
}

function reader(take?: (available: number) => number): Reading {
  const reading: Reading = {
    received: Buffer.alloc(0),
    closed: undefined,
    onBytes: (bytes, start, end) => {
      const count = take?.(end - start) ?? end - start
      reading.received = Buffer.concat([reading.received, bytes.subarray(start, start + count)])
      return start + count
    },
    onClose: (error) => (reading.closed = error ?? 'by peer'),
  }
  return reading
}

async function open(
  address: string,
  reading: LineReader,
  tls: TlsSettings = {},
  timeoutMs = 2000,
  signal?: AbortSignal,
): Promise<Line> {
  const settings = { address: parseServerAddress(address), timeoutMs, tls }
  const line = await openLine(settings, reading, signal)
  lines.push(line)
  return line
}

const DATA = randomBytes(3_000_000)
const serve = (socket: Socket): void => {
  socket.on('error', () => undefined)
  socket.end(DATA)
}

test.each([
  ['IPv4', '127.0.0.1', '127.0.0.1'],
  ['IPv6', '::1', '[::1]'],
  ['a name', '127.0.0.1', 'localhost'],
])('bytes come whole over %s', async (_, host, name) => {
  const port = await listen(serve, { host })
  const reading = reader()
  await open(`${name}:${port}`, reading)
  await waitFor(() => reading.closed !== undefined, { what: 'the end' })
  expect(reading.closed).toBe('by peer')
  expect(reading.received.equals(DATA)).toBe(true)
})

test('bytes come whole over a unix socket', async () => {
  const path = join(dir, 'a.sock')
  await listen(serve, { path })
  const reading = reader()
  const line = await open(`unix://${path}`, reading)
  await waitFor(() => reading.closed !== undefined, { what: 'the end' })
  expect(reading.received.equals(DATA)).toBe(true)
  expect(line.name).toBe(`unix://${path}`)
})

test.each(['tcp', 'tls'])('what is left unread is offered again (%s)', async (kind) => {
  const port = await listen(serve, kind === 'tls' ? { tls: {} } : {})
  // Takes blocks of 700,000 only, and what is left at the end.
  let left = DATA.length
  const reading = reader((available) => {
    const block = Math.min(700_000, left)
    if (available < block) return 0
    left -= block
    return block
  })
  const scheme = kind === 'tls' ? 'rediss' : 'redis'
  await open(`${scheme}://localhost:${port}`, reading, { ca: readFileSync(certificates.ca) })
  await waitFor(() => reading.closed !== undefined, { what: 'the end' })
  expect(reading.received.equals(DATA)).toBe(true)
})

test.each(['tcp', 'tls'])('a paused line is not read (%s)', async (kind) => {
  const port = await listen(serve, kind === 'tls' ? { tls: {} } : {})
  const opened: Line[] = []
  let pauses = 0
  let offers = 0
  const reading = reader((available) => {
    offers += 1
    expect(pauses).toBe(offers - 1)
    opened[0]?.pause()
    setTimeout(() => {
      pauses += 1
      opened[0]?.resume()
    }, 2)
    return available
  })
  const scheme = kind === 'tls' ? 'rediss' : 'redis'
  const tls = { ca: readFileSync(certificates.ca) }
  opened.push(await open(`${scheme}://localhost:${port}`, reading, tls))
  await waitFor(() => reading.closed !== undefined, { what: 'the end' })
  expect(reading.received.equals(DATA)).toBe(true)
  expect(offers).toBeGreaterThan(2)
})

test('a reader that leaves a full buffer is a bug, not a hang', async () => {
  const port = await listen((socket) => {
    socket.on('error', () => undefined)
    socket.write(Buffer.alloc(LINE_BUFFER_BYTES + 1))
  })
  const reading = reader(() => 0)
  await open(`127.0.0.1:${port}`, reading)
  await waitFor(() => reading.closed !== undefined, { what: 'the fault' })
  expect(reading.closed).toMatchObject({ code: 'ERR_INTERNAL' })
})

test('what a reader throws closes the line', async () => {
  const port = await listen(serve)
  const reading = reader(() => {
    throw new Error('no')
  })
  await open(`127.0.0.1:${port}`, reading)
  await waitFor(() => reading.closed !== undefined, { what: 'the fault' })
  expect(reading.closed).toMatchObject({ message: 'no' })
})

test('a reset is a lost link that may come back', async () => {
  const accepted: Socket[] = []
  const port = await listen((socket) => void accepted.push(socket))
  const reading = reader()
  await open(`127.0.0.1:${port}`, reading)
  await waitFor(() => accepted.length === 1, { what: 'the other side' })
  accepted[0]?.resetAndDestroy()
  await waitFor(() => reading.closed !== undefined, { what: 'the reset' })
  expect(reading.closed).toMatchObject({ code: 'ERR_LINK_LOST', retriable: true })
})

test('a certificate is verified against the authorities named, and against the name', async () => {
  const port = await listen(serve, { tls: {} })
  const ca = readFileSync(certificates.ca)
  const otherCa = readFileSync(certificates.otherCa)
  const refused = async (address: string, tls: TlsSettings): Promise<LinkError> => {
    const error: unknown = await open(address, reader(), tls).catch((caught: unknown) => caught)
    expect(error).toBeInstanceOf(LinkError)
    return error as LinkError
  }
  const unknown = await refused(`rediss://localhost:${port}`, {})
  expect(unknown).toMatchObject({ code: 'ERR_TLS', retriable: false })
  expect(unknown.hint).toContain('`caFile`')
  expect((await refused(`rediss://localhost:${port}`, { ca: otherCa })).code).toBe('ERR_TLS')
  const name = await refused(`rediss://localhost:${port}`, { ca, sni: 'elsewhere.test' })
  expect(name.hint).toContain('`sni`')
  await open(`rediss://localhost:${port}`, reader(), { ca })
  await open(`rediss://127.0.0.1:${port}`, reader(), { ca })
  await open(`rediss://127.0.0.1:${port}`, reader(), { ca, sni: 'redis.test' })
  await open(`rediss://localhost:${port}`, reader(), { insecure: true })
})

test('a server may want a client certificate', async () => {
  const ca = readFileSync(certificates.ca)
  const port = await listen(serve, { tls: { ca, requestCert: true, rejectUnauthorized: true } })
  const reading = reader()
  await open(`rediss://localhost:${port}`, reading, {
    ca,
    cert: readFileSync(certificates.clientCert),
    key: readFileSync(certificates.clientKey),
  })
  await waitFor(() => reading.closed !== undefined, { what: 'the end' })
  expect(reading.received.equals(DATA)).toBe(true)

  // In TLS 1.3 the refusal comes behind the handshake.
  const refused = reader()
  const opened = await open(`rediss://localhost:${port}`, refused, { ca }).catch(
    (error: unknown) => error,
  )
  await waitFor(() => refused.closed !== undefined || opened instanceof LinkError, {
    what: 'the refusal',
  })
  expect(refused.received).toHaveLength(0)
})

test('nobody there, no such name, no such socket', async () => {
  const port = await listen(serve)
  servers.pop()?.close()
  await expect(open(`127.0.0.1:${port}`, reader())).rejects.toMatchObject({
    code: 'ERR_CONNECT_REFUSED',
    retriable: true,
  })
  await expect(open('nowhere.invalid:1', reader())).rejects.toMatchObject({
    code: 'ERR_HOST_NOT_FOUND',
  })
  await expect(open(`unix://${join(dir, 'none.sock')}`, reader())).rejects.toMatchObject({
    code: 'ERR_CONNECT',
    retriable: false,
  })
})

test('TLS to a server without it is told, and does not hang', async () => {
  const port = await listen((socket) => void socket.end('-ERR Protocol error\r\n'))
  await expect(open(`rediss://127.0.0.1:${port}`, reader())).rejects.toMatchObject({
    code: 'ERR_TLS',
  })
})

test('connecting has a time limit, and can be aborted', async () => {
  // Accepts, but never answers the TLS greeting.
  const accepted: Socket[] = []
  const port = await listen((socket) => {
    socket.on('error', () => undefined)
    accepted.push(socket)
  })
  await expect(open(`rediss://127.0.0.1:${port}`, reader(), {}, 150)).rejects.toMatchObject({
    code: 'ERR_TIMEOUT',
    retriable: true,
  })
  const controller = new AbortController()
  const opening = open(`rediss://127.0.0.1:${port}`, reader(), {}, 5000, controller.signal)
  opening.catch(() => undefined)
  await waitFor(() => accepted.length === 2, { what: 'the connection' })
  controller.abort()
  await expect(opening).rejects.toBeInstanceOf(AbortedError)
})
