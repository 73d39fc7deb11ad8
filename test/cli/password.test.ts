import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { afterAll, expect, test } from 'vitest'
import { readServerSettings } from '../../src/cli/connect-options.js'
import type { Io } from '../../src/cli/io.js'
import { readPassword } from '../../src/cli/password.js'
import { createTalk } from '../../src/cli/talk.js'
import { AbortedError, FileError, UsageError } from '../../src/errors.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-password-'))
afterAll(() => rmSync(dir, { recursive: true }))

function terminal(env: Record<string, string> = {}, isTty = true) {
  const stdin = new PassThrough()
  const stderr = new PassThrough()
  const io = {
    stdin,
    stderr,
    stdout: new PassThrough(),
    env,
    stdinIsTty: isTty,
    signal: new AbortController().signal,
  } as unknown as Io
  const shown = (): string => {
    let text = ''
    // Newer Nodes give out one written chunk at a time.
    for (let chunk = next(); chunk !== null; chunk = next()) text += chunk.toString()
    return text
  }
  const next = (): Buffer | null => stderr.read() as Buffer | null
  return { io, stdin, shown }
}

test('a prompt takes a line and shows nothing of it', async () => {
  const { io, stdin, shown } = terminal()
  const password = readPassword(io, { ask: true, label: 'Password' })
  stdin.write('seXX\x7f\x7fcret\r')
  expect(await password).toBe('secret')
  expect(shown()).toBe('Password: \n')
})

test('Ctrl-C at the prompt interrupts', async () => {
  const { io, stdin } = terminal()
  const password = readPassword(io, { ask: true, label: 'Password' })
  stdin.write('abc\x03')
  await expect(password).rejects.toBeInstanceOf(AbortedError)
})

test('without a terminal a prompt is refused, with the ways that work', async () => {
  const { io } = terminal({}, false)
  await expect(readPassword(io, { ask: true, label: 'Password' })).rejects.toMatchObject({
    hint: expect.stringContaining('REDISCLI_AUTH') as string,
  })
})

test('a file gives its first line; an unreadable or empty one is an error', async () => {
  const { io } = terminal()
  const path = join(dir, 'password')
  writeFileSync(path, 'p w\r\nnot this\n')
  expect(await readPassword(io, { file: path, label: 'x' })).toBe('p w')
  writeFileSync(path, '\n')
  await expect(readPassword(io, { file: path, label: 'x' })).rejects.toBeInstanceOf(UsageError)
  await expect(readPassword(io, { file: `${path}.no`, label: 'x' })).rejects.toBeInstanceOf(
    FileError,
  )
})

test('the environment is asked last; the target has a variable of its own', async () => {
  const { io } = terminal({ REDISCLI_AUTH: 'one', RREP_TARGET_AUTH: 'two' })
  const source = await readServerSettings('host:1', {}, io, createTalk(io, {}))
  const target = await readServerSettings('redis://u@[::1]:7', {}, io, createTalk(io, {}), 'target')
  expect(source).toMatchObject({ password: 'one', address: { host: 'host', port: 1 } })
  expect(target).toMatchObject({ password: 'two', username: 'u', address: { host: '::1' } })
})

test('TLS options mean TLS; half a certificate is refused', async () => {
  const { io } = terminal()
  const settings = await readServerSettings(
    'host',
    { insecure: true, sni: 'name' },
    io,
    createTalk(io, {}),
  )
  expect(settings).toMatchObject({
    address: { transport: 'tls' },
    tls: { insecure: true, sni: 'name' },
  })
  await expect(
    readServerSettings('host', { cert: 'x.pem' }, io, createTalk(io, {})),
  ).rejects.toBeInstanceOf(UsageError)
})
