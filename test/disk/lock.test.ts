import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Lock } from '../../src/disk/lock.js'
import { newOwnerToken } from '../../src/disk/owner.js'
import { FileError } from '../../src/errors.js'
import { RelayDir } from '../../src/serving/origin/relay-state.js'

const ROUNDS = 40
let dir: string
let path: string

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'rrep-lock-'))
  path = join(dir, 'lock')
})

afterEach(() => {
  rmSync(dir, { recursive: true, force: true })
})

function take(): Lock {
  return Lock.take(path, { what: 'it' })
}

function refusal(work: () => unknown): string | undefined {
  try {
    work()
    return undefined
  } catch (error) {
    return error instanceof FileError ? error.code : String(error)
  }
}

/** What a holder that is gone would have left. */
function leave(at: string, token: string, ageSeconds = 0): void {
  writeFileSync(at, JSON.stringify({ token, pid: 1, host: 'elsewhere' }))
  const then = Date.now() / 1000 - ageSeconds
  utimesSync(at, then, then)
}

/** Of a process that has ended: its pid is in use again, by one that began later. */
function deadToken(): string {
  return newOwnerToken().replace(/^([0-9a-f]{12}-\d+)-\d+-/, '$1-1-')
}

test('a lock excludes its own process too, until it is released', () => {
  const first = take()
  expect(refusal(take)).toBe('ERR_IN_USE')
  first.release()
  const second = take()
  // Releasing twice takes nobody else's away.
  first.release()
  expect(refusal(take)).toBe('ERR_IN_USE')
  second.release()
  expect(readdirSync(dir)).toEqual([])
})

test('two relays of one process do not get the same directory', () => {
  const first = new RelayDir(join(dir, 'relay'))
  expect(refusal(() => new RelayDir(join(dir, 'relay')))).toBe('ERR_IN_USE')
  first.unlock()
  new RelayDir(join(dir, 'relay')).unlock()
})

test('a lock that was taken over is not removed by who had it', () => {
  const first = take()
  const other = newOwnerToken()
  leave(path, other)
  first.release()
  expect(readFileSync(path, 'utf8')).toContain(other)
})

test('a dead holder is succeeded, one in another container only when it shows no life', () => {
  leave(path, deadToken())
  take().release()
  const foreign = newOwnerToken().replace(/^[0-9a-f]{12}/, 'aaaaaaaaaaaa')
  leave(path, foreign)
  expect(refusal(take)).toBe('ERR_IN_USE')
  leave(path, foreign, 3600)
  take().release()
  // What an older version wrote, or what was cut short.
  writeFileSync(path, '1')
  expect(refusal(take)).toBe('ERR_IN_USE')
  utimesSync(path, 1, 1)
  take().release()
  expect(readdirSync(dir)).toEqual([])
})

test('whoever died while taking over is succeeded too', () => {
  const dead = deadToken()
  leave(path, dead)
  leave(`${path}.after-${dead}`, deadToken())
  take().release()
})

test('of two processes that want a dead lock at the same moment one gets it, each time', async () => {
  for (let round = 0; round < ROUNDS; round += 1) leave(join(dir, `${round}`), deadToken())
  const script = `
    import { existsSync, writeFileSync } from 'node:fs'
    import { Lock } from ${JSON.stringify(join(import.meta.dirname, '../../src/disk/lock.ts'))}
    const [dir, me, other] = process.argv.slice(1)
    const won = []
    for (let round = 0; round < ${ROUNDS}; round += 1) {
      writeFileSync(dir + '/' + me + round, '')
      while (!existsSync(dir + '/' + other + round));
      try {
        Lock.take(dir + '/' + round, { what: 'it' })
        won.push(round)
      } catch (error) {
        if (error.code !== 'ERR_IN_USE') throw error
      }
    }
    // Nobody dies before the other has tried.
    writeFileSync(dir + '/' + me + 'end', '')
    while (!existsSync(dir + '/' + other + 'end'));
    console.log(JSON.stringify(won))
  `
  const run = async (me: string, other: string): Promise<number[]> => {
    const args = ['--import', 'tsx', '--input-type=module', '-e', script, dir, me, other]
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    return JSON.parse(await text(child.stdout)) as number[]
  }
  const won = await Promise.all([run('a', 'b'), run('b', 'a')])
  expect(won.flat().sort((a, b) => a - b)).toEqual([...Array(ROUNDS).keys()])
})

test('a lock on a disk that has become full can be released', (context) => {
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', dir]).status !== 0) {
    context.skip('no right to mount a small file system here')
    return
  }
  try {
    const lock = take()
    expect(() => writeFileSync(join(dir, 'filler'), Buffer.alloc(1 << 20))).toThrow('ENOSPC')
    lock.release()
    expect(readdirSync(dir)).toEqual(['filler'])
  } finally {
    spawnSync('umount', ['-l', dir])
  }
})
