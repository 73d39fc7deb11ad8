/**
 * What lay in the spool was changed (zeros as a power cut leaves them, or a flipped byte) between two
 * runs of a migration: it was written as it stood, or ended each further run.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { makeServerSettings } from '../../src/net/make-server-settings.js'
import { replay, type ReplayEvent } from '../../src/verbs/replay/run.js'
import { spawnRrep } from '../helpers/rrep-process.js'
import { digest, startServer, waitFor } from '../helpers/servers.js'

test('what is damaged in the spool is asked of the source again', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'rrep-damage-'))
  const source = await startServer({ args: ['--repl-backlog-size', '64mb'] })
  const target = await startServer()
  const rrep = spawnRrep([
    ...['replay', `127.0.0.1:${source.port}`, `127.0.0.1:${target.port}`, '--spool-dir', dir],
  ])
  const applied = async (): Promise<string | null> => await target.client.get('last')
  try {
    await source.client.set('last', 'first')
    await waitFor(async () => (await applied()) === 'first', { what: 'the stream' })
    // What comes now is received, and not yet written.
    await target.client.call('CLIENT', 'PAUSE', '600000', 'WRITE')
    for (let i = 0; i < 200; i += 1) await source.client.set(`key:${i}`, `value ${i}`)
    const spool = join(dir, readdirSync(dir)[0]!)
    const segment = join(
      spool,
      readdirSync(spool).find((name) => name.endsWith('.seg'))!,
    )
    await waitFor(() => readFileSync(segment).includes('value 199'), { what: 'the spool' })
    rrep.child.kill('SIGKILL')
    await rrep.ended
    const bytes = readFileSync(segment)
    const flipped = bytes.indexOf('value 100')
    bytes.writeUInt8(bytes.readUInt8(flipped) ^ 1, flipped)
    bytes.fill(0, bytes.indexOf('value 150'), bytes.indexOf('value 160'))
    writeFileSync(segment, bytes)
    await target.client.call('CLIENT', 'UNPAUSE')
    const events: ReplayEvent[] = []
    await replay(
      { kind: 'server', server: makeServerSettings(`127.0.0.1:${source.port}`) },
      makeServerSettings(`127.0.0.1:${target.port}`),
      { spoolDir: dir, untilQuiet: true, onEvent: (event) => events.push(event) },
    )
    expect(events).toContainEqual({
      event: 'warning',
      message: expect.stringContaining('the spool is damaged') as string,
    })
    expect(await digest(target)).toBe(await digest(source))
  } finally {
    rrep.child.kill('SIGKILL')
    await source.stop()
    await target.stop()
    rmSync(dir, { recursive: true, force: true })
  }
})
