/** The spinner, on terminals of all widths. */
import { setImmediate } from 'node:timers/promises'
import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import type { Io } from '../../src/cli/io.js'
import { createProgress } from '../../src/cli/render/progress.js'

async function drawn(columns: number): Promise<string> {
  const stderr = Object.assign(new PassThrough(), {
    columns,
    isTTY: true,
    cursorTo: () => true,
    moveCursor: () => true,
    clearLine: () => true,
  })
  let text = ''
  stderr.on('data', (chunk: Buffer) => (text += chunk.toString()))
  const io = { stderr } as unknown as Io
  const progress = createProgress(io, 'working', {
    silent: false,
    color: false,
    onStop: () => undefined,
  })
  // It is loaded when it is first needed.
  await import('ora')
  for (let turn = 0; turn < 3; turn += 1) await setImmediate()
  progress.stop()
  return text
}

test('a terminal shows what is done', async () => {
  expect(await drawn(80)).toContain('working')
})

test('a terminal without a known width is left alone: clearing it would take for ever', async () => {
  expect(await drawn(0)).toBe('')
})
