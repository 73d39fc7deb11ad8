/**
 * `rrep tail archive` looked for a host named "archive", and nothing could say when the FLUSHALL
 * was: one had to grep the AOF. What was kept is read now, with the time and the offset that
 * `--until offset:N` takes.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import {
  respCommand,
  smallRdb,
  START_SECONDS,
  temporaryDirs,
  writeThreeBases,
} from '../helpers/archive-dirs.js'
import { runCli } from '../helpers/cli.js'

const cleanups: (() => unknown)[] = []
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup()
})
const newDir = temporaryDirs(cleanups)

interface Line {
  offset: number
  time: string | null
  db: number
  command: string[]
}

async function tailLines(...args: string[]): Promise<Line[]> {
  const { out, err, code } = await runCli(['tail', ...args, '--json'])
  expect(code, err).toBe(0)
  return out
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line)
}

test('every command behind all bases is shown, at its time and offset', async () => {
  const { dir, parts, states } = writeThreeBases(newDir)
  const expected = states.filter(({ n }, i) => states[i - 1]?.n !== n && n !== '0')
  for (const path of [dir, join(parts, 'appendonly.aof.manifest')]) {
    const lines = await tailLines(path)
    expect(lines).toEqual(
      expected.map(({ replOffset, n, unixSeconds }) => ({
        offset: replOffset,
        time: new Date(unixSeconds * 1000).toISOString(),
        db: 0,
        command: ['SET', 'n', n],
      })),
    )
  }
})

test('a window of time, a number of commands, an offset', async () => {
  const { dir, states } = writeThreeBases(newDir)
  const at = (seconds: number): string => new Date((START_SECONDS + seconds) * 1000).toISOString()
  const values = async (...args: string[]): Promise<(string | undefined)[]> =>
    (await tailLines(dir, ...args)).map(({ command }) => command[2])
  expect(await values('--from', at(2), '--until', at(4))).toEqual(['2', '3', '4'])
  expect(await values('--from', at(7), '--count', '2')).toEqual(['6', '7'])
  expect(await values('--until', `offset:${states[2]!.replOffset}`)).toEqual(['1', '2'])
  expect(await values('--match', 'other*')).toEqual([])
})

test('the moment before an accident is one less than its offset', async () => {
  const { dir, parts } = writeThreeBases(newDir)
  const last = join(parts, 'appendonly.aof.6.incr.aof')
  const more = `#TS:${START_SECONDS + 60}\r\n${respCommand('FLUSHALL')}${respCommand('SET', 'n', 'x')}`
  writeFileSync(last, readFileSync(last, 'latin1') + more)
  const [flush, ...others] = await tailLines(dir, '--command', 'FLUSHALL')
  expect(others).toEqual([])
  expect(flush).toMatchObject({ command: ['FLUSHALL'], time: '2026-11-22T10:01:00.000Z' })
  const until = async (offset: number): Promise<unknown> =>
    (await tailLines(dir, '--until', `offset:${offset}`)).at(-1)?.command
  expect(await until(flush!.offset)).toEqual(['FLUSHALL'])
  expect(await until(flush!.offset - 1)).toEqual(['SET', 'n', '12'])
})

test('a gap is told where it lies, and what is on both sides is shown', async () => {
  const { dir } = writeThreeBases(newDir, { gapBefore: 3 })
  const { out, err, code } = await runCli(['tail', dir])
  expect(code).toBe(0)
  expect(out.split('\n').filter((line) => line !== '')).toHaveLength(12)
  expect(err).toContain('gap: what came from offset')
})

test('a single AOF is read too, with and without times, also from a pipe', async () => {
  const dir = newDir()
  const plain = join(dir, 'plain.aof')
  const commands = respCommand('SELECT', '3') + respCommand('SET', 'k', 'v')
  writeFileSync(plain, commands)
  const line = { offset: commands.length, time: null, db: 3, command: ['SET', 'k', 'v'] }
  expect(await tailLines(plain)).toEqual([line])
  expect((await runCli(['tail', plain])).out).toBe(`- ${commands.length} db3 SET "k" "v"\n`)
  const piped = await runCli(['tail', '-', '--json'], { stdin: Buffer.from(commands) })
  expect(JSON.parse(piped.out)).toEqual(line)
  const preamble = join(dir, 'preamble.aof')
  const rdb = smallRdb({ n: '0' }, START_SECONDS)
  writeFileSync(preamble, Buffer.concat([rdb, Buffer.from(commands)]))
  expect(await tailLines(preamble)).toEqual([{ ...line, offset: rdb.length + commands.length }])
  const refused = await runCli(['tail', plain, '--from', '2026-11-22T10:00:00Z'])
  expect(refused).toMatchObject({ code: 2 })
  expect(refused.err).toContain('have no times')
})

test('figures, bytes, and what is no archive', async () => {
  const { dir, parts } = writeThreeBases(newDir)
  const stats = JSON.parse((await runCli(['tail', dir, '--stats', '--json'])).out) as object
  expect(stats).toMatchObject({ commands: 12, byCommand: [{ name: 'SET', commands: 12 }] })
  const { out } = await runCli(['tail', dir, '--resp', '--command', 'SET', '--count', '1'])
  expect(out).toBe(respCommand('SELECT', '0') + respCommand('SET', 'n', '1'))
  const snapshot = await runCli(['tail', join(parts, 'appendonly.aof.1.base.rdb')])
  expect(snapshot).toMatchObject({ code: 5 })
  expect(snapshot.err).toContain('is a snapshot: no commands follow it')
  for (const wrong of [
    ['--for', '1s'],
    ['-o', join(dir, 'x')],
  ]) {
    expect((await runCli(['tail', dir, ...wrong])).code).toBe(2)
  }
  expect((await runCli(['tail', '127.0.0.1:1', '--from', '2026-11-22'])).code).toBe(2)
})
