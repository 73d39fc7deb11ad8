import { spawn } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { FileError } from '../../src/errors.js'
import { WholeFile } from '../../src/disk/whole-file.js'
import { temporaryName } from '../../src/disk/owner.js'

let dir: string
let target: string

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'rrep-sink-'))
  target = join(dir, 'dump.rdb')
})

afterEach(() => {
  rmSync(dir, { recursive: true, force: true })
})

test('the file has its name only when it is whole, and is for its owner only', async () => {
  writeFileSync(target, 'old')
  const sink = new WholeFile(target)
  sink.write(Buffer.from('xxnew bytesxx'), 2, 11)
  expect(readFileSync(target, 'utf8')).toBe('old')
  expect(readdirSync(dir).filter((name) => name.startsWith('.dump.rdb.'))).toHaveLength(1)
  await sink.commit()
  expect(readFileSync(target, 'utf8')).toBe('new bytes')
  expect(statSync(target).mode & 0o777).toBe(0o600)
  expect(readdirSync(dir)).toEqual(['dump.rdb'])
})

test('a discarded file leaves no trace, and the old one as it was', () => {
  writeFileSync(target, 'old')
  const sink = new WholeFile(target)
  sink.write(Buffer.from('half'))
  sink.discard()
  sink.discard()
  expect(readdirSync(dir)).toEqual(['dump.rdb'])
  expect(readFileSync(target, 'utf8')).toBe('old')
})

test('past the cache or not, all bytes are there, in pieces of any size', async () => {
  // Each directory on its own: some file systems cannot write past the cache.
  const places = [dir, ...(existsSync('/dev/shm') ? [mkdtempSync('/dev/shm/rrep-sink-')] : [])]
  const source = Buffer.allocUnsafe(3 << 20)
  for (let at = 0; at < source.length; at += 4)
    source.writeUInt32LE(Math.imul(at, 2654435761) >>> 0, at)
  try {
    for (const place of places) {
      await fc.assert(
        fc.asyncProperty(
          fc.array(
            fc.oneof(
              fc.integer({ min: 0, max: 70_000 }),
              fc.integer({ min: 0, max: 3 << 20 }),
              fc.constantFrom(4096, 1 << 20, (1 << 20) - 1, (1 << 20) + 1),
            ),
            { maxLength: 8 },
          ),
          fc.constantFrom('none', 'restart', 'read'),
          async (lengths, between) => {
            const path = join(place, 'direct.rdb')
            const sink = new WholeFile(path, { direct: true })
            const expected: Buffer[] = []
            if (between === 'restart') {
              sink.write(source, 5)
              sink.restart()
            }
            for (const [index, length] of lengths.entries()) {
              sink.write(source, 0, length)
              expected.push(source.subarray(0, length))
              // What reads along needs all of it, and more may come behind.
              if (between === 'read' && index === 1) {
                expect(readFileSync(sink.openFd()).equals(Buffer.concat(expected))).toBe(true)
              }
            }
            const whole = Buffer.concat(expected)
            expect(sink.bytes).toBe(whole.length)
            await sink.commit()
            expect(readFileSync(path).equals(whole)).toBe(true)
            expect(statSync(path).mode & 0o777).toBe(0o600)
          },
        ),
        { numRuns: 25 },
      )
      expect(readdirSync(place)).toEqual(['direct.rdb'])
    }
  } finally {
    for (const place of places.slice(1)) rmSync(place, { recursive: true })
  }
})

test('while it grows, what it says is in the file is there', async () => {
  const source = Buffer.allocUnsafe(700_000)
  for (let at = 0; at < source.length; at += 4) source.writeUInt32LE(at, at)
  const sink = new WholeFile(target, { direct: true })
  const expected: Buffer[] = []
  for (let round = 0; round < 30; round += 1) {
    sink.write(source)
    expected.push(source)
    if (round % 3 === 0) await sink.drain()
    const there = readFileSync(sink.temporaryPath).subarray(0, sink.fileBytes)
    expect(there.length).toBe(sink.fileBytes)
    expect(there.equals(Buffer.concat(expected).subarray(0, there.length))).toBe(true)
  }
  await sink.commit()
  expect(readFileSync(target).equals(Buffer.concat(expected))).toBe(true)
})

test('a file that is given up while blocks are on their way leaves no trace', () => {
  const sink = new WholeFile(target, { direct: true })
  sink.write(Buffer.alloc(5 << 20))
  sink.discard()
  expect(readdirSync(dir)).toEqual([])
})

test('a restart begins with nothing', async () => {
  const sink = new WholeFile(target)
  sink.write(Buffer.from('a long first attempt'))
  sink.restart()
  sink.write(Buffer.from('second'))
  expect(sink.bytes).toBe(6)
  await sink.commit()
  expect(readFileSync(target, 'utf8')).toBe('second')
})

test('two runs onto one file do not hurt each other: the last wins whole', async () => {
  const first = new WholeFile(target)
  first.write(Buffer.from('first'))
  const second = new WholeFile(target)
  second.write(Buffer.from('second one'))
  await first.commit()
  expect(readFileSync(target, 'utf8')).toBe('first')
  await second.commit()
  expect(readFileSync(target, 'utf8')).toBe('second one')
  expect(readdirSync(dir)).toEqual(['dump.rdb'])
})

test('what a dead process left is cleared, what a living one writes is not', async () => {
  const ended = spawn(process.execPath, ['-e', ''])
  const deadPid = ended.pid!
  await new Promise((resolve) => ended.once('exit', resolve))
  const own = temporaryName('dump.rdb')
  const dead = own.replace(`-${process.pid}-`, `-${deadPid}-`)
  // The pid is in use again, by a process that began later.
  const reused = own.replace(/-\d+-([0-9a-f]{8}\.part)$/, '-1-$1')
  const foreign = own.replace(/^(\.dump\.rdb\.)[0-9a-f]{12}/, '$1aaaaaaaaaaaa')
  const foreignOld = own.replace(/^(\.dump\.rdb\.)[0-9a-f]{12}/, '$1bbbbbbbbbbbb')
  const other = ['.dump.rdb.part', '.dump.rdb.notes-1-2-3.part', '.other.rdb.x.part', 'dump.rdb.1']
  for (const name of [own, dead, reused, foreign, foreignOld, ...other]) {
    writeFileSync(join(dir, name), 'x')
  }
  const twoDaysAgo = Date.now() / 1000 - 2 * 86_400
  utimesSync(join(dir, foreignOld), twoDaysAgo, twoDaysAgo)
  const sink = new WholeFile(target)
  sink.discard()
  const left = readdirSync(dir)
  expect(left).not.toContain(dead)
  if (existsSync('/proc/self/stat')) expect(left).not.toContain(reused)
  expect(left).not.toContain(foreignOld)
  expect(left).toEqual(expect.arrayContaining([own, foreign, ...other]))
})

test.each([
  ['missing/dump.rdb', 'ERR_NO_SUCH_DIRECTORY'],
  ['a-directory', 'ERR_CANNOT_WRITE'],
])('%s cannot be written, which shows before anything is asked of a server', (name, code) => {
  mkdirSync(join(dir, 'a-directory'))
  let error: unknown
  try {
    new WholeFile(join(dir, name)).discard()
  } catch (caught) {
    error = caught
  }
  expect(error).toBeInstanceOf(FileError)
  expect((error as FileError).code).toBe(code)
})
