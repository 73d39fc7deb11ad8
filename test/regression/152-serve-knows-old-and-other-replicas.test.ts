/** A replica that cannot load the snapshot keeps its data: it is refused before a byte is sent. */
import { createServer, connect, type Server } from 'node:net'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { writerOf } from '../../src/rdb/head.js'
import { startServing, type Serving } from '../helpers/serving.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-old-'))
let serving: Serving

/** Small RDBs of these versions: the magic, one AUX field, one key, the end without a checksum. */
function rdb(version: string, aux: string, value: string): Buffer {
  const text = (each: string): string => String.fromCharCode(each.length) + each
  const key = '\x00\x01k\x01v'
  const head = `REDIS${version}\xfa${text(aux)}${text(value)}`
  return Buffer.from(`${head}\xfe\x00${key}\xff\0\0\0\0\0\0\0\0`, 'latin1')
}

/** Functions are what RDB 10 brought, so no lower number can be put on this. */
const NEEDS_10 = Buffer.concat([
  Buffer.from('REDIS0010\xfa\x09redis-ver\x067.0.15\xf5\x1d', 'latin1'),
  Buffer.from("#!lua name=a\nreturn tostring('')".slice(0, 29), 'latin1'),
  Buffer.from('\xfe\x00\x00\x01k\x01v\xff\0\0\0\0\0\0\0\0', 'latin1'),
])

beforeAll(async () => {
  const file = join(dir, 'dump.rdb')
  writeFileSync(file, NEEDS_10)
  serving = await startServing({ source: { kind: 'file', path: file } })
})

afterAll(async () => {
  await serving.stop()
  rmSync(dir, { recursive: true, force: true })
})

/** A server that answers INFO as this one does, asks us for a sync, and tells what it was sent. */
async function syncAs(info: (request: string) => string, handshake: string): Promise<string> {
  const server: Server = createServer((socket) => {
    socket.on('data', (chunk) => socket.write(info(chunk.toString('latin1'))))
    socket.on('error', () => undefined)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const socket = connect(serving.port, '127.0.0.1')
  let sent = ''
  socket.on('data', (chunk: Buffer) => {
    sent += chunk.toString('latin1')
    if (sent.includes('REDIS')) socket.destroy()
  })
  socket.write(`REPLCONF listening-port ${port}\r\n${handshake}`)
  await new Promise((resolve) => socket.once('close', resolve))
  server.close()
  return sent
}

const INFO_2_4 =
  'redis_version:2.4.18\r\nredis_git_sha1:00000000\r\nredis_git_dirty:0\r\narch_bits:64\r\n' +
  'multiplexing_api:epoll\r\ngcc_version:12.2.0\r\nprocess_id:7\r\nuptime_in_seconds:3\r\n'
const bulk = (text: string): string => `$${text.length}\r\n${text}\r\n`

test('Redis 2.4, which knows no sections of INFO, is recognised and not sent RDB 10', async () => {
  const sent = await syncAs(
    (request) =>
      request.includes('server')
        ? "-ERR wrong number of arguments for 'info' command\r\n"
        : bulk(INFO_2_4),
    'SYNC\r\n',
  )
  expect(sent).toContain('redis 2.4.18 loads up to RDB 2')
  expect(sent).not.toContain('REDIS0010')
})

test('a replica of unknown version is not sent more than its handshake proves', async () => {
  const sent = await syncAs(
    () => '-NOAUTH Authentication required.\r\n',
    'REPLCONF capa eof capa psync2\r\nPSYNC ? -1\r\n',
  )
  expect(sent).toContain('version is not known')
  expect(sent).not.toContain('REDIS0010')
})

test('Redict is known by its own version, as the writer of a dump and as a replica', async () => {
  expect(writerOf(rdb('0012', 'redict-ver', '7.3.6'))).toEqual({
    family: 'redict',
    version: '7.3.6',
  })
  const file = join(dir, 'redict.rdb')
  writeFileSync(file, rdb('0012', 'redict-ver', '7.3.6'))
  const info =
    '# Server\r\nredis_version:7.2.4\r\nredict_version:7.3.6\r\nredis_mode:standalone\r\n' +
    'os:Linux\r\nprocess_id:7\r\nrun_id:x\r\n'
  const redict = await startServing({ source: { kind: 'file', path: file } })
  const before = serving
  serving = redict
  try {
    const sent = await syncAs(() => bulk(info), 'REPLCONF capa eof capa psync2\r\nPSYNC ? -1\r\n')
    // As it is, not under a lower number.
    expect(sent).toContain('REDIS0012')
  } finally {
    serving = before
    await redict.stop()
  }
})
