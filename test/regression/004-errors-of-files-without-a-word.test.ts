/** A full disk was taken for a reader that had gone, which is a good end; and a path below a file
 * for a bug in rrep. */
import { Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { StreamOutput } from '../../src/disk/output/stream-output.js'
import { runCli } from '../helpers/cli.js'

test('a stream whose error is not told yet is a full disk, not a reader that went away', () => {
  const stream = new Writable({ write: () => undefined })
  const output = StreamOutput.over(stream, {})
  stream.destroy(Object.assign(new Error('full'), { code: 'ENOSPC' }))
  expect(() => output.write(Buffer.from('x'))).toThrow(
    expect.objectContaining({ code: 'ERR_DISK_FULL' }),
  )
  output.discard()
})

test('a path below a file is no file', async () => {
  const { code, err } = await runCli(['inspect', `${import.meta.filename}/x`])
  expect([code, err]).toEqual([1, expect.stringContaining('no such file or directory')])
})
