import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { AtomicFile, writeFileAtomic } from '../../src/disk/atomic-file.js'

let dir: string
let path: string

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'rrep-atomic-'))
  path = join(dir, 'state.json')
})

afterEach(() => {
  rmSync(dir, { recursive: true, force: true })
})

test('a later write wins over one on its way in the background', async () => {
  const file = new AtomicFile(path)
  const slow = file.writeSoon('old')
  file.write('new')
  await slow
  expect(readFileSync(path, 'utf8')).toBe('new')
  await Promise.all([file.writeSoon('1'), file.writeSoon('2'), file.writeSoon('3')])
  expect(readFileSync(path, 'utf8')).toBe('3')
  expect(readdirSync(dir)).toEqual(['state.json'])
})

test('on a full disk the old file stays, whole, and the error says what is wrong', (context) => {
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=24k', 'tmpfs', dir]).status !== 0) {
    context.skip('no right to mount a small file system here')
    return
  }
  try {
    const good = 'a'.repeat(5000)
    writeFileAtomic(path, good)
    writeFileSync(join(dir, 'filler'), Buffer.alloc(4096))
    expect(() => writeFileAtomic(path, 'b'.repeat(20_000))).toThrow(
      expect.objectContaining({ code: 'ERR_DISK_FULL' }),
    )
    expect(readFileSync(path, 'utf8')).toBe(good)
    expect(readdirSync(dir).sort()).toEqual(['filler', 'state.json'])
  } finally {
    spawnSync('umount', ['-l', dir])
  }
})

test('where files may not grow so large the old file stays', () => {
  writeFileAtomic(path, 'good')
  const module = JSON.stringify(join(import.meta.dirname, '../../src/disk/atomic-file.ts'))
  const script = `
    import { writeFileAtomic } from ${module}
    try {
      writeFileAtomic(process.argv[1], 'b'.repeat(200_000))
      console.log('written')
    } catch (error) {
      console.log(error.code)
    }
  `
  // In blocks of 512 bytes.
  const { stdout } = spawnSync(
    'sh',
    ['-c', 'ulimit -f 64; exec "$@"', 'sh', process.execPath, '--import', 'tsx'].concat([
      '--input-type=module',
      '-e',
      script,
      path,
    ]),
    { encoding: 'utf8', env: { ...process.env, TSX_DISABLE_CACHE: '1' } },
  )
  expect(stdout.trim()).toBe('ERR_FILE_TOO_LARGE')
  expect(readFileSync(path, 'utf8')).toBe('good')
  expect(readdirSync(dir)).toEqual(['state.json'])
})
