/** Encrypted backups: the host has recipients only, and the age program reads and writes the same. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { generateIdentity, identityToRecipient } from 'age-encryption'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { backup, readCatalogue, selectBackup } from '../../src/index.js'
import { runCli } from '../helpers/cli.js'
import { startCluster } from '../helpers/cluster.js'
import { digest, serverBinaries, startServer, type TestServer } from '../helpers/servers.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-age-'))
const identity = join(dir, 'key.txt')
const other = join(dir, 'other.txt')
const hasAge = spawnSync('age', ['--version']).status === 0
let source: TestServer
let address: string
let recipient: string
let count = 0

beforeAll(async () => {
  const keys = [await generateIdentity(), await generateIdentity()]
  writeFileSync(identity, `# of the vault\n${keys[0]!}\n`)
  writeFileSync(other, `${keys[1]!}\n`)
  recipient = await identityToRecipient(keys[0]!)
  source = await startServer()
  address = `127.0.0.1:${source.port}`
  await source.client.call('DEBUG', 'POPULATE', 5000, 'key', 300)
})
afterAll(async () => {
  await source.stop()
  rmSync(dir, { recursive: true, force: true })
})

const freshRepo = (): string => join(dir, `repo-${(count += 1)}`)
const dumpOf = async (repo: string): Promise<string> => {
  const { directory, record } = await selectBackup(repo)
  return join(directory, record.files[0]!.file)
}

test('written for its recipients, read by every command with an identity', async () => {
  const repo = freshRepo()
  const recipients = join(dir, 'recipients.txt')
  writeFileSync(
    recipients,
    `# two\n${recipient}\n${await identityToRecipient(readFileSync(other, 'utf8').trim())}\n`,
  )
  const packed = await runCli([
    'backup',
    address,
    '--to',
    repo,
    '--compress',
    'gzip',
    '--encrypt-to',
    recipients,
    '--json',
  ])
  expect(JSON.parse(packed.out)).toMatchObject({ keys: 5000, encryption: 'age' })
  const dump = await dumpOf(repo)
  expect(dump).toMatch(/dump\.rdb\.gz\.age$/)
  expect(readFileSync(dump).subarray(0, 21).toString()).toBe('age-encryption.org/v1')
  for (const key of [identity, other]) {
    const checked = await runCli(['inspect', `${repo}@latest`, '--check', '--identity', key])
    expect(checked.out).toContain('5,000 keys')
  }
  const by = ['--identity', identity]
  process.env['RREP_IDENTITY'] = identity
  expect((await runCli(['inspect', dump, '--check'])).code).toBe(0)
  delete process.env['RREP_IDENTITY']
  expect((await runCli(['inspect', dump, '--json', ...by])).out).toContain('"keys":5000')
  expect((await runCli(['inspect', dump, '--salvage', '--json', ...by])).out).toContain(
    '"keys":5000',
  )
  expect((await runCli(['diff', `${repo}@latest`, address, ...by])).code).toBe(0)
  const exported = await runCli(['export', `${repo}@latest`, '--format', 'jsonl', ...by])
  expect(exported.out.trim().split('\n')).toHaveLength(5000)
  const data = join(dir, 'data')
  expect((await runCli(['restore', repo, data, ...by])).code).toBe(0)
  const restored = await startServer({ dir: data })
  expect(await digest(restored)).toBe(await digest(source))
  await restored.client.flushall()
  const replay = ['replay', `${repo}@latest`, `127.0.0.1:${restored.port}`, '--verify']
  expect((await runCli([...replay, ...by])).code).toBe(0)
  await restored.stop()
})

test('without the right identity the content is not read, and what to give is told', async () => {
  const repo = freshRepo()
  await backup(address, { to: repo, encryptTo: [recipient] })
  const cases: [string[], string][] = [
    [[], 'ERR_NO_IDENTITY'],
    [['--identity', other], 'ERR_WRONG_IDENTITY'],
    [['--identity', join(dir, 'none')], 'ERR_NO_SUCH_FILE'],
    [['--identity', await dumpOf(repo)], 'ERR_WRONG_IDENTITY'],
  ]
  const target = await startServer()
  try {
    for (const [more, error] of cases) {
      for (const call of [
        ['inspect', `${repo}@latest`],
        ['export', `${repo}@latest`, '--format', 'jsonl'],
        ['diff', `${repo}@latest`, address],
        ['restore', repo, join(dir, 'never')],
        ['replay', `${repo}@latest`, `127.0.0.1:${target.port}`, '--empty-target', '--yes'],
        ['serve', `${repo}@latest`, '--listen', '127.0.0.1:0'],
      ]) {
        const failed = await runCli([...call, ...more, '--json'])
        expect(JSON.parse(failed.err), call[0]).toMatchObject({ error })
        expect(failed.code).toBe(error === 'ERR_NO_SUCH_FILE' ? 1 : 4)
      }
    }
    expect(readdirSync(dir)).not.toContain('never')
  } finally {
    await target.stop()
  }
  const hint = await runCli(['inspect', `${repo}@latest`])
  expect(hint.err).toContain('--identity')
})

test('verify compares the stored bytes, and with an identity what they mean', async () => {
  const repo = freshRepo()
  await backup(address, { to: repo, encryptTo: [recipient], compress: { algorithm: 'gzip' } })
  const unread = await runCli(['backup', 'verify', repo])
  expect([unread.code, unread.err]).toEqual([0, expect.stringContaining('was not read')])
  const read = await runCli(['backup', 'verify', repo, '--identity', identity, '--json'])
  expect(JSON.parse(read.out)).toMatchObject({ wasContentRead: true, keys: 5000 })
  expect((await runCli(['backup', 'verify', repo, '--identity', other])).code).toBe(4)
  const dump = await dumpOf(repo)
  const bytes = readFileSync(dump)
  for (const at of [100, 250, bytes.length >> 1, bytes.length - 1]) {
    const changed = Buffer.from(bytes)
    changed.writeUInt8(changed.readUInt8(at) ^ 1, at)
    writeFileSync(dump, changed)
    expect((await runCli(['backup', 'verify', repo])).code, `byte ${at}`).toBe(6)
    const whole = await runCli(['backup', 'verify', repo, '--identity', identity])
    expect([4, 6], `byte ${at}`).toContain(whole.code)
  }
  writeFileSync(dump, bytes.subarray(0, bytes.length - 3))
  expect((await runCli(['inspect', dump, '--check', '--identity', identity])).code).toBe(6)
})

test('what is no recipient is told before the master saves', async () => {
  const forks = async (): Promise<string> => /total_forks:\d+/.exec(await source.client.info())![0]
  const before = await forks()
  const empty = join(dir, 'empty.txt')
  writeFileSync(empty, '# nobody\n')
  for (const wrong of [`${recipient}x`, identity, empty, 'age1xyz', 'AGE-SECRET-KEY-1X']) {
    const repo = freshRepo()
    const failed = await runCli(['backup', address, '--to', repo, '--encrypt-to', wrong])
    expect(failed.code, wrong).toBe(wrong.startsWith('AGE') ? 1 : 2)
    expect(failed.err).not.toMatch(/AGE-SECRET-KEY-1[A-Z0-9]{20}/)
    expect(readdirSync(dir)).not.toContain(repo.slice(dir.length + 1))
  }
  expect(await forks()).toBe(before)
})

test.skipIf(!hasAge)(
  'the age program reads what was written, and what it wrote is read',
  async () => {
    const repo = freshRepo()
    await backup(address, { to: repo, encryptTo: [recipient] })
    const plain = execFileSync('age', ['-d', '-i', identity, await dumpOf(repo)], {
      maxBuffer: 1 << 28,
    })
    const dump = join(dir, 'plain.rdb')
    writeFileSync(dump, plain)
    expect((await runCli(['diff', dump, address])).code).toBe(0)
    const sealed = join(dir, 'by-age.rdb')
    execFileSync('age', ['-r', recipient, '-o', sealed, dump])
    expect((await runCli(['diff', sealed, address, '--identity', identity])).code).toBe(0)
  },
)

test('the shards of a cluster', async () => {
  const cluster = await startCluster(serverBinaries()[0]!, { masters: 3, replicas: 0 })
  const first = `127.0.0.1:${cluster.masters[0]!.port}`
  const repo = freshRepo()
  try {
    const dump = join(dir, 'one.rdb')
    await runCli(['sync', address, '-o', dump])
    await runCli(['replay', dump, first])
    await backup(`redis-cluster://${first}`, { to: repo, encryptTo: [recipient] })
    const [only] = (await readCatalogue(repo)).backups
    expect(readdirSync(only!.directory).filter((name) => name.endsWith('.rdb.age'))).toHaveLength(3)
    const by = ['--identity', identity]
    expect((await runCli(['backup', 'verify', repo, ...by])).code).toBe(0)
    expect((await runCli(['diff', `${repo}@latest`, dump, ...by])).code).toBe(0)
    const none = await runCli(['inspect', `${repo}@latest`, '--json'])
    expect(JSON.parse(none.err)).toMatchObject({ error: 'ERR_NO_IDENTITY' })
    const back = await runCli(['restore', repo, first, '--cluster', '--yes', ...by])
    expect(back.code, back.err).toBe(0)
    const told = await runCli(['doctor', `${repo}@latest`, ...by])
    expect(told.out).toContain('sound, 5000 keys')
    // What is no archive has no commands.
    const listed = await runCli(['tail', `${repo}@latest`, '--json'])
    expect(JSON.parse(listed.err)).toMatchObject({ error: 'ERR_NO_COMMANDS' })
  } finally {
    await cluster.stop()
  }
})
