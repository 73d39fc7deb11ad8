/** Redis 8 lists `vectorset` among its modules, and `--via-replica` took that for any module: it sent the
 * values of others to it, at which a server that loads ends. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { fixtureFiles } from '../helpers/fixtures.js'
import { serverBinary, startServer, type TestServer } from '../helpers/servers.js'
import { replicationInfo } from '../helpers/serving.js'
import { makeServerSettings } from '../../src/net/make-server-settings.js'
import { providesType } from '../../src/servers/module-types.js'
import { replay } from '../../src/verbs/replay/run.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-modules-'))
process.env['XDG_STATE_HOME'] = dir
afterAll(() => rmSync(dir, { recursive: true, force: true }))

async function withTarget(name: string, use: (target: TestServer) => Promise<void>): Promise<void> {
  const target = await startServer({ binary: serverBinary(name)! })
  try {
    await use(target)
    expect((await replicationInfo(target)).fields.get('role')).toBe('master')
  } finally {
    await target.stop()
  }
}

const [dump] = fixtureFiles('redis-7.2/module.rdb').map(({ path }) => path)

test.each(['redis-7.0', 'redis-8.6', 'valkey-9.1'].filter((name) => serverBinary(name)))(
  '%s without those modules is sent none of their values, and they are named',
  async (name) => {
    const source = fixtureFiles(
      name === 'redis-7.0' ? 'redis-6.2/module.rdb' : 'redis-7.2/module.rdb',
    )
    await withTarget(name, async (target) => {
      const runId = /run_id:(\w+)/.exec(await target.client.info('server'))?.[1]
      const { complete, ledger } = await replay(source[0]!.path, `127.0.0.1:${target.port}`, {
        viaReplica: true,
      })
      expect(complete).toBe(false)
      expect(ledger.keys).toMatchObject({ read: 7, written: 1, failed: 6 })
      expect(await target.client.get('plain')).toBe('string beside modules')
      expect(/run_id:(\w+)/.exec(await target.client.info('server'))?.[1]).toBe(runId)
    })
  },
)

test('where it is not told which modules it has, it is refused before anything is changed', async () => {
  await withTarget('redis-7.0', async (target) => {
    await target.client.set('own', 'data')
    await target.client.call('ACL', 'SETUSER', 'few', 'on', '>pw', '~*', '+@all', '-module')
    const few = makeServerSettings(`127.0.0.1:${target.port}`, { username: 'few', password: 'pw' })
    const replid = (await replicationInfo(target)).fields.get('master_replid')
    const events: string[] = []
    const load = async () =>
      await replay(dump!, few, {
        viaReplica: true,
        emptyTarget: true,
        onEvent: ({ event }) => events.push(event),
      })
    await expect(load()).rejects.toMatchObject({
      code: 'ERR_VIA_REPLICA',
      message: expect.stringMatching(/module types .*test___dt.*MODULE LIST/) as string,
    })
    expect(events).not.toContain('replicates')
    expect(await target.client.get('own')).toBe('data')
    expect((await replicationInfo(target)).fields.get('master_replid')).toBe(replid)
  })
})

test('a module brings the type of its own name, and those that are known to be of it', () => {
  expect(providesType('test___dt', 'test___dt')).toBe(true)
  expect(providesType('ReJSON', 'ReJSON-RL')).toBe(true)
  expect(providesType('vectorset', 'test___dt')).toBe(false)
  expect(providesType('bf', 'TSDB-TYPE')).toBe(false)
})
