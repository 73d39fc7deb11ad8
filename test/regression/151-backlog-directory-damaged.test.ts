/** Whatever became of the files in a relay's directory, no replica is given a wrong byte, and
 * nobody goes round in full resyncs. */
import {
  appendFileSync,
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startServer, waitFor, type TestServer } from '../helpers/servers.js'
import { replicationInfo, startServing, syncCounts, upstreamOf } from '../helpers/serving.js'

const root = mkdtempSync(join(tmpdir(), 'rrep-damage-'))
const sound = join(root, 'sound')
let master: TestServer
let replica: TestServer

const settings = (dir: string): Parameters<typeof startServing>[0] => ({
  source: { kind: 'server', server: upstreamOf(master) },
  backlogDir: dir,
  backlogBytes: 16 << 20,
})

beforeAll(async () => {
  master = await startServer({
    args: ['--repl-backlog-size', '64mb', '--repl-diskless-sync-delay', '0'],
  })
  replica = await startServer()
  await master.client.set('before', 'x'.repeat(100_000))
  const relay = await startServing(settings(sound))
  await waitFor(() => relay.count('upstream-snapshot') === 1, { what: 'the snapshot' })
  for (let index = 0; index < 4000; index += 1) {
    void master.client.set(`key:${index % 500}`, `${index}:`.padEnd(1200, 'v'))
  }
  await master.client.incr('counter')
  const end = (await replicationInfo(master)).replOffset
  await replica.client.call('REPLICAOF', '127.0.0.1', String(relay.port))
  await waitFor(() => hasAll(end), {
    what: 'the relay to have it all',
  })
  await relay.stop()
})

afterAll(async () => {
  await Promise.all([master.stop(), replica.stop()])
  rmSync(root, { recursive: true, force: true })
})

async function hasAll(end: number): Promise<boolean> {
  const { linkUp, replOffset } = await replicationInfo(replica)
  return linkUp && replOffset >= end
}

const named = (dir: string, end: string): string[] =>
  readdirSync(dir)
    .filter((name) => name.endsWith(end))
    .sort()
    .map((name) => join(dir, name))

function change(path: string, edit: (bytes: Buffer) => void): void {
  const bytes = readFileSync(path)
  edit(bytes)
  writeFileSync(path, bytes)
}

const middleOf = (path: string): number => statSync(path).size >> 1
const flip = (path: string): void => change(path, (bytes) => void (bytes[bytes.length >> 1]! ^= 1))
const zero = (path: string): void =>
  change(path, (bytes) => void bytes.fill(0, bytes.length >> 1, (bytes.length >> 1) + 4096))
const swap = (first: string, second: string): void => {
  renameSync(first, `${first}.x`)
  renameSync(second, first)
  renameSync(`${first}.x`, second)
}

/** What is done to a copy of the directory; whether it must be told. */
const DAMAGES: Readonly<Record<string, [isTold: boolean, harm: (dir: string) => void]>> = {
  'nothing at all': [false, () => undefined],
  'a segment cut': [true, (dir) => truncateSync(named(dir, '.stream')[1]!, 12_345)],
  'the last segment cut': [
    true,
    (dir) => {
      const last = named(dir, '.stream').at(-1)!
      truncateSync(last, middleOf(last))
    },
  ],
  'zeros in a segment': [true, (dir) => zero(named(dir, '.stream')[1]!)],
  'zeros at the end of the last segment': [
    true,
    (dir) => change(named(dir, '.stream').at(-1)!, (bytes) => void bytes.subarray(-3000).fill(0)),
  ],
  'a flipped bit in each segment': [true, (dir) => named(dir, '.stream').forEach(flip)],
  'a segment grown': [
    false,
    (dir) => appendFileSync(named(dir, '.stream').at(-1)!, '*1\r\n$8\r\nFLUSHALL\r\n'),
  ],
  'two segments swapped': [
    true,
    (dir) => {
      for (const end of ['.stream', '.sums']) swap(named(dir, end)[0]!, named(dir, end)[1]!)
    },
  ],
  'a segment removed': [true, (dir) => rmSync(named(dir, '.stream')[1]!)],
  'the sums removed': [true, (dir) => named(dir, '.sums').forEach((path) => rmSync(path))],
  'a flipped bit in the sums': [true, (dir) => flip(named(dir, '.sums')[1]!)],
  'a flipped bit in the snapshot': [true, (dir) => flip(named(dir, '.rdb')[0]!)],
  'the snapshot cut': [
    true,
    (dir) => truncateSync(named(dir, '.rdb')[0]!, middleOf(named(dir, '.rdb')[0]!)),
  ],
  'the snapshot removed': [false, (dir) => rmSync(named(dir, '.rdb')[0]!)],
  'a digit changed in the state': [
    true,
    (dir) =>
      change(join(dir, 'relay.json'), (bytes) => {
        const at = bytes.indexOf('"replid":"') + 10
        bytes[at] = bytes[at] === 0x61 ? 0x62 : 0x61
      }),
  ],
  'the state removed': [false, (dir) => rmSync(join(dir, 'relay.json'))],
}

for (const [name, [isTold, harm]] of Object.entries(DAMAGES)) {
  test(`${name}: the replica is the same as the master after one full resync`, async () => {
    const dir = mkdtempSync(join(root, 'copy-'))
    cpSync(sound, dir, { recursive: true })
    expect(named(dir, '.stream').length).toBeGreaterThan(3)
    harm(dir)
    const before = (await syncCounts(master)).full
    const relay = await startServing(settings(dir))
    try {
      await replica.client.call('REPLICAOF', 'NO', 'ONE')
      await replica.client.flushall()
      await replica.client.call('REPLICAOF', '127.0.0.1', String(relay.port))
      await master.client.incr('counter')
      const end = (await replicationInfo(master)).replOffset
      await waitFor(() => hasAll(end), {
        what: 'the replica to have it all',
      })
      const digest = await master.client.call('DEBUG', 'DIGEST')
      expect(await replica.client.call('DEBUG', 'DIGEST')).toBe(digest)
      expect(relay.count('full-resync')).toBe(1)
      expect((await syncCounts(master)).full - before).toBeLessThanOrEqual(1)
      expect(relay.count('backlog-damaged') > 0).toBe(isTold)
    } finally {
      await relay.stop()
    }
  })
}

test('damage that comes while the relay runs is noticed before a replica is given it', async () => {
  const dir = join(root, 'running')
  cpSync(sound, dir, { recursive: true })
  const relay = await startServing(settings(dir))
  try {
    await waitFor(() => relay.count('upstream-continued') === 1, { what: 'the link' })
    named(dir, '.stream').slice(0, -1).forEach(flip)
    await replica.client.call('REPLICAOF', 'NO', 'ONE')
    await replica.client.call('REPLICAOF', '127.0.0.1', String(relay.port))
    await master.client.incr('counter')
    const end = (await replicationInfo(master)).replOffset
    await waitFor(() => hasAll(end), {
      what: 'the replica to have it all',
    })
    const digest = await master.client.call('DEBUG', 'DIGEST')
    expect(await replica.client.call('DEBUG', 'DIGEST')).toBe(digest)
    expect(relay.count('backlog-damaged')).toBeGreaterThan(0)
    expect(relay.count('full-resync')).toBeLessThan(5)
  } finally {
    await relay.stop()
  }
})
