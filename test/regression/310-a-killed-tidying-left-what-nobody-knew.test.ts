/**
 * What a killed backup left in a bucket is known by its mark. The next run removed the mark first: one that
 * was killed in its turn left objects and uploads that nobody could tell from those of a run that lives.
 */
import { PutObjectCommand, CreateMultipartUploadCommand } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newOwnerToken } from '../../src/disk/owner.js'
import { openStore } from '../../src/storage/open-store.js'
import { waitFor } from '../helpers/servers.js'
import { startStoreProxy, type StoreProxy } from '../helpers/store-proxy.js'
import { envOf, hasSwift, startSwift, type Swift } from '../helpers/swift.js'

const ID = '20261127T022845Z-0c281d3a'

describe.skipIf(!hasSwift)('a bucket of Swift', () => {
  let swift: Swift
  let proxy: StoreProxy
  beforeAll(async () => {
    swift = await startSwift()
    proxy = await startStoreProxy(swift.port)
    await swift.makeBucket('backups')
  })
  afterAll(async () => {
    await proxy.stop()
    await swift.stop()
  })

  test('a tidying that stops at any request is finished by the next one', async () => {
    // A process that has ended: its number, and when it began, are nobody's.
    const dead = newOwnerToken().replace(/-\d+-\d+-/, '-4194303-1-')
    const put = async (file: string, Body: string): Promise<void> => {
      const Key = `repo/k/${ID}/${file}`
      // Swift throttles who comes too early.
      let refusal: unknown
      const sent = async (): Promise<boolean> =>
        await swift.client.send(new PutObjectCommand({ Bucket: 'backups', Key, Body })).then(
          () => true,
          (error: unknown) => ((refusal = error), false),
        )
      await waitFor(sent, { what: 'the object', timeoutMs: 60_000 }).catch((cause: unknown) => {
        throw new Error(`${file} was not taken: ${String(refusal)}`, { cause })
      })
    }
    const objects = async (): Promise<string[]> => {
      Object.assign(process.env, swift.env, { AWS_MAX_ATTEMPTS: '1' })
      const store = await openStore('s3://backups/repo')
      return (await store.files(['k', ID])).map(({ name }) => name)
    }
    for (const passing of [0, 1, 2, 3, 4, 5, 6, 7]) {
      await put('rrep-writing', `${dead}\n`)
      await put('dump.rdb', 'half')
      const Key = `repo/k/${ID}/dump.rdb`
      await swift.client.send(new CreateMultipartUploadCommand({ Bucket: 'backups', Key }))
      // From then on the network is gone, as for a process that is killed.
      proxy.decide = () => (proxy.requests - before > passing ? 'drop' : 'pass')
      const before = proxy.requests
      Object.assign(process.env, envOf(proxy.port), { AWS_MAX_ATTEMPTS: '1' })
      const cut = await openStore('s3://backups/repo')
      await cut.removeUnborn(['k'], [ID], () => true).catch(() => undefined)
      Object.assign(process.env, swift.env, { AWS_MAX_ATTEMPTS: '4' })
      const store = await openStore('s3://backups/repo')
      const left = await store.folders(['k'])
      await store.removeUnborn(['k'], left, () => true)
      expect([passing, await objects()]).toEqual([passing, []])
      expect([passing, await swift.openUploads('backups')]).toEqual([passing, []])
    }
  }, 120_000)
})
