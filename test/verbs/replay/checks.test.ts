/** Numbers of connections that no load can go on with are refused before anything is connected to. */
import { expect, test } from 'vitest'
import { replay } from '../../../src/verbs/replay/run.js'
import { UsageError } from '../../../src/errors.js'

test.each([0, -1, 1.5, NaN, 1001, 5000])('%d connections', async (connections) => {
  const run = replay({ kind: 'file', path: 'no-such.rdb' }, '127.0.0.1:1', { connections })
  await expect(run).rejects.toThrow(UsageError)
  await expect(run).rejects.toThrow(`from 1 to 1000: ${connections}`)
})
