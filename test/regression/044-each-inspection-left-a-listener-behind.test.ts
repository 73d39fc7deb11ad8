/** Many inspections with one signal: each takes its listeners away when it is done. */
import { getEventListeners } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, test } from 'vitest'
import { checkRdb } from '../../src/verbs/inspect/run.js'
import { waitFor } from '../helpers/servers.js'

const DUMP = resolve(import.meta.dirname, '../../fixtures/demo/ecommerce.rdb')
const dir = mkdtempSync(join(tmpdir(), 'rrep-listeners-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

test('a signal has no listeners more after ten inspections of a packed file', async () => {
  const file = join(dir, 'dump.rdb.gz')
  writeFileSync(file, gzipSync(readFileSync(DUMP)))
  const { signal } = new AbortController()
  for (let i = 0; i < 10; i += 1) await checkRdb(file, { signal })
  await waitFor(() => getEventListeners(signal, 'abort').length === 0, {
    what: 'the listeners to go',
    timeoutMs: 5000,
  })
})
