/** The proof that a moment of a shipped archive can be brought back, by what lies in the repository. */
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { cutAt } from '../../src/archive/cut.js'
import { openArchive } from '../../src/archive/reader.js'
import { readCatalogue, verifyArchive } from '../../src/index.js'
import { runCli } from '../helpers/cli.js'
import { loadArchive } from '../helpers/archives.js'
import { spawnRrep } from '../helpers/rrep-process.js'
import { startServer, waitFor } from '../helpers/servers.js'

const scratch = mkdtempSync(join(tmpdir(), 'rrep-verify-archive-'))
const repo = join(scratch, 'repo')
/** What the counter was behind an offset of the stream. */
const moments: { offset: number; counter: number }[] = []
let parts: string

beforeAll(async () => {
  const source = await startServer({ args: ['--repl-diskless-sync-delay', '0'] })
  const archive = join(scratch, 'archive')
  const address = `127.0.0.1:${source.port}`
  const ship = ['--ship', repo, '--ship-every', '200ms', '--rotate', '2kb']
  const running = spawnRrep(['tail', address, '-o', archive, '--snapshot-every', '700ms', ...ship])
  try {
    await waitFor(() => running.err().includes('snapshot kept'), { what: 'the snapshot' })
    const { client } = source
    const offset = async (): Promise<number> =>
      Number(/master_repl_offset:(\d+)/.exec(await client.info('replication'))![1])
    const begun = Date.now()
    while (moments.length < 60 || Date.now() - begun < 2500) {
      const replies = await client
        .multi()
        .incr('counter')
        .rpush('list', 'x'.repeat(100))
        .set(`expiring:${moments.length}`, 'x', 'PX', 600_000)
        .exec()
      moments.push({ offset: await offset(), counter: replies![0]![1] as number })
    }
    const last = moments.at(-1)!.offset
    await waitFor(
      () =>
        [...running.err().matchAll(/everything up to offset (\d+)/g)].some(
          ([, at]) => Number(at) >= last,
        ),
      { what: 'the copy' },
    )
    running.child.kill('SIGINT')
    await running.ended
  } finally {
    running.child.kill('SIGKILL')
    await source.stop()
  }
  const [archived] = (await readCatalogue(repo)).archives
  parts = join(archived!.directory, 'appendonlydir')
})
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

test('a random second, chosen anew each time, is loaded by a server and is the same', async () => {
  for (const random of [0, 0.5, 0.999]) {
    const result = await verifyArchive(`${repo}@archive`, { prove: true, random: () => random })
    expect(result.bases).toBeGreaterThan(1)
    expect(result.commands).toBeGreaterThan(moments.length)
    expect(result.proof!.moment).toMatch(/Z$/)
    expect(result.proof!.server).toContain('redis-server')
  }
  const { archives } = await readCatalogue(repo)
  expect(archives[0]!.provenAtMs).toBeGreaterThan(0)
  const listed = await runCli(['backup', 'list', repo])
  expect(listed.out).toMatch(/proven.*\n.* ago /)
})

test('a chosen moment, by the command line', async () => {
  const { offset } = moments[20]!
  const args = ['backup', 'verify', `${repo}@archive`, '--prove', '--until', `offset:${offset}`]
  const { code, err } = await runCli(args)
  expect(code).toBe(0)
  expect(err).toMatch(/archive-\S+: whole, \d+ bases and [\d,]+ commands in \d+ files/)
  expect(err).toContain(`offset:${offset}: proven: redis-server`)
})

test('a server that loads what is cut at an offset has the state of that offset', async () => {
  const archive = openArchive(join(scratch, 'archive'))
  for (const { offset, counter } of [moments[0]!, moments[17]!, moments.at(-1)!]) {
    const cut = mkdtempSync(join(scratch, 'cut-'))
    await cutAt(archive.at({ replOffset: offset }), cut, undefined)
    const server = await loadArchive(cut)
    try {
      expect(await server.client.get('counter')).toBe(String(counter))
      expect(await server.client.llen('list')).toBe(counter)
    } finally {
      await server.stop()
    }
  }
})

test('one byte that changes anywhere in a shipped archive is found', async () => {
  const names = readdirSync(parts).sort()
  const oneOf = (what: RegExp): string => names.find((name) => what.test(name))!
  const kinds = [
    /^rrep\.json$/,
    /\.aof\.manifest$/,
    /before.*\.manifest$/,
    /base\.rdb$/,
    /incr\.aof$/,
  ]
  for (const name of new Set([
    ...kinds.map(oneOf),
    names.findLast((each) => each.includes('incr'))!,
  ])) {
    const file = join(parts, name)
    const bytes = readFileSync(file)
    const value = bytes.indexOf('xxxxx') + 2
    for (const at of new Set([value > 1 ? value : bytes.length - 1, bytes.length >> 1])) {
      writeFileSync(file, bytes.with(at, bytes[at]! ^ 1))
      const { code, err } = await runCli(['backup', 'verify', `${repo}@archive`])
      expect([name, at, code, err]).toEqual([name, at, 6, expect.stringContaining(name)])
    }
    writeFileSync(file, bytes)
  }
  // At the begin of it.
  const changed = join(parts, oneOf(/incr\.aof$/))
  const bytes = readFileSync(changed)
  writeFileSync(changed, bytes.with(bytes.indexOf('xxxxx'), 0x79))
  const damaged = join(scratch, 'damaged')
  const until = `offset:${moments[0]!.offset}`
  const restored = await runCli(['restore', `${repo}@archive`, damaged, '--until', until])
  expect([restored.code, restored.err]).toEqual([6, expect.stringContaining('another hash')])
  expect(existsSync(damaged)).toBe(false)
  writeFileSync(changed, bytes)
  expect((await runCli(['backup', 'verify', `${repo}@archive`])).code).toBe(0)
})

test('what an older version shipped has no hashes: the rest is verified, and that is said', async () => {
  const older = join(scratch, 'older')
  cpSync(repo, older, { recursive: true })
  const [archived] = (await readCatalogue(older)).archives
  const sidecar = join(archived!.directory, 'appendonlydir', 'rrep.json')
  const { sha256, hashes, ...rest } = JSON.parse(readFileSync(sidecar, 'utf8')) as Record<
    string,
    unknown
  >
  expect([typeof sha256, typeof hashes]).toEqual(['string', 'object'])
  writeFileSync(sidecar, `${JSON.stringify(rest, undefined, 2)}\n`)
  const { code, err } = await runCli(['backup', 'verify', `${older}@archive`])
  expect([code, err]).toEqual([
    0,
    expect.stringMatching(/files of it with no hash, which an older/),
  ])
})

test('of the archive itself, increments that are complete are compared by inspect --check', async () => {
  const archive = join(scratch, 'archive')
  const dir = join(archive, 'appendonlydir')
  const sound = await runCli(['inspect', archive, '--check'])
  expect([sound.code, sound.out]).toEqual([
    0,
    expect.stringMatching(/; \d+ files of commands as written, 1 without a hash$/m),
  ])
  const { timeline } = JSON.parse(readFileSync(join(dir, 'rrep.json'), 'utf8')) as {
    timeline: { kind: string; file: string; endReplOffset?: number }[]
  }
  const complete = timeline.filter(({ kind, endReplOffset }) => {
    return kind === 'incr' && endReplOffset !== undefined
  })
  const full = complete.filter(({ file }) => readFileSync(join(dir, file)).includes('xxxxx'))
  for (const { file } of [full[0]!, full.at(-1)!]) {
    const path = join(dir, file)
    const bytes = readFileSync(path)
    const at = bytes.indexOf('xxxxx')
    writeFileSync(path, bytes.with(at, 0x79))
    const { code, err } = await runCli(['inspect', archive, '--check'])
    expect([code, err]).toEqual([6, expect.stringContaining(file)])
    writeFileSync(path, bytes)
  }
})

test('damage of a base or of commands is found, and nothing is proven then', async () => {
  const kept = join(scratch, 'kept')
  cpSync(repo, kept, { recursive: true })
  const before = readdirSync(join(parts, '..')).length
  const names = readdirSync(parts)
  for (const ending of ['base.rdb', 'incr.aof']) {
    const file = join(
      parts,
      names.find((name) => name.endsWith(ending))!,
    )
    const bytes = readFileSync(file)
    // A length of a command, and a byte of the snapshot.
    const at = ending === 'incr.aof' ? bytes.lastIndexOf('$') + 1 : bytes.length >> 1
    writeFileSync(file, bytes.with(at, bytes[at]! ^ 0x11))
    const { code, err } = await runCli(['backup', 'verify', `${repo}@archive`, '--prove'])
    expect([code, err]).toEqual([6, expect.stringContaining(ending)])
    writeFileSync(file, bytes)
  }
  expect(readdirSync(join(parts, '..'))).toHaveLength(before)
  expect((await runCli(['backup', 'verify', `${repo}@archive`])).code).toBe(0)
  expect(existsSync(join(scratch, 'archive'))).toBe(true)
})
