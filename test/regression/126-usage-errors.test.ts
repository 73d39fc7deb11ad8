/** A user mistyped, or typed as for redis-cli, and was sent to the wrong place. */
import { expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'

test.each([
  [['sync', '--ouput', 'x', 'h'], /unknown option '--ouput'/, '--output'],
  [['sync', '--out=x'], /unknown option '--out=?x?'/, '--output'],
  [['sync', 'h'], /-o FILE is missing/, 'dump.rdb'],
  [['serve', '--port', '1'], /unknown option '--port'/, '--listen 127.0.0.1:'],
  [['sync', '-h', 'db', '-p', '6379', '-o', 'x'], /-h is the help/, 'HOST:PORT'],
  [['sync', '-a', 'pw', '-o', 'x'], /unknown option '-a'/, 'REDISCLI_AUTH'],
  [['sync', '--password', 'pw', '-o', 'x'], /unknown option '--password'/, 'REDISCLI_AUTH'],
  [['sync', '/run/redis.sock', '-o', 'x'], /no host name/, 'unix:///run/redis.sock'],
  [['sync', '--timeout', 'foo', '-o', 'x'], /--timeout: not a duration: foo/, '30s'],
  [['sync', '--retries', '-1', '-o', 'x'], /--retries: not a whole number: -1/, 'rrep sync --help'],
  [
    ['inspect', '--prefixes', 'f.rdb'],
    /--prefixes: not a whole number: f.rdb/,
    'rrep inspect --help',
  ],
  [['monitor'], /unknown command 'monitor'/, 'rrep tail'],
  [['migrate', 'a', 'b'], /unknown command 'migrate'/, 'rrep replay'],
  [['check', 'x.rdb'], /unknown command 'check'/, '--check'],
  [['dump.rdb'], /unknown command 'dump.rdb'/, 'rrep inspect dump.rdb'],
  [['snyc'], /unknown command 'snyc'/, 'sync'],
])('rrep %j is wrong usage with the right hint', async (args, message, hint) => {
  const result = await runCli(args)
  expect(result.code).toBe(2)
  expect(result.out).toBe('')
  expect(result.err).toMatch(/^rrep: /)
  expect(result.err).toMatch(message)
  expect(result.err).toContain(hint)
  const json = await runCli([...args, '--json'])
  expect(json.code).toBe(2)
  expect(JSON.parse(json.err)).toMatchObject({ error: 'ERR_USAGE' })
  expect(json.err.trim()).not.toContain('\n')
})

test.each(['-v', '-V', 'version', '--version'])('rrep %s says the version', async (word) => {
  expect(await runCli([word])).toMatchObject({
    code: 0,
    out: expect.stringMatching(/^\d+\.\d+/) as string,
  })
})
