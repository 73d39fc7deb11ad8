/**
 * Each command that writes, on a small disk with room that runs out at 20 random places: what was
 * good stays good, the error is ERR_DISK_FULL (exit 1), no temporary is left, and with room again
 * the same call goes through. Needs the right to mount; says so and ends where there is none.
 */
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { cpSync, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { readCatalogue } from '../../src/index.js'
import { runCli, type CliResult } from '../helpers/cli.js'
import { digest, startServer, waitFor, type TestServer } from '../helpers/servers.js'

const TIMES = Number(process.env['RREP_SOAK_TIMES'] ?? 20)
const DISK_BYTES = 48 << 20
/** Of values that do not compress. */
const DATA_BYTES = 4 << 20

interface Subject {
  name: string
  /** How much it writes at most: the room is a random part of that. */
  needsBytes: number
  run: () => Promise<CliResult>
  /** Throws where something that was good is not. */
  check: () => Promise<void>
  /** Names that may be in the directory. */
  own: readonly string[]
  /** Nothing of an earlier run is there when it begins. */
  isFresh?: boolean
  /** Status on a full disk; default 1. */
  fullCode?: number
}

export async function run(): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-soak-full-'))
  const size = `size=${DISK_BYTES}`
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', size, 'tmpfs', dir]).status !== 0) {
    console.log('skipped: no right to mount a small file system here')
    rmSync(dir, { recursive: true, force: true })
    return
  }
  // A backlog that spans the rounds in which an archive could not follow.
  const backlog = { args: ['--repl-backlog-size', '64mb'] }
  const [source, target] = await Promise.all([startServer(backlog), startServer()])
  const temporaryDir = process.env['TMPDIR']
  try {
    for (let i = 0; i < 64; i += 1) {
      await source.client.set(`k${i}`, randomBytes(DATA_BYTES / 64))
    }
    const outside = join(source.dir, 'plain.rdb')
    await expectGood(runCli(['sync', at(source), '-o', outside]))
    process.env['TMPDIR'] = dir
    for (const subject of subjects(dir, source, target, outside)) await soak(dir, subject)
  } finally {
    if (temporaryDir === undefined) delete process.env['TMPDIR']
    else process.env['TMPDIR'] = temporaryDir
    await Promise.all([source.stop(), target.stop()])
    spawnSync('umount', ['-l', dir])
    rmSync(dir, { recursive: true, force: true })
  }
}

function subjects(dir: string, source: TestServer, target: TestServer, dump: string): Subject[] {
  const rrep = async (...args: string[]): Promise<CliResult> => await runCli([...args, '--json'])
  const file = (name: string): string => join(dir, name)
  const sound = async (path: string): Promise<void> => {
    await expectGood(rrep('inspect', path, '--check'))
  }
  const archive = file('archive')
  const tail = async (time: string): Promise<CliResult> => {
    const writing = writeFor(source, 1500)
    const result = await rrep(
      ...['tail', at(source), '-o', archive, '--for', time],
      ...['--rotate', '256kb', '--snapshot-every', '700ms', '--keep', '1'],
    )
    await writing
    return result
  }
  const replay = async (): Promise<CliResult> =>
    await rrep(
      ...['replay', at(source), at(target), '--empty-target', '--yes', '--until-synced'],
      ...['--spool-dir', file('spools')],
    )
  return [
    {
      name: 'sync',
      needsBytes: DATA_BYTES + (1 << 17),
      run: async () => await rrep('sync', at(source), '-o', file('dump.rdb')),
      check: async () => await sound(file('dump.rdb')),
      own: ['dump.rdb'],
    },
    {
      name: 'sync, packed',
      needsBytes: DATA_BYTES + (1 << 17),
      run: async () => await rrep('sync', at(source), '-o', file('dump.rdb.gz')),
      check: async () => await sound(file('dump.rdb.gz')),
      own: ['dump.rdb.gz'],
    },
    {
      name: 'export',
      needsBytes: DATA_BYTES * 2,
      run: async () => {
        const args = ['export', dump, '--strings', 'base64', '-o', file('keys.jsonl')]
        return await rrep(...args)
      },
      check: async () => {
        const lines = spawnSync('wc', ['-l', file('keys.jsonl')], { encoding: 'utf8' }).stdout
        if (Number.parseInt(lines, 10) < 64) throw new Error(`the file has ${lines}`)
        await Promise.resolve()
      },
      own: ['keys.jsonl'],
    },
    {
      name: 'tail -o',
      needsBytes: 2 * DATA_BYTES,
      run: async () => await tail('2s'),
      check: async () => await loads(archive),
      own: ['archive'],
    },
    {
      name: 'replay of a server',
      needsBytes: DATA_BYTES + (1 << 17),
      run: replay,
      // With room again the same call goes on, whatever the one before left in spool and target.
      check: async () => {
        await expectGood(replay())
        await expectSame(source, target)
      },
      own: ['spools'],
    },
    {
      name: 'diff',
      needsBytes: DATA_BYTES + (1 << 17),
      run: async () => await rrep('diff', at(source), at(source)),
      // Whatever it says of what did not fit, it is not that they differ.
      check: async () => await expectGood(rrep('diff', at(source), at(source))),
      own: [],
    },
    {
      name: 'serve --backlog-dir',
      needsBytes: DATA_BYTES + (1 << 17),
      run: async () => await relayOnce(source, file('backlog')),
      // The same directory serves on.
      check: async () => await expectGood(relayOnce(source, file('backlog'))),
      own: ['backlog'],
      isFresh: true,
    },
    ...repositories(file, at(source), dirname(dump)),
  ]
}

/** Backups on the small disk, and archives that are shipped from it and to it. `elsewhere`: not on it. */
function repositories(
  file: (name: string) => string,
  address: string,
  elsewhere: string,
): Subject[] {
  const rrep = async (...args: string[]): Promise<CliResult> => await runCli([...args, '--json'])
  const verified = async (repo: string): Promise<void> => {
    const { backups, unfinished } = await readCatalogue(repo)
    if (unfinished.length > 0) throw new Error(`unfinished: ${unfinished.join(', ')}`)
    for (const { record } of backups) {
      await expectGood(rrep('backup', 'verify', `${repo}@${record.id}`))
    }
  }
  const ship = async (repo: string, ...where: string[]): Promise<CliResult> => {
    const halfSecond = ['--ship', repo, '--ship-every', '500ms', '--rotate', '256kb']
    return await rrep('tail', address, ...where, ...halfSecond, '--for', '2s')
  }
  const shipped = async (repo: string): Promise<void> => {
    await expectGood(rrep('backup', 'verify', `${repo}@archive`))
  }
  const [bucket, copied] = [join(elsewhere, 'bucket'), join(elsewhere, 'copied')]
  const common = ['--name', 'k', '--keep-last', '2']
  return [
    ...[[], ['--compress', 'gzip']].map((more) => ({
      name: ['backup', ...more].join(' '),
      needsBytes: DATA_BYTES + (1 << 17),
      run: async () => await rrep('backup', address, '--to', file('repo'), ...common, ...more),
      check: async () => await verified(file('repo')),
      own: ['repo'],
    })),
    {
      name: 'restore',
      needsBytes: DATA_BYTES + (1 << 17),
      run: async () => {
        // Only into what is not there.
        rmSync(file('data'), { recursive: true, force: true })
        const made = join(elsewhere, 'repo')
        if (!existsSync(made)) await expectGood(rrep('backup', address, '--to', made))
        return await rrep('restore', made, file('data'))
      },
      check: async () => {
        if (existsSync(file('data'))) await loads(file('data'))
      },
      own: ['data'],
      isFresh: true,
    },
    {
      name: 'tail --ship, its spool',
      needsBytes: DATA_BYTES + (1 << 17),
      run: async () => await ship(bucket, '--spool-dir', file('spools')),
      check: async () => await shipped(bucket),
      own: ['spools'],
    },
    {
      name: 'tail -o --ship, its repository',
      needsBytes: DATA_BYTES + (1 << 17),
      run: async () => await ship(file('ship'), '-o', copied),
      check: async () => {
        await loads(copied)
        const { archives } = await readCatalogue(file('ship'))
        if (archives.length > 0) await shipped(file('ship'))
      },
      own: ['ship'],
      isFresh: true,
      fullCode: 8,
    },
  ]
}

async function soak(dir: string, subject: Subject): Promise<void> {
  await expectGood(subject.run())
  let full = 0
  for (let round = 0; round < TIMES; round += 1) {
    const filler = join(dir, 'filler')
    const room = Math.floor(Math.random() * subject.needsBytes)
    if (subject.isFresh === true) removeOwn(dir, subject)
    fill(filler, room)
    const result = await subject.run()
    const left = readdirSync(dir).filter((name) => name !== 'filler' && !subject.own.includes(name))
    rmSync(filler, { force: true })
    if (result.code !== 0) {
      full += 1
      const isTold = [1, subject.fullCode].includes(result.code)
      if (!isTold || !/ERR_DISK_FULL|no space left/.test(result.err + result.out)) {
        const said = `${result.err}${result.out.slice(-500)}`
        throw new Error(`${subject.name}, room ${room}: exit ${result.code}: ${said}`)
      }
    }
    if (left.length > 0) throw new Error(`${subject.name} left ${left.join(', ')}`)
    await subject.check()
  }
  await expectGood(subject.run())
  await subject.check()
  console.log(`${subject.name}: ${TIMES} runs, ${full} of them on a full disk`)
  removeOwn(dir, subject)
}

function removeOwn(dir: string, subject: Subject): void {
  for (const name of subject.own) rmSync(join(dir, name), { recursive: true, force: true })
}

/** A server starts on (a copy of) the archive, and has the keys. The last command may be torn. */
async function loads(archive: string): Promise<void> {
  const copy = mkdtempSync('/var/tmp/rrep-soak-copy-')
  try {
    cpSync(archive, copy, { recursive: true })
    const server = await startServer({ dir: copy, args: ['--appendonly', 'yes'] })
    const keys = await server.client.dbsize()
    await server.stop()
    if (keys < 64) throw new Error(`a server on the archive has ${keys} keys`)
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

/** Leaves so much room on the disk. */
function fill(path: string, room: number): void {
  const { stdout } = spawnSync('df', ['--output=avail', '-B1', join(path, '..')], {
    encoding: 'utf8',
  })
  const available = Number(stdout.trim().split('\n').at(-1))
  writeFileSync(path, Buffer.alloc(Math.max(0, available - room)))
}

/** Relays until a replica has all, or it ends by itself. */
async function relayOnce(source: TestServer, backlogDir: string): Promise<CliResult> {
  // On another disk than the one that is full.
  const replicaDir = mkdtempSync('/var/tmp/rrep-soak-replica-')
  const replica = await startServer({ dir: replicaDir })
  const controller = new AbortController()
  let err = ''
  const ended = runCli(
    ['serve', at(source), '--listen', '127.0.0.1:0', '--backlog-dir', backlogDir, '--json'],
    {
      signal: controller.signal,
      onStderr: (chunk) => (err += chunk.toString()),
      onStdout: (chunk) => (err += chunk.toString()),
    },
  )
  const over = { is: false }
  void ended.then(() => (over.is = true))
  try {
    await waitFor(() => over.is || /"port":\d+/.test(err), { what: 'the relay' })
    const port = /"port":(\d+)/.exec(err)?.[1]
    if (port !== undefined) {
      await replica.client.replicaof('127.0.0.1', Number(port))
      const isSame = async (): Promise<boolean> =>
        over.is ||
        err.includes('no space left') ||
        (await replica.client.dbsize().catch(() => 0)) >= 64
      await waitFor(isSame, { what: `the replica: ${err}` })
      // A snapshot comes whole or not at all.
      if (!over.is && !err.includes('no space left')) await expectSame(source, replica)
    }
  } finally {
    controller.abort('SIGTERM')
    await replica.stop()
    rmSync(replicaDir, { recursive: true, force: true })
  }
  const { code, ...said } = await ended
  // It goes on without the disk, and says so.
  if (code === 143 || code === 0) return { ...said, code: err.includes('no space left') ? 1 : 0 }
  return { ...said, code }
}

/** About 800 kB a second. */
async function writeFor(server: TestServer, forMs: number): Promise<void> {
  const endMs = Date.now() + forMs
  for (let i = 0; Date.now() < endMs; i += 1) {
    await server.client.set(`w${i % 100}`, randomBytes(8192))
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

function at(server: TestServer): string {
  return `127.0.0.1:${server.port}`
}

async function expectSame(source: TestServer, target: TestServer): Promise<void> {
  const [wanted, got] = [await digest(source), await digest(target)]
  if (wanted !== got) throw new Error(`the target has ${got}, the source ${wanted}`)
}

async function expectGood(running: Promise<CliResult>): Promise<void> {
  const { code, err, out } = await running
  if (code !== 0) throw new Error(`exit ${code}: ${err}${out}`)
}
