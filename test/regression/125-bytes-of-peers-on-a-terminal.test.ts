/** A user's terminal was driven by a file, by a server's version, and by an export to the screen. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { jsonLine, safeLine, safeText } from '../../src/cli/guard.js'
import type { Io } from '../../src/cli/io.js'
import { createTalk, type Talk } from '../../src/cli/talk.js'
import { runCli } from '../helpers/cli.js'
import { rdbBody, rdbBytes } from '../helpers/rdb-bytes.js'
import { startScriptedMaster, type ScriptedMaster } from '../helpers/scripted-master.js'

const COLOUR = new RegExp(`${String.fromCharCode(27)}\\[\\d{1,2}m`, 'g')
const EVIL = '\u001b]0;title\u0007\u001b[2J\u009b31m\u202e\u200b\r\nrrep: all is well'
const dir = mkdtempSync(join(tmpdir(), 'rrep-evil-'))
let master: ScriptedMaster | undefined

beforeAll(() => {
  writeFileSync(join(dir, 'evil.rdb'), rdbBytes({ body: rdbBody({ [EVIL]: EVIL }) }))
})
afterEach(async () => {
  await master?.stop()
  master = undefined
})
afterAll(() => rmSync(dir, { recursive: true, force: true }))

/** Nothing that a terminal obeys, but line ends and colours of our own. */
function expectHarmless(text: string): void {
  const bare = text.replaceAll(COLOUR, '')
  expect(JSON.stringify(/[^\n\P{C}]|\p{Zl}|\p{Zp}/u.exec(bare)?.[0])).toBe(undefined)
}

function talkOnTerminal(): { talk: Talk; stderr: () => string } {
  let text = ''
  const stderr = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      text += chunk.toString()
      done()
    },
  })
  const io = {
    stderr,
    stdout: stderr,
    env: {},
    stdoutIsTty: true,
    stderrIsTty: true,
  } as unknown as Io
  return { talk: createTalk(io, { debug: true }), stderr: () => text }
}

test('an error of a server in the handshake', async () => {
  master = await startScriptedMaster({
    reply: (args) => (args[0] === 'PING' ? `-ERR ${EVIL.replace('\r\n', '')}\r\n` : undefined),
  })
  const to = `127.0.0.1:${master.port}`
  for (const tty of [true, false]) {
    const result = await runCli(['sync', to, '-o', join(dir, 'x.rdb'), '--retries', '0'], { tty })
    expect(result.code).not.toBe(0)
    expectHarmless(result.err)
  }
})

test('what a command says of its peers', async () => {
  const { talk, stderr } = talkOnTerminal()
  talk.say(`target: Redis ${EVIL}`)
  talk.warn(EVIL)
  talk.problem(EVIL)
  talk.trace(EVIL)
  await Promise.resolve()
  expect(stderr()).toContain('target: Redis')
  expectHarmless(stderr())
})

test.each([
  [['inspect', '--keys']],
  [['inspect', '--csv']],
  [['inspect', '--json']],
  [['inspect']],
  [['inspect', '--keys', '--json']],
  [['export', '--format', 'jsonl']],
  [['export', '--format', 'json']],
  [['export', '--format', 'resp']],
])('a key and its value on the screen: %j', async ([verb = '', ...options]) => {
  const result = await runCli([verb, join(dir, 'evil.rdb'), ...options, '-q'], { tty: true })
  expect(result.code, result.err).toBe(0)
  expectHarmless(result.out + result.err)
})

test('a pipe gets an export byte for byte', async () => {
  const { out } = await runCli(['export', join(dir, 'evil.rdb'), '--format', 'resp'])
  expect(out).toContain(EVIL)
})

test('the guard leaves what is harmless, and JSON means the same behind it', () => {
  expect(safeLine('Ω → “x” \\ 漢字 █')).toBe('Ω → “x” \\ 漢字 █')
  expect(safeLine('a\nb\u001b[31m')).toBe('a\\nb\\x1b[31m')
  expect(safeText('\u001b[31mred\u001b[39m\u001b[8m\n', true)).toBe(
    '\u001b[31mred\u001b[39m\\x1b[8m\n',
  )
  expect(JSON.parse(jsonLine({ a: EVIL }))).toEqual({ a: EVIL })
  expectHarmless(jsonLine({ a: EVIL }))
})
