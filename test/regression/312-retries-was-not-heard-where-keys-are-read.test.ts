/** `--retries 0` of inspect, export and sql was not heard: a server that is not there was asked six times. */
import { expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'

test.each([
  [['inspect', '127.0.0.1:1']],
  [['inspect', '127.0.0.1:1', '--compare', '/dev/null']],
  [['export', '127.0.0.1:1', '-o', '-']],
  [['sql', '127.0.0.1:1', 'select count(*) from keys']],
])('%j asks once more with --retries 1, and not at all with 0', async (args) => {
  for (const retries of [0, 1]) {
    const { code, err } = await runCli([...args, '--retries', String(retries)])
    expect(code, err).toBe(3)
    const tried = err.match(/^cannot connect to 127\.0\.0\.1:1/gm)?.length ?? 0
    expect(tried, err).toBe(retries)
  }
})
