/**
 * A dump, or a moment of an archive, on its way into a bucket that no longer answered: the error was that the
 * output could not be written, with status 1 and without what to do. Of a server it was the store's own.
 */
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { AuthError, exportKeys, LinkError } from '../../src/index.js'
import { FIXTURES } from '../helpers/fixtures.js'

test.each([
  new LinkError('ERR_STORE_UNREACHABLE', 'the store is not reached', { hint: 'what to do' }),
  new AuthError('ERR_STORE_DENIED', 'the store does not allow it'),
])('what the writer of an output says is what the call says: $code', async (error) => {
  const output = new Writable({ write: (_chunk, _encoding, done) => done(error) })
  const call = exportKeys(join(FIXTURES, 'demo/ecommerce.rdb'), { format: 'rdb', output })
  await expect(call).rejects.toBe(error)
})
