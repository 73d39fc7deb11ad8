/** What happened to a key, against what a server itself was after each command. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { archive, history, undoCommand, type HistoryEntry } from '../../src/index.js'
import { runCli } from '../helpers/cli.js'
import { startServer, waitFor, type TestServer } from '../helpers/servers.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-history-'))
const path = join(dir, 'archive')
const KEYS = ['k', 'a', 'b', 'odd [*]\n']
let source: TestServer
/** By offset: DEBUG DIGEST-VALUE of k, and its expiry, behind each command. */
const wanted = new Map<number, { digest: string; expireAt: number }>()

beforeAll(async () => {
  source = await startServer({ args: ['--repl-diskless-sync-delay', '0'] })
  await source.client.set('k', 'from the snapshot')
  await source.client.sadd('a', 'x', 'y')
  const stop = new AbortController()
  const keeping = archive(`127.0.0.1:${source.port}`, {
    dir: path,
    // What is acknowledged is on disk.
    durable: true,
    signal: stop.signal,
  }).catch((error: unknown) => error)
  await waitFor(async () => (await source.client.info('replication')).includes('state=online'), {
    what: 'the link',
  })
  await remember()
  let seed = 7
  const random = (below: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31
    return Math.floor((seed / 2 ** 31) * below)
  }
  for (let round = 0; round < 300; round += 1) {
    await step(random)
    await remember()
  }
  const last = Math.max(...wanted.keys())
  const acknowledged = async (): Promise<number> =>
    Number(/slave0:.*offset=(\d+)/.exec(await source.client.info('replication'))?.[1] ?? 0)
  await waitFor(async () => (await acknowledged()) >= last, { what: 'the acknowledgement' })
  stop.abort()
  await keeping
  expect(existsSync(path)).toBe(true)
})
afterAll(async () => {
  await source.stop()
  rmSync(dir, { recursive: true, force: true })
})

async function remember(): Promise<void> {
  const [info, digest, expireAt] = await Promise.all([
    source.client.info('replication'),
    source.client.call('DEBUG', 'DIGEST-VALUE', 'k'),
    source.client.call('PEXPIRETIME', 'k'),
  ])
  const offset = Number(/master_repl_offset:(\d+)/.exec(info)![1])
  wanted.set(offset, { digest: String(digest), expireAt: Number(expireAt) })
}

/** One command, or one transaction; some fail, for the type. */
async function step(random: (below: number) => number): Promise<void> {
  const name = (): string => KEYS[random(KEYS.length)]!
  const text = String(random(1000))
  const all: readonly (readonly string[])[] = [
    ['SET', name(), text],
    ['SET', name(), text, 'EX', '5000'],
    ['APPEND', name(), text],
    ['DEL', name()],
    ['RPUSH', name(), text, text],
    ['LPOP', name()],
    ['SADD', name(), text, 'x'],
    ['SUNIONSTORE', name(), name(), name()],
    ['HSET', name(), 'f', text],
    ['EXPIRE', name(), '1000'],
    ['PERSIST', name()],
    ['RENAME', name(), name()],
    ['COPY', name(), name(), 'REPLACE'],
    ['FLUSHDB'],
    ['FLUSHALL'],
    ['INCR', name()],
    ['SORT', name(), 'ALPHA', 'STORE', name()],
    ['SWAPDB', '0', '1'],
    ['MOVE', name(), '1'],
  ]
  const [command, ...args] = all[random(all.length)]!
  await source.client.call(command!, ...args).catch(() => undefined)
}

async function collect(values: boolean): Promise<HistoryEntry[]> {
  const entries: HistoryEntry[] = []
  for await (const entry of history(path, 'k', { values })) entries.push(entry)
  return entries
}

test('the value behind each command is what the server had then', async () => {
  const entries = await collect(true)
  expect(entries.length).toBeGreaterThan(40)
  const target = await startServer()
  let compared = 0
  for (const { offset, value } of entries) {
    const then = wanted.get(offset)
    if (then === undefined) continue
    compared += 1
    await target.client.flushall()
    if (value !== null) {
      const { type, value: content, expireAt } = value!
      const list = Array.isArray(content) ? content.map(String) : []
      if (type === 'string') await target.client.set('k', String(content))
      else if (type === 'list') await target.client.rpush('k', ...list)
      else if (type === 'set') await target.client.sadd('k', ...list)
      else await target.client.hset('k', content as Record<string, string>)
      expect(expireAt ?? -1, `at ${offset}`).toBe(then.expireAt)
      if (expireAt !== null) await target.client.pexpireat('k', expireAt)
    }
    const digest = await target.client.call('DEBUG', 'DIGEST-VALUE', 'k')
    expect(String(digest), `at ${offset}`).toBe(then.digest)
  }
  expect(compared).toBeGreaterThan(30)
  await target.stop()
  // No other command changed it: whoever is not in the list left it as it was.
  const offsets = [...wanted.keys()].sort((a, b) => a - b)
  const touched = new Set(entries.map(({ offset }) => offset))
  for (const [index, offset] of offsets.entries()) {
    if (index === 0 || touched.has(offset)) continue
    expect(wanted.get(offset), `at ${offset}`).toEqual(wanted.get(offsets[index - 1]!))
  }
})

test('undo makes it what it was before', async () => {
  const entries = (await collect(false)).filter(({ offset }) => wanted.has(offset))
  const offsets = [...wanted.keys()].sort((a, b) => a - b)
  const target = await startServer()
  for (const { offset } of [entries[0]!, entries[10]!, entries[25]!, entries.at(-1)!]) {
    const { command } = await undoCommand(path, 'k', { offset })
    await target.client.set('k', 'something else')
    await target.client.call(String(command[0]), ...command.slice(1))
    const before = offsets[offsets.indexOf(offset) - 1]!
    const digest = await target.client.call('DEBUG', 'DIGEST-VALUE', 'k')
    expect(String(digest), `before ${offset}`).toBe(wanted.get(before)!.digest)
  }
  await target.stop()
  await expect(undoCommand(path, 'k', { offset: 3 })).rejects.toThrow('no command that touched')
})

test('on the command line: text, JSON, and what redis-cli reads again', async () => {
  const shown = await runCli(['history', path, 'k', '--values'])
  expect([shown.code, shown.out]).toEqual([0, expect.stringMatching(/ db0 \w+/)])
  expect(shown.err).toContain('no clients and no reads')
  const lines = (await runCli(['history', path, 'k', '--json'])).out.trim().split('\n')
  const last = JSON.parse(lines.at(-1)!) as { offset: number; command: string[] }
  const undone = await runCli(['history', path, 'k', '--undo', String(last.offset)])
  expect(undone.out).toMatch(/^SELECT "0"\n(?:RESTORE "k" |DEL "k")/)
  expect((await runCli(['history', '127.0.0.1:1', 'k'])).code).toBe(2)
})

test('who wrote most of it: totals by command, key and minute', async () => {
  const counted = await runCli(['tail', path, '--stats', '--by', 'command,key,minute', '--json'])
  const stats = JSON.parse(counted.out) as Record<string, { name: string; commands: number }[]>
  const shown = (await runCli(['tail', path, '--json'])).out.trim().split('\n')
  const lines = shown.map((line) => JSON.parse(line) as { command: string[] })
  const names = lines.map(({ command }) => command[0]!.toUpperCase())
  for (const { name, commands } of stats['byCommand']!) {
    expect(
      names.filter((each) => each === name),
      name,
    ).toHaveLength(commands)
  }
  const sum = stats['byMinute']!.reduce((all, { commands }) => all + commands, 0)
  expect(sum).toBe(lines.length)
  expect(stats['byKey']!.map(({ name }) => name)).toEqual(expect.arrayContaining(['k', 'a', 'b']))
  expect(stats['byDb']).toEqual([])
  expect((await runCli(['tail', path, '--by', 'key'])).code).toBe(2)
})
