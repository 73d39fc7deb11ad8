/** Snapshots in Valkey's compressed envelope: replayed, compared and served like any other. */
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { encodeCommand } from '../../src/resp/encoder.js'
import { runCli } from '../helpers/cli.js'
import { plainFrame, VCS } from '../helpers/envelope.js'
import { digest, startServer, waitFor, type TestServer } from '../helpers/servers.js'
import { follow, startServing } from '../helpers/serving.js'

let source: TestServer
let target: TestServer
let dir: string
let plain: string
let packed: string
let withCommands: string

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'rrep-envelope-'))
  source = await startServer()
  target = await startServer()
  const pipeline = source.client.pipeline()
  for (let i = 0; i < 20_000; i += 1) pipeline.set(`key:${i}`, `value ${i}`)
  pipeline.rpush('list', 'a', 'b')
  await pipeline.exec()
  await source.client.save()
  plain = join(dir, 'plain.rdb')
  packed = join(dir, 'packed.rdb')
  withCommands = join(dir, 'commands.rdb')
  copyFileSync(join(source.dir, 'dump.rdb'), plain)
  const envelope = Buffer.concat([VCS, plainFrame(readFileSync(plain))])
  writeFileSync(packed, envelope)
  const commands = [['SELECT', '0'], ['RPUSH', 'list', 'c'], ['DEL', 'key:1']] // prettier-ignore
  writeFileSync(
    withCommands,
    Buffer.concat([envelope, ...commands.map((each) => encodeCommand(...each))]),
  )
})
afterAll(async () => {
  await source.stop()
  await target.stop()
  rmSync(dir, { recursive: true, force: true })
})

test('replay and diff', async () => {
  await target.client.flushall()
  const to = `127.0.0.1:${target.port}`
  const done = await runCli(['replay', packed, to, '--verify'])
  expect(done.err).toContain('verified: source and target are the same')
  expect(done.code).toBe(0)
  expect(await digest(target)).toBe(await digest(source))
  expect((await runCli(['diff', packed, plain])).code).toBe(0)
  const more = await runCli(['diff', withCommands, to])
  expect(more.out.split('\n').sort()).toEqual(['', 'only in B       db0 key:1', 'value           db0 list']) // prettier-ignore
  await target.client.flushall()
  expect((await runCli(['replay', withCommands, to, '--verify'])).code).toBe(0)
  expect(await target.client.lrange('list', 0, -1)).toEqual(['a', 'b', 'c'])
  expect(await target.client.exists('key:1')).toBe(0)
})

test('serve unpacks it for its replicas, with the commands behind it', async () => {
  for (const [path, elements] of [
    [packed, 2],
    [withCommands, 3],
  ] as const) {
    const serving = await startServing({ source: path })
    const replica = await startServer()
    try {
      await follow(replica, serving.port)
      await waitFor(async () => (await replica.client.llen('list')) === elements, {
        what: 'the commands behind the snapshot',
      })
      const keys = 20_001 - (elements - 2)
      await waitFor(async () => (await replica.client.dbsize()) === keys, { what: 'all keys' })
    } finally {
      await replica.stop()
      await serving.stop()
    }
  }
})

test('one that stops short is exit 6, replayed or served', async () => {
  const cut = join(dir, 'cut.rdb')
  writeFileSync(cut, readFileSync(packed).subarray(0, -200))
  await target.client.flushall()
  expect((await runCli(['replay', cut, `127.0.0.1:${target.port}`])).code).toBe(6)
  expect((await runCli(['serve', cut, '--listen', '127.0.0.1:0'])).code).toBe(6)
})
