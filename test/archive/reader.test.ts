/** The one reader of archives: which files come to the state of a moment, in every form. */
import { copyFileSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { AofParser } from '../../src/aof/aof-parser.js'
import { MomentGate } from '../../src/archive/moment-gate.js'
import type { Moment } from '../../src/archive/moment.js'
import { openArchive, type ArchiveState } from '../../src/archive/reader.js'
import {
  respCommand,
  smallRdb,
  START_SECONDS,
  temporaryDirs,
  writeThreeBases,
} from '../helpers/archive-dirs.js'

const cleanups: (() => unknown)[] = []
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup()
})
const newDir = temporaryDirs(cleanups)

/** The value of `n` that a state comes to, and the base that it was loaded from. */
function valueOf(state: ArchiveState): { n: string; base: string } {
  const rdb = state.base === undefined ? '' : readFileSync(state.base.path, 'latin1')
  let n = /n[^\w](\d+)\0/.exec(rdb)?.[1] ?? ''
  const gate = new MomentGate(state.moment)
  let isOver = false as boolean
  for (const { path, startByteOffset } of state.increments) {
    if (isOver) break
    gate.beginPart(startByteOffset)
    const parser: AofParser = new AofParser({
      command: (command, at) => {
        if (!gate.command(at)) {
          isOver = true
          parser.stop()
        } else if (command.arg(0).toString() === 'SET') n = command.arg(2).toString()
      },
      timestamp: (seconds) => {
        if (gate.timestamp(seconds)) return
        isOver = true
        parser.stop()
      },
      annotation: (line, at) => gate.annotation(line, at),
    })
    parser.push(readFileSync(path))
  }
  return { n, base: state.base === undefined ? '' : basename(state.base.path) }
}

const at = (dir: string, moment: Moment): { n: string; base: string } =>
  valueOf(openArchive(dir).at(moment))

function reasonOf(action: () => unknown): unknown {
  try {
    action()
  } catch (error) {
    return (error as { reason?: string }).reason ?? error
  }
  return 'nothing was thrown'
}

test('every offset and every second over three bases comes to the state that it had', () => {
  const { dir, states } = writeThreeBases(newDir)
  for (const { replOffset, unixSeconds, n } of states) {
    expect(at(dir, { replOffset }), `offset ${replOffset}`).toMatchObject({ n })
    // The last state within a second is the state of the second.
    const last = states.findLast((each) => each.unixSeconds === unixSeconds)!
    expect(at(dir, { timeMs: unixSeconds * 1000 }), `second ${unixSeconds}`).toMatchObject({
      n: last.n,
    })
  }
  expect(at(dir, 'end')).toEqual({ n: '12', base: 'appendonly.aof.3.base.rdb' })
  expect(at(dir, { replOffset: states[6]!.replOffset }).base).toBe('appendonly.aof.2.base.rdb')
  expect(openArchive(dir).problems).toEqual([])
})

test('the archive, its inner directory and its manifest are one and the same', () => {
  const { dir, parts } = writeThreeBases(newDir)
  for (const name of [dir, parts, join(parts, 'appendonly.aof.manifest')]) {
    expect(openArchive(name)).toMatchObject({ kind: 'archive', source: '127.0.0.1:6379' })
    expect(at(name, 'end').n).toBe('12')
  }
})

test('the manifest of an older state, named by itself, is that state', () => {
  const { parts } = writeThreeBases(newDir)
  const older = join(parts, 'rrep-before-3.manifest')
  expect(at(older, 'end')).toEqual({ n: '8', base: 'appendonly.aof.2.base.rdb' })
})

test('what an archive does not hold is refused, and why is said', () => {
  const { dir, states } = writeThreeBases(newDir)
  const archive = openArchive(dir)
  const end = states.at(-1)!.replOffset
  expect(archive.endReplOffset()).toBe(end)
  expect(reasonOf(() => archive.at({ replOffset: 999 }))).toBe('before-first-base')
  expect(reasonOf(() => archive.at({ timeMs: (START_SECONDS - 1) * 1000 }))).toBe(
    'before-first-base',
  )
  expect(reasonOf(() => archive.at({ replOffset: end + 1 }))).toBe('after-end')
  expect(reasonOf(() => archive.at({ replOffset: end }))).toBe('nothing was thrown')
})

test('inside a gap nothing is known, before and behind it everything', () => {
  const { dir, states } = writeThreeBases(newDir, { gapBefore: 3 })
  const archive = openArchive(dir)
  const before = states[9]!
  const behind = states[10]!
  expect(before.n).toBe('8')
  expect(at(dir, { replOffset: before.replOffset }).n).toBe('8')
  expect(at(dir, { timeMs: before.unixSeconds * 1000 }).n).toBe('8')
  expect(at(dir, { replOffset: behind.replOffset }).n).toBe(behind.n)
  expect(reasonOf(() => archive.at({ replOffset: before.replOffset + 1 }))).toBe('in-gap')
  expect(reasonOf(() => archive.at({ replOffset: behind.replOffset - 1 }))).toBe('in-gap')
  expect(reasonOf(() => archive.at({ timeMs: (before.unixSeconds + 60) * 1000 }))).toBe('in-gap')
  expect(
    archive.windows.map((each) => [each.fromReplOffset, each.toReplOffset, each.bases]),
  ).toEqual([
    [1000, before.replOffset, 2],
    [behind.replOffset, undefined, 1],
  ])
  expect(archive.increments.map((each) => each.isBehindGap)).toEqual([
    ...[false, false, false, false, true, false],
  ])
})

test.each([
  ['cut off', (path: string) => truncateSync(path, 300)],
  ['gone', (path: string) => rmSync(path)],
  ['of a future format', (path: string) => writeFileSync(path, '{"format":2}')],
])('a sidecar that is %s is told, and every moment is still found', (_what, damage) => {
  const { dir, parts, states } = writeThreeBases(newDir)
  damage(join(parts, 'rrep.json'))
  for (const { replOffset, n } of states) expect(at(dir, { replOffset })).toMatchObject({ n })
  for (const { unixSeconds } of states) {
    const last = states.findLast((each) => each.unixSeconds === unixSeconds)!
    expect(at(dir, { timeMs: unixSeconds * 1000 }).n).toBe(last.n)
  }
  expect(openArchive(dir).problems.join()).toContain('sidecar')
})

test('a gap is found again where there is no sidecar', () => {
  const { dir, parts, states } = writeThreeBases(newDir, { gapBefore: 3 })
  rmSync(join(parts, 'rrep.json'))
  const archive = openArchive(dir)
  expect(reasonOf(() => archive.at({ replOffset: states[9]!.replOffset + 1 }))).toBe('in-gap')
  expect(at(dir, { replOffset: states[9]!.replOffset }).n).toBe('8')
})

test('a sidecar that names a file by a path is not followed', () => {
  const { dir, parts } = writeThreeBases(newDir)
  const sidecar = join(parts, 'rrep.json')
  const text = readFileSync(sidecar, 'utf8')
  for (const evil of ['../../victim', 'a/b', '..', 'a\\\\b', 'a\\u0000b']) {
    writeFileSync(sidecar, text.replace('"appendonly.aof.1.base.rdb"', `"${evil}"`))
    const archive = openArchive(dir)
    expect(archive.problems.join()).toContain('names a file by a path')
    expect(archive.at('end').base?.path).toBe(join(parts, 'appendonly.aof.3.base.rdb'))
  }
})

test('an increment that was begun and not listed yet is read', () => {
  const { dir, parts, states } = writeThreeBases(newDir)
  const manifest = join(parts, 'appendonly.aof.manifest')
  const text = readFileSync(manifest, 'utf8')
  writeFileSync(manifest, text.replace(/.*6\.incr.*\n/, ''))
  const sidecar = join(parts, 'rrep.json')
  const value = JSON.parse(readFileSync(sidecar, 'utf8')) as { timeline: { file?: string }[] }
  value.timeline = value.timeline.filter((each) => each.file !== 'appendonly.aof.6.incr.aof')
  writeFileSync(sidecar, JSON.stringify(value))
  expect(at(dir, 'end').n).toBe('12')
  expect(openArchive(dir).endReplOffset()).toBe(states.at(-1)!.replOffset)
})

test('files that were pruned since the archive was opened are looked for again', () => {
  const { dir, parts, states } = writeThreeBases(newDir)
  const archive = openArchive(dir)
  const sidecar = join(parts, 'rrep.json')
  const value = JSON.parse(readFileSync(sidecar, 'utf8')) as { timeline: unknown[] }
  value.timeline.splice(0, 3)
  writeFileSync(sidecar, JSON.stringify(value))
  for (const name of ['1.base.rdb', '1.incr.aof', '2.incr.aof']) {
    rmSync(join(parts, `appendonly.aof.${name}`))
  }
  expect(reasonOf(() => archive.at({ replOffset: states[1]!.replOffset }))).toBe(
    'before-first-base',
  )
  expect(valueOf(archive.at({ replOffset: states[6]!.replOffset })).n).toBe(states[6]!.n)
})

test('a listed increment that is missing is an error that names it', () => {
  const { dir, parts } = writeThreeBases(newDir)
  rmSync(join(parts, 'appendonly.aof.5.incr.aof'))
  expect(() => openArchive(dir).at('end')).toThrow(
    /appendonly\.aof\.5\.incr\.aof, which is missing/,
  )
})

/** As redis-server writes it: other names, no marks, no sidecar. */
function serverDir(base: Buffer | undefined, incr: string, name = 'appendonlydir'): string {
  const dir = newDir()
  const parts = join(dir, name)
  mkdirSync(parts)
  let manifest = ''
  if (base !== undefined) {
    writeFileSync(join(parts, 'my.aof.1.base.rdb'), base)
    manifest += 'file my.aof.1.base.rdb seq 1 type b\n'
  }
  writeFileSync(join(parts, 'my.aof.1.incr.aof'), incr)
  writeFileSync(join(parts, 'my.aof.manifest'), `${manifest}file my.aof.1.incr.aof seq 1 type i\n`)
  return dir
}

const TWO_SECONDS =
  `#TS:${START_SECONDS}\r\n${respCommand('SELECT', '0')}${respCommand('SET', 'n', '1')}` +
  `#TS:${START_SECONDS + 1}\r\n${respCommand('SET', 'n', '2')}`

test.each([
  ['a full base', smallRdb({ n: '0', base: '1' }, START_SECONDS - 1), 'appendonlydir'],
  ['an empty base', smallRdb({}, START_SECONDS - 1), 'appendonlydir'],
  ['no base', undefined, 'appendonlydir'],
  ['a directory of another name', smallRdb({}, START_SECONDS - 1), 'backup-1795341600'],
])("a server's own directory with %s has an end, times and places", (_what, base, name) => {
  const dir = serverDir(base, TWO_SECONDS, name)
  const archive = openArchive(dir)
  expect(archive).toMatchObject({ kind: 'server', problems: [] })
  expect(archive.endReplOffset()).toBeUndefined()
  expect(at(dir, 'end').n).toBe('2')
  expect(at(dir, { timeMs: START_SECONDS * 1000 }).n).toBe('1')
  const firstEnd = (base?.length ?? 0) + TWO_SECONDS.indexOf('#TS:', 1)
  expect(at(dir, { replOffset: firstEnd }).n).toBe('1')
  const size = (base?.length ?? 0) + TWO_SECONDS.length
  expect(at(dir, { replOffset: size }).n).toBe('2')
  expect(reasonOf(() => archive.at({ replOffset: size + 1 }))).toBe('after-end')
  if (base === undefined) return
  expect(reasonOf(() => archive.at({ replOffset: base.length - 1 }))).toBe('before-first-base')
  expect(reasonOf(() => archive.at({ timeMs: (START_SECONDS - 2) * 1000 }))).toBe(
    'before-first-base',
  )
})

test('a time is refused where the commands have none', () => {
  const dir = serverDir(smallRdb({}, START_SECONDS), respCommand('SET', 'n', '1'))
  expect(reasonOf(() => openArchive(dir).at({ timeMs: Date.now() }))).toBe('no-times')
  const empty = serverDir(smallRdb({ n: '5', base: '1' }, START_SECONDS), '')
  expect(at(empty, { timeMs: Date.now() }).n).toBe('5')
})

test('two sets in one directory are refused by their names; the one that is meant can be named', () => {
  const { dir, parts } = writeThreeBases(newDir)
  copyFileSync(join(parts, 'appendonly.aof.manifest'), join(parts, 'other.aof.manifest'))
  expect(() => openArchive(dir)).toThrow(/2 manifests: appendonly\.aof\.manifest, other\.aof/)
  expect(at(join(parts, 'other.aof.manifest'), 'end').n).toBe('12')
})

test('an archive that a server went on with is read by its manifest, and that is told', () => {
  const { dir, parts } = writeThreeBases(newDir)
  writeFileSync(join(parts, 'appendonly.aof.7.incr.aof'), respCommand('SET', 'n', '99'))
  const manifest = join(parts, 'appendonly.aof.manifest')
  const line = 'file appendonly.aof.7.incr.aof seq 7 type i\n'
  writeFileSync(manifest, readFileSync(manifest, 'utf8') + line)
  const archive = openArchive(dir)
  expect(archive.kind).toBe('server')
  expect(archive.problems.join()).toContain('a server has gone on')
  expect(valueOf(archive.at('end')).n).toBe('99')
})
