/** What all commands share: help, exit codes, errors as lines or JSON, no secrets on the way. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import { describe, expect, test } from 'vitest'
import { createContext } from '../../src/cli/command.js'
import { registerCommands } from '../../src/cli/commands/index.js'
import { exitCodeOf } from '../../src/cli/exit-codes.js'
import type { Io } from '../../src/cli/io.js'
import {
  AbortedError,
  AofError,
  AuthError,
  FileError,
  InternalError,
  LinkError,
  ProtocolError,
  RdbError,
  TargetError,
  UsageError,
} from '../../src/errors.js'
import { runCli } from '../helpers/cli.js'

const program = new Command()
await registerCommands(
  program,
  createContext({} as Io, { exitCode: 0, options: undefined }, () => Promise.resolve(0)),
)
const names = program.commands.map((command) => command.name())

test('help and version go to stdout with exit 0', async () => {
  const help = await runCli(['--help'])
  expect(help.code).toBe(0)
  for (const name of names) expect(help.out).toContain(name)
  const version = await runCli(['--version'])
  expect(version.code).toBe(0)
  expect(version.out).toMatch(/^\d+\.\d+\.\d+\n$/)
})

describe.each(names.map((name) => [name]))('rrep %s', (name) => {
  test('has help with examples, the common options and the exit codes', async () => {
    const help = await runCli([name, '--help'])
    expect(help.code).toBe(0)
    expect(help.out).toContain('Examples:')
    expect(help.out).toContain(`$ rrep ${name}`)
    for (const option of ['--quiet', '--json', '--no-color', '--debug']) {
      expect(help.out).toContain(option)
    }
    expect(help.out).toContain('Exit status:')
    expect(help.out).not.toContain('\x1b')
  })

  test('an unknown option is wrong usage', async () => {
    const result = await runCli([name, '--no-such-option'])
    expect(result.code).toBe(2)
    expect(result.err).toMatch(/^rrep: .*--no-such-option/)
    expect(result.err).toContain(`(rrep ${name} --help tells more)`)
    expect(result.out).toBe('')
  })
})

test('every command file is registered', () => {
  const folder = join(import.meta.dirname, '../../src/cli/commands')
  const files = readdirSync(folder).filter(
    (file) => /^[a-z]+\.ts$/.test(file) && file !== 'index.ts',
  )
  expect(files.map((file) => file.slice(0, -3)).sort()).toEqual([...names].sort())
})

test('every command stands in the README', () => {
  const readme = readFileSync(join(import.meta.dirname, '../../README.md'), 'utf8')
  for (const name of names) expect(readme).toContain(`rrep ${name}`)
})

test('no command, or one that does not exist, is wrong usage', async () => {
  expect((await runCli(['frobnicate'])).code).toBe(2)
  const nothing = await runCli([])
  expect(nothing.code).toBe(2)
  expect(nothing.out).toBe('')
  expect(nothing.err).toContain('Usage: rrep')
  expect((await runCli(['help'])).code).toBe(0)
})

test.each([
  [new UsageError('x'), 2],
  [new LinkError('ERR_CONNECT', 'x'), 3],
  [new AuthError('ERR_NOAUTH', 'x'), 4],
  [new ProtocolError('ERR_PROTOCOL', 'x'), 5],
  [new RdbError('ERR_RDB_CORRUPT', {}, 'x'), 6],
  [new AofError('ERR_AOF_TRUNCATED', {}, 'x'), 6],
  [new TargetError('ERR_TARGET_REFUSES', 'x'), 7],
  [new FileError('ERR_DISK_FULL', 'x'), 1],
  [new InternalError('x'), 1],
  [new TypeError('x'), 1],
])('%o ends with its code', (error, code) => expect(exitCodeOf(error, undefined)).toBe(code))

test('an interruption ends with the code of its signal, a vanished reader with 0', () => {
  const aborted = new AbortedError()
  const reasons = ['SIGINT', 'SIGTERM', 'SIGHUP', 'EPIPE']
  expect(reasons.map((why) => exitCodeOf(aborted, why))).toEqual([130, 143, 129, 0])
})
