/**
 * Each long command in a terminal, ended by SIGINT, SIGTERM and SIGHUP at random moments (30 times
 * each; RREP_SOAK_TIMES): it ends with the code of the table, leaves no temporary, what a
 * migration did to expiries is undone (or told how to, and then undone by that), import-mode is
 * off, and the ledger adds up.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { runCli } from '../helpers/cli.js'
import { CTRL_C, hasPty, spawnInPty, type PtyProcess } from '../helpers/pty.js'
import { freePort, serverBinary, startServer, type TestServer } from '../helpers/servers.js'

const TIMES = Number(process.env['RREP_SOAK_TIMES'] ?? 30)
/** Commands to run, by a part of their names; all by default. */
const ONLY = process.env['RREP_SOAK_ONLY'] ?? ''
const CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const
/** How long an endless command runs behind the sign that it works. */
const WORKING_MS = 1500
/** As it is installed: a compiler in front would get the signals too. */
const BUILT = [process.execPath, join(import.meta.dirname, '../../bin/rrep.js')]
const KEYS = 40_000
const KEYS_WITH_TTL = 2000

type Signal = keyof typeof CODES

interface Case {
  name: string
  args: (place: string) => Promise<string[]> | string[]
  /** Of a command that does not end by itself: on the screen once it works. */
  works?: string
  /** Codes of a run that was done before the signal came. */
  done?: number
  /** What must hold behind it; `screen` without escape sequences. Throws what does not. */
  check?: (place: string, screen: string) => Promise<void> | void
}

export async function run(): Promise<void> {
  if (!hasPty) throw new Error('there is no `script` to make a terminal with')
  const dir = mkdtempSync(join(tmpdir(), 'rrep-soak-signals-'))
  const servers: TestServer[] = []
  try {
    const source = await startServer()
    servers.push(source)
    await fill(source)
    const dump = join(dir, 'dump.rdb')
    await expectDone(['sync', addressOf(source), '-o', dump])
    writeFileSync(`${dump}.gz`, gzipSync(readFileSync(dump), { level: 1 }))
    const target = await startServer()
    servers.push(target)
    const valkey = serverBinary('valkey-9')
    const newTarget = valkey && (await startServer({ binary: valkey }))
    if (newTarget === undefined) console.log('skipped: no valkey-9 as a target')
    else servers.push(newTarget)
    for (const each of cases(source, target, newTarget, dump)) {
      if (each.name.includes(ONLY)) await soak(each, dir)
    }
  } finally {
    for (const server of servers) await server.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}

function cases(
  source: TestServer,
  target: TestServer,
  newTarget: TestServer | undefined,
  dump: string,
): Case[] {
  const from = addressOf(source)
  const live = (to: TestServer): Case => ({
    name: `replay live into ${to.binary.name}`,
    args: async () => {
      await to.client.flushall()
      return ['replay', from, addressOf(to)]
    },
    works: 'stream: ',
    check: async (_place, screen) => {
      checkLedger(screen)
      await checkMigrated(source, to, screen)
    },
  })
  return [
    {
      name: 'sync',
      args: (place) => ['sync', from, '-o', join(place, 'dump.rdb')],
      check: (place) => expectOnly(place, ['dump.rdb']),
    },
    { name: 'inspect of a file', args: () => ['inspect', `${dump}.gz`] },
    { name: 'inspect of a server', args: () => ['inspect', from] },
    {
      name: 'export',
      args: (place) => ['export', dump, '-o', join(place, 'all.jsonl')],
      check: (place) => expectOnly(place, ['all.jsonl']),
    },
    {
      name: 'export of a server',
      args: (place) => ['export', from, '-o', join(place, 'all.resp')],
      check: (place) => expectOnly(place, ['all.resp']),
    },
    { name: 'tail', args: () => ['tail', from], works: '"writer"' },
    {
      name: 'tail -o',
      args: (place) => ['tail', from, '-o', join(place, 'archive')],
      works: 'snapshot kept',
      check: async (place) => {
        const archive = join(place, 'archive')
        if (!readdirSync(place).includes('archive')) return
        const left = readdirSync(archive).filter((name) => /\.(part|temp|tmp|lock)$/.test(name))
        if (left.length > 0) throw new Error(`left in the archive: ${left.join(', ')}`)
        if (readdirSync(archive).some((name) => name.endsWith('.manifest'))) {
          await expectDone(['inspect', archive, '--check'])
        }
      },
    },
    {
      name: 'replay of a file',
      args: async () => {
        await target.client.flushall()
        return ['replay', dump, addressOf(target)]
      },
      check: async (_place, screen) => {
        checkLedger(screen)
        await checkMigrated(source, target, screen)
        const held = await target.client.dbsize()
        const { written, unknown } = ledgerOf(screen)
        if (held < written || held > written + unknown) {
          throw new Error(`${written} written, ${unknown} unknown, and the target holds ${held}`)
        }
      },
    },
    live(target),
    ...(newTarget === undefined ? [] : [live(newTarget)]),
    { name: 'diff', args: () => ['diff', from, dump], done: 7 },
    {
      name: 'serve',
      args: async () => ['serve', from, '--listen', `127.0.0.1:${await freePort()}`],
      works: 'listening',
    },
  ]
}

async function soak(each: Case, dir: string): Promise<void> {
  const usualMs = await timeOf(each, dir)
  let slowestMs = 0
  let early = 0
  for (const signal of Object.keys(CODES) as Signal[]) {
    for (let i = 0; i < TIMES; i += 1) {
      const atMs = Math.random() * usualMs
      const { isEarly, tookMs } = await once(each, dir, signal, atMs)
      if (isEarly) early += 1
      else slowestMs = Math.max(slowestMs, tookMs)
    }
  }
  console.log(
    `${each.name}: ${3 * TIMES} runs at random moments of ${Math.round(usualMs)} ms, ` +
      `${early} of them done before; the slowest end took ${Math.round(slowestMs)} ms`,
  )
}

/** How long the command takes, or takes until it has worked for a while. */
async function timeOf(each: Case, dir: string): Promise<number> {
  const { rrep, place, startMs } = await begin(each, dir)
  if (each.works === undefined) await rrep.ended
  else {
    await rrep.sees(each.works)
    rrep.kill('SIGTERM')
    await rrep.ended
  }
  const tookMs = performance.now() - startMs
  rmSync(place, { recursive: true, force: true })
  return each.works === undefined ? tookMs : tookMs + WORKING_MS
}

async function once(
  each: Case,
  dir: string,
  signal: Signal,
  atMs: number,
): Promise<{ isEarly: boolean; tookMs: number }> {
  const { rrep, place, temporary } = await begin(each, dir)
  await Promise.race([rrep.ended, new Promise((resolve) => setTimeout(resolve, atMs))])
  const startMs = performance.now()
  if (signal === 'SIGINT') rrep.type(CTRL_C)
  else rrep.kill(signal)
  const { code, screen, endedMs } = await rrep.ended
  const text = screen.replaceAll(
    new RegExp(`${String.fromCharCode(27)}\\[[0-9;?]*[A-Za-z]`, 'g'),
    '',
  )
  const isEarly = each.works === undefined && (code === 0 || code === each.done)
  try {
    if (code !== CODES[signal] && !isEarly) throw new Error(`exit ${String(code)}`)
    expectOnly(temporary, [])
    await each.check?.(place, text)
  } catch (error) {
    throw new Error(`${each.name}, ${signal} after ${Math.round(atMs)} ms:\n${text}`, {
      cause: error,
    })
  }
  rmSync(place, { recursive: true, force: true })
  return { isEarly, tookMs: endedMs - startMs }
}

async function begin(
  each: Case,
  dir: string,
): Promise<{ rrep: PtyProcess; place: string; temporary: string; startMs: number }> {
  const place = mkdtempSync(join(dir, 'run-'))
  const temporary = mkdtempSync(join(dir, 'tmp-'))
  const args = await each.args(place)
  const startMs = performance.now()
  const rrep = await spawnInPty(args, { command: BUILT, env: { TMPDIR: temporary } })
  return { rrep, place, temporary, startMs }
}

function expectOnly(place: string, names: readonly string[]): void {
  const left = readdirSync(place).filter((name) => !names.includes(name))
  if (left.length > 0) throw new Error(`left behind: ${left.join(', ')}`)
}

/** Rows of the ledger's table: db, type, read, written, skipped, failed, expired, unknown. */
function rowsOf(screen: string): number[][] {
  return screen
    .split(/\r?\n|\r/)
    .map((line) => /^ *(\d+) +[a-z]+((?: +[\d,]+){5,6}) *$/.exec(line)?.[2])
    .filter((row) => row !== undefined)
    .map((row) =>
      row
        .trim()
        .split(/ +/)
        .map((figure) => Number(figure.replaceAll(',', ''))),
    )
}

function checkLedger(screen: string): void {
  for (const [read = 0, ...rest] of rowsOf(screen)) {
    const sum = rest.reduce((total, count) => total + count, 0)
    if (read !== sum) throw new Error(`the ledger: ${read} read, and ${rest.join(' + ')}`)
  }
}

function ledgerOf(screen: string): { written: number; unknown: number } {
  let written = 0
  let unknown = 0
  for (const row of rowsOf(screen)) {
    written += row[1] ?? 0
    unknown += row[5] ?? 0
  }
  return { written, unknown }
}

/** As the source has them, at once or behind the call that the screen names. */
async function checkMigrated(source: TestServer, to: TestServer, screen: string): Promise<void> {
  const fault = async (): Promise<string | undefined> => {
    const mode = await to.client.config('GET', 'import-mode')
    if (mode[1] === 'yes') return 'import-mode is on'
    return await expiryFault(source, to)
  }
  const found = await fault()
  if (found === undefined) return
  if (!screen.includes('--finish')) throw new Error(`${found}, and nothing says --finish`)
  await expectDone(['replay', '--finish', addressOf(to)])
  const left = await fault()
  if (left !== undefined) throw new Error(`behind --finish: ${left}`)
}

async function expiryFault(source: TestServer, to: TestServer): Promise<string | undefined> {
  const names = Array.from({ length: KEYS_WITH_TTL }, (_, i) => `ttl:${i}`)
  const timesOf = async (server: TestServer): Promise<number[]> => {
    const batch = server.client.pipeline()
    for (const name of names) batch.call('PEXPIRETIME', name)
    return ((await batch.exec()) ?? []).map(([, at]) => at as number)
  }
  const want = await timesOf(source)
  const have = await timesOf(to)
  const at = have.findIndex((time, i) => time !== -2 && time !== want[i])
  return at < 0
    ? undefined
    : `${names[at]!} expires at ${have[at]!} in the target, at ${want[at]!} in the source`
}

async function fill(server: TestServer): Promise<void> {
  await server.client.call('DEBUG', 'POPULATE', String(KEYS), 'key', '500')
  const batch = server.client.pipeline()
  for (let i = 0; i < KEYS_WITH_TTL; i += 1) batch.set(`ttl:${i}`, 'x', 'EX', 100_000 + i)
  await batch.exec()
  // A write now and then, so that there is a stream to show.
  const timer = setInterval(() => {
    server.client.set('writer', String(Date.now())).catch(() => clearInterval(timer))
  }, 50)
  timer.unref()
}

async function expectDone(args: readonly string[]): Promise<void> {
  const { code, err } = await runCli(args)
  if (code !== 0) throw new Error(`rrep ${args.join(' ')}: exit ${code}: ${err}`)
}

function addressOf(server: TestServer): string {
  return `127.0.0.1:${server.port}`
}
