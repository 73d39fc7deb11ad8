/** Where words go: stdout or stderr, coloured or plain, or nowhere. */
import { PassThrough, Writable } from 'node:stream'
import { expect, test } from 'vitest'
import type { Io } from '../../src/cli/io.js'
import { describeProgress } from '../../src/cli/render/progress.js'
import { createTalk, type CommonOptions } from '../../src/cli/talk.js'
import { waitFor } from '../helpers/servers.js'

function setup(options: CommonOptions, { tty = false, env = {} } = {}) {
  const stdout = new PassThrough()
  const stderr = new PassThrough()
  const io: Io = {
    stdin: new PassThrough(),
    stdout,
    stderr,
    env,
    stdinIsTty: false,
    stdoutIsTty: tty,
    stderrIsTty: tty,
    columns: undefined,
    signal: new AbortController().signal,
    onHangup: () => () => undefined,
  }
  return { talk: createTalk(io, options), stderr, stdout }
}

const textOf = (stream: PassThrough): string => {
  const chunk = stream.read() as Buffer | null
  return chunk === null ? '' : chunk.toString()
}

test('talk is plain in a pipe, coloured on a terminal, plain again when forbidden', () => {
  const coloured = (made: ReturnType<typeof setup>): boolean =>
    made.talk.err.red('x').includes('\x1b')
  expect(coloured(setup({}))).toBe(false)
  expect(coloured(setup({}, { tty: true }))).toBe(true)
  expect(coloured(setup({ color: false }, { tty: true }))).toBe(false)
  expect(coloured(setup({}, { tty: true, env: { NO_COLOR: '1' } }))).toBe(false)
  // An empty NO_COLOR is none, as its page says.
  expect(coloured(setup({}, { tty: true, env: { NO_COLOR: '' } }))).toBe(true)
})

test('quiet keeps talk and warnings back, --json talk; never why a run fails', () => {
  for (const options of [{ quiet: true }, { json: true }]) {
    const { talk, stderr } = setup(options)
    talk.say('hello')
    expect(textOf(stderr)).toBe('')
    talk.warn('this is odd')
    expect(textOf(stderr).includes('this is odd')).toBe(!talk.quiet)
    talk.problem('lost 3 keys')
    expect(textOf(stderr)).toContain('lost 3 keys')
  }
})

test('progress is silent in a pipe', () => {
  const { talk, stderr, stdout } = setup({})
  const progress = talk.progress('working')
  progress.update({ label: 'reading', done: 5, total: 10, unit: 'bytes' })
  talk.end()
  expect(textOf(stderr) + textOf(stdout)).toBe('')
})

test('data waits for a slow reader', async () => {
  const { talk } = setup({})
  const slow = new Writable({ highWaterMark: 4 })
  let release: () => void = () => undefined
  slow._write = (_chunk, _encoding, done) => (release = () => done())
  const io = { stdout: slow, signal: new AbortController().signal, env: {}, stderr: slow }
  const slowTalk = createTalk(io as unknown as Io, {})
  let written = false
  const writing = slowTalk.write('more than four bytes').then(() => (written = true))
  await waitFor(() => slow.writableNeedDrain, { what: 'a full buffer' })
  expect(written).toBe(false)
  release()
  await writing
  expect(written).toBe(true)
  talk.end()
})

test('progress tells percent, rate and time left where the whole is known', () => {
  const mib = 1024 * 1024
  expect(
    describeProgress({ label: 'receiving', done: 25 * mib, total: 100 * mib, unit: 'bytes' }, mib),
  ).toBe('receiving: 25.0 MiB of 100 MiB (25%), 1.00 MiB/s, 1m15s left')
  expect(describeProgress({ label: 'keys', done: 1200, unit: 'keys', note: 'db 3' }, 0)).toBe(
    'keys: 1,200 keys, db 3',
  )
})
