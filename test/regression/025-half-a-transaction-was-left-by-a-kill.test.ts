/**
 * An archive whose writer was killed inside a large transaction ended in half of it. redis-server
 * started on a copy and was right, but left the half in the file; what it wrote behind it was
 * executed twice or not at all when it started the next time.
 */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { temporaryDirs } from '../helpers/archive-dirs.js'
import { startArchiveProcess } from '../helpers/archive-process.js'
import { loadArchive } from '../helpers/archives.js'
import { startProxy } from '../helpers/cutting-proxy.js'
import { digest, startServer, waitFor } from '../helpers/servers.js'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

const VALUE = 'x'.repeat(1 << 20)
const COMMANDS = 30

test('killed in a transaction of 30 MB: a server on the copy keeps its values over a restart', async () => {
  const dir = join(temporaryDirs(cleanups)(), 'archive')
  const master = await startServer()
  cleanups.push(() => master.stop())
  const proxy = await startProxy(master.port)
  cleanups.push(() => proxy.stop())
  await master.client.set('n', '0')
  const doomed = startArchiveProcess(proxy.port, dir, ['--fsync', 'always'])
  cleanups.push(() => doomed.child.kill('SIGKILL'))
  await waitFor(() => doomed.events.some((each) => each['event'] === 'snapshot'), {
    what: 'the snapshot',
  })
  // More than is held in memory goes through, and not the end.
  proxy.holdAfter((COMMANDS - 8) * VALUE.length)
  const transaction = master.client.multi()
  for (let i = 0; i < COMMANDS; i++) transaction.set(`big${i}`, VALUE)
  transaction.incr('n')
  await transaction.exec()
  const parts = join(dir, 'appendonlydir')
  const writtenBytes = (): number =>
    readdirSync(parts).reduce((sum, name) => sum + statSync(join(parts, name)).size, 0)
  await waitFor(() => writtenBytes() > (COMMANDS / 2) * VALUE.length, {
    what: 'half of the transaction to be on disk',
  })
  doomed.child.kill('SIGKILL')
  await doomed.ended

  const restored = await loadArchive(dir)
  cleanups.push(() => restored.stop())
  expect(await restored.client.keys('*')).toEqual(['n'])
  await restored.client.multi().incr('n').set('after', '1').exec()
  const values = await digest(restored)
  await restored.restart()
  expect(await digest(restored)).toBe(values)
  expect(await restored.client.get('n')).toBe('1')
  expect(await restored.client.get('after')).toBe('1')
})
