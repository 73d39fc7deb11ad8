/** On a full disk the last bytes of a live source's snapshot were refused, and it was then loaded
 * from the spool as if it were whole. */
import { expect, test } from 'vitest'
import { FileError } from '../../src/errors.js'
import { makeServerSettings } from '../../src/net/make-server-settings.js'
import { ReplicationLink } from '../../src/replication/link.js'
import type { LinkConsumer } from '../../src/replication/consumer.js'
import { startServer } from '../helpers/servers.js'

test('who could not store a snapshot is not told that it is whole', async () => {
  const server = await startServer()
  try {
    await server.client.set('a', '1')
    const calls: string[] = []
    const consumer: LinkConsumer = {
      onFullResync: () => calls.push('begin'),
      onSnapshotBytes: () => {
        calls.push('bytes')
        throw new FileError('ERR_DISK_FULL', 'no space left on the disk')
      },
      onSnapshotEnd: () => calls.push('end'),
      onContinue: () => undefined,
      onStream: () => undefined,
      resumePoint: () => 'full',
    }
    const settings = makeServerSettings(`127.0.0.1:${server.port}`)
    const link = new ReplicationLink(
      { server: settings, purpose: 'stream', start: 'full' },
      consumer,
    )
    await expect(link.run()).rejects.toMatchObject({ code: 'ERR_DISK_FULL' })
    expect(calls).toEqual(['begin', 'bytes'])
  } finally {
    await server.stop()
  }
})
