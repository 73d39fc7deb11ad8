/** `sync` from real servers of every kind: what it writes loads, and holds what they held. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { sync, type SyncResult } from '../../src/verbs/sync/run.js'
import { makeServerSettings, type ServerWishes } from '../../src/net/make-server-settings.js'
import { makeCertificates, type TestCertificates } from '../helpers/certificates.js'
import { runCli } from '../helpers/cli.js'
import {
  digest,
  freePort,
  serverBinaries,
  startServer,
  waitFor,
  type StartOptions,
  type TestServer,
} from '../helpers/servers.js'

let dir: string
let certificates: TestCertificates
const running: TestServer[] = []

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'rrep-sync-'))
  certificates = makeCertificates()
})

afterEach(async () => {
  for (const server of running.splice(0)) await server.stop()
})

afterAll(() => {
  certificates.remove()
  rmSync(dir, { recursive: true, force: true })
})

async function start(options: StartOptions = {}): Promise<TestServer> {
  const server = await startServer(options)
  running.push(server)
  return server
}

/** Some of each type, in two databases; database 9 is left to the writer. */
async function fill(server: TestServer): Promise<void> {
  for (const db of [0, 3]) {
    const client = server.newClient(db)
    const pipeline = client.pipeline()
    for (let i = 0; i < 500; i += 1) {
      pipeline.set(`string:${i}`, `value ${i} `.repeat(i % 40))
      pipeline.hset(`hash:${i}`, { a: i, b: 'x'.repeat(i) })
      pipeline.rpush(`list:${i % 50}`, i, `element ${i}`)
      pipeline.sadd(`set:${i % 50}`, i, `member ${i}`)
      pipeline.zadd(`zset:${i % 50}`, i * 1.5, `member ${i}`)
      pipeline.xadd(`stream:${i % 20}`, `1-${i + 1}`, 'field', `value ${i}`)
    }
    pipeline.set(Buffer.from([0, 255, 13, 10]), Buffer.from([0xff, 0, 0xfe]))
    pipeline.set('expiring', 'soon', 'EX', 100_000)
    await pipeline.exec()
  }
}

/** Writes to database 9 until stopped. */
function startWriter(server: TestServer): () => Promise<number> {
  const client = server.newClient(9)
  let stopped = false
  let written = 0
  const writing = (async () => {
    while (!stopped) {
      const pipeline = client.pipeline()
      for (let i = 0; i < 50; i += 1) {
        pipeline.set(`w:${written % 1000}`, 'x'.repeat(100))
        written += 1
      }
      await pipeline.exec()
    }
  })()
  return async () => {
    stopped = true
    await writing
    return written
  }
}

async function syncFrom(
  address: string,
  file: string,
  wishes: ServerWishes = {},
): Promise<SyncResult> {
  return await sync(makeServerSettings(address, { timeoutMs: 10_000, ...wishes }), {
    output: file,
    retries: 3,
  })
}

/** DEBUG DIGEST without database 9, of a server and of one that loaded the dump. */
async function expectSameData(source: TestServer, file: string): Promise<void> {
  const loaded = mkdtempSync(join(tmpdir(), 'rrep-load-'))
  renameSync(file, join(loaded, 'dump.rdb'))
  const target = await start({ binary: source.binary, dir: loaded })
  for (const server of [source, target]) await server.newClient(9).flushdb()
  expect(await digest(target)).toBe(await digest(source))
  expect(await target.client.dbsize()).toBeGreaterThan(500)
  rmSync(loaded, { recursive: true, force: true })
}

test.each(serverBinaries().map((binary) => [binary.name, binary] as const))(
  '%s: with a writer at work, disk-based and diskless',
  async (_, binary) => {
    const server = await start({ binary })
    await fill(server)
    const stopWriter = startWriter(server)
    for (const diskless of ['no', 'yes'] as const) {
      await server.client.config('SET', 'repl-diskless-sync', diskless)
      const file = join(dir, `${binary.name}-${diskless}.rdb`)
      const result = await syncFrom(`127.0.0.1:${server.port}`, file)
      expect(result).toMatchObject({
        source: `127.0.0.1:${server.port}`,
        file,
        bytes: statSync(file).size,
        fileBytes: statSync(file).size,
        transfer: diskless === 'yes' ? 'eof' : 'disk',
        checksum: 'ok',
        serverVersion: binary.version,
      })
      const magic = readFileSync(file).toString('latin1', 0, 9)
      expect(magic).toMatch(binary.name.startsWith('valkey-9') ? /^VALKEY0/ : /^REDIS00/)
      expect(result.replid).toMatch(/^[0-9a-f]{40}$/)
      expect(statSync(file).mode & 0o777).toBe(0o600)
      if (diskless === 'yes') {
        expect(await stopWriter()).toBeGreaterThan(0)
        await expectSameData(server, file)
      }
    }
  },
)

test('a password, an ACL user with the smallest rights, and without them', async () => {
  const server = await start({ args: ['--requirepass', 'hush'], password: 'hush' })
  const address = `127.0.0.1:${server.port}`
  await server.client.set('a', 'b')
  const file = join(dir, 'acl.rdb')
  await syncFrom(`redis://:hush@${address}`, file)
  await expect(syncFrom(address, file)).rejects.toMatchObject({ code: 'ERR_NOAUTH' })
  await expect(syncFrom(address, file, { password: 'no' })).rejects.toMatchObject({
    code: 'ERR_WRONGPASS',
  })
  // What the message proposes is what the test sets.
  const refused = await runCli(['sync', address, '--user', 'backup', '-o', file], {
    env: { REDISCLI_AUTH: 'pw' },
  })
  expect(refused.code).toBe(4)
  await server.client.call('ACL', 'SETUSER', 'backup', 'on', '>pw', '+ping', '+replconf')
  const denied = await runCli(['sync', address, '--user', 'backup', '-o', file], {
    env: { REDISCLI_AUTH: 'pw' },
  })
  expect(denied.code).toBe(4)
  expect(denied.err).not.toContain('pw ')
  const proposal = /ACL SETUSER backup on >PASSWORD (.*)/.exec(denied.err)?.[1] ?? ''
  expect(proposal.split(' ')).toEqual(['+psync', '+replconf', '+ping'])
  await server.client.call('ACL', 'SETUSER', 'backup', 'reset', 'on', '>pw', ...proposal.split(' '))
  const passwordFile = join(dir, 'pw')
  writeFileSync(passwordFile, 'pw\n')
  const allowed = await runCli(
    ['sync', address, '--user', 'backup', '--password-file', passwordFile, '-o', file],
    {},
  )
  expect(allowed).toMatchObject({ code: 0 })
  expect(allowed.err).toContain('checksum ok')
})

test('TLS: verified, with a client certificate, and with --insecure said aloud', async () => {
  const port = await freePort()
  const server = await start({
    args: [
      ...['--tls-port', String(port), '--tls-cert-file', certificates.cert],
      ...['--tls-key-file', certificates.key, '--tls-ca-cert-file', certificates.ca],
    ],
  })
  await fill(server)
  const file = join(dir, 'tls.rdb')
  const files = { certFile: certificates.clientCert, keyFile: certificates.clientKey }
  await syncFrom(`rediss://localhost:${port}`, file, { ...files, caFile: certificates.ca })
  await expectSameData(server, file)
  await expect(syncFrom(`rediss://localhost:${port}`, file, files)).rejects.toMatchObject({
    code: 'ERR_TLS',
  })
  await expect(
    syncFrom(`rediss://localhost:${port}`, file, { caFile: certificates.ca }),
  ).rejects.toMatchObject({ code: expect.stringMatching(/ERR_TLS|ERR_LINK_LOST/) as string })
  const insecure = await runCli([
    ...['sync', `localhost:${port}`, '--insecure', '--cert', certificates.clientCert],
    ...['--key', certificates.clientKey, '-o', file],
  ])
  expect(insecure.code).toBe(0)
  expect(insecure.err).toContain('the certificate is not checked')
  // Plain words to a port that speaks TLS.
  await expect(
    sync(makeServerSettings(`localhost:${port}`, { timeoutMs: 2000 }), {
      output: file,
      retries: 0,
    }),
  ).rejects.toMatchObject({ hint: expect.stringContaining('`tls`') as string })
})

test('a unix socket, and a database in the address that changes nothing', async () => {
  const server = await start()
  await fill(server)
  const file = join(dir, 'unix.rdb')
  const result = await syncFrom(`unix://${server.socketPath}?db=3`, file)
  expect(result.source).toBe(`unix://${server.socketPath}`)
  await expectSameData(server, file)
})

test('a replica of a replica gives the same history; one without its master does not', async () => {
  const top = await start()
  await fill(top)
  const middle = await start({ args: ['--replicaof', '127.0.0.1', String(top.port)] })
  const last = await start({ args: ['--replicaof', '127.0.0.1', String(middle.port)] })
  await waitFor(async () => (await last.client.info()).includes('master_link_status:up'), {
    what: 'the chain',
  })
  const file = join(dir, 'chain.rdb')
  const result = await syncFrom(`127.0.0.1:${last.port}`, file)
  const info = await top.client.info('replication')
  expect(result.replid).toBe(/master_replid:(\w+)/.exec(info)?.[1])
  await expectSameData(top, file)
  await middle.kill()
  await waitFor(async () => (await last.client.info()).includes('master_link_status:down'), {
    what: 'the loss of the master',
  })
  await expect(
    sync(makeServerSettings(`127.0.0.1:${last.port}`), { output: file, retries: 0 }),
  ).rejects.toMatchObject({ code: 'ERR_NOMASTERLINK', retriable: true })
})

test('without a checksum the structure is walked, framed either way', async () => {
  const server = await start({ args: ['--rdbchecksum', 'no'] })
  await fill(server)
  for (const diskless of ['no', 'yes']) {
    await server.client.config('SET', 'repl-diskless-sync', diskless)
    const file = join(dir, 'no-checksum.rdb')
    const result = await syncFrom(`127.0.0.1:${server.port}`, file)
    expect(result.checksum).toBe('absent')
    await expectSameData(server, file)
  }
})

test('a master whose save fails', async () => {
  const server = await start()
  await fill(server)
  // Saves take their time, so that the kill meets one.
  await server.client.config('SET', 'rdb-key-save-delay', '2000')
  await server.client.config('SET', 'repl-diskless-sync', 'no')
  const file = join(dir, 'failing.rdb')
  writeFileSync(file, 'old')
  const failing = sync(makeServerSettings(`127.0.0.1:${server.port}`), { output: file, retries: 0 })
  failing.catch(() => undefined)
  await waitFor(async () => (await server.client.info()).includes('rdb_bgsave_in_progress:1'), {
    what: 'the save',
  })
  await server.client.config('SET', 'rdb-key-save-delay', '0')
  // Only the child that saves has this master as its parent.
  const pid = execFileSync('pgrep', ['-P', String(server.pid)], { encoding: 'utf8' }).trim()
  process.kill(Number(pid.split('\n')[0]), 'SIGKILL')
  await expect(failing).rejects.toMatchObject({ code: 'ERR_LINK_LOST' })
  const error: unknown = await failing.catch((caught: unknown) => caught)
  expect(String(error)).toContain('the last save of the master failed')
  expect(readFileSync(file, 'utf8')).toBe('old')
})

test('a master that is killed, restarted, or drops us in the middle says most likely why', async () => {
  const server = await start()
  await fill(server)
  const file = join(dir, 'dropped.rdb')
  const args = ['sync', `127.0.0.1:${server.port}`, '-o', file, '--retries', '0']
  const dropped = async (drop: () => Promise<void>): Promise<string> => {
    // Diskless, a key a millisecond: the payload is under way when it is dropped.
    await server.client.config('SET', 'rdb-key-save-delay', '1000')
    const running = runCli(args)
    await waitFor(async () => await saving(server), { what: 'the transfer' })
    await drop()
    const result = await running
    expect(result.code).toBe(3)
    return result.err
  }
  // The longer the sync has lasted, the surer the sign.
  const restarted = await dropped(async () => {
    await server.client.call('DEBUG', 'SLEEP', '1.2')
    await server.kill()
    await server.restart()
  })
  expect(restarted).toMatch(/the server was restarted|does not answer any more/)
  await fill(server)
  // Older than the sync by more than a rounded second.
  await waitFor(async () => /uptime_in_seconds:([3-9]|\d\d)/.test(await server.client.info()), {
    what: 'three seconds of uptime',
  })
  const killed = await dropped(async () => {
    await server.client.call('CLIENT', 'KILL', 'TYPE', 'replica')
  })
  expect(killed).toContain('the master shows no reason')
  await waitFor(async () => !(await saving(server)), { what: 'the end of that save' })
  const dead = await dropped(async () => await server.kill())
  expect(dead).toContain('the server does not answer any more')
})

async function saving(server: TestServer): Promise<boolean> {
  return (await server.client.info()).includes('rdb_bgsave_in_progress:1')
}

test('the object of --json, names with places, compression and a pipe', async () => {
  const server = await start()
  await fill(server)
  const address = `127.0.0.1:${server.port}`
  const json = await runCli(['sync', address, '--json', '-o', join(dir, '{host}-{port}-%Y.rdb')])
  const file = join(dir, `127.0.0.1-${server.port}-${new Date().getFullYear()}.rdb`)
  expect(json.code).toBe(0)
  const object = JSON.parse(json.out) as Record<string, unknown>
  expect(Object.keys(object)).toEqual([
    ...['event', 'source', 'file', 'bytes', 'fileBytes', 'replid', 'replOffset', 'rdbVersion'],
    ...['serverVersion', 'transfer', 'checksum', 'waitMs', 'transferMs'],
  ])
  expect(object).toMatchObject({ event: 'synced', source: address, file, checksum: 'ok' })
  expect(json.err).toBe('')

  const packed = join(dir, 'packed.rdb.gz')
  const gzip = await runCli(['sync', address, '--compress', 'gzip:1', '--json', '-o', packed])
  const unpacked = gunzipSync(readFileSync(packed))
  expect(JSON.parse(gzip.out)).toMatchObject({
    bytes: unpacked.length,
    fileBytes: statSync(packed).size,
  })
  const unpackedFile = join(dir, 'unpacked.rdb')
  writeFileSync(unpackedFile, unpacked)
  await expectSameData(server, unpackedFile)

  const pipe = await runCli(['sync', address, '--json', '-o', '-'])
  expect(JSON.parse(pipe.err)).toMatchObject({ file: '-', bytes: pipe.stdout.length })
  const pipeFile = join(dir, 'pipe.rdb')
  writeFileSync(pipeFile, pipe.stdout)
  await expectSameData(server, pipeFile)

  const quiet = await runCli(['sync', address, '-q', '-o', join(dir, 'quiet.rdb')])
  expect(quiet).toMatchObject({ code: 0, out: '', err: '' })
  const plain = await runCli(['sync', address, '-o', join(dir, 'plain.rdb')])
  expect(plain.out).toBe('')
  expect(plain.err.trimEnd().split('\n')).toHaveLength(1)
})
