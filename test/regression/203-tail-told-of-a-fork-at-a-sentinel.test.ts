/** `tail SENTINEL` said that the server would fork before it noticed what it talked to, and a
 * Sentinel of Valkey 9, which calls its mode by another name, was taken for an empty server. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { afterAll, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { FIXTURES } from '../helpers/fixtures.js'
import { freePort, serverBinaries, waitFor } from '../helpers/servers.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-sentinels-'))
const sentinels: ChildProcess[] = []

afterAll(async () => {
  for (const each of sentinels) {
    each.kill()
    await once(each, 'exit')
  }
  rmSync(dir, { recursive: true, force: true })
})

async function startSentinel(binary: string): Promise<number> {
  const port = await freePort()
  const config = join(dir, `${port}.conf`)
  writeFileSync(config, `port ${port}\nbind 127.0.0.1\n`)
  sentinels.push(spawn(binary, [config, '--sentinel'], { stdio: 'ignore' }))
  const client = new Redis({ port, lazyConnect: true, retryStrategy: () => 50 })
  client.on('error', () => undefined)
  await waitFor(
    () =>
      client.ping().then(
        () => true,
        () => false,
      ),
    { what: 'the Sentinel' },
  )
  client.disconnect()
  return port
}

test.each(serverBinaries().map((each) => [each.name, each] as const))(
  'a Sentinel of %s is recognised before anything is said or written',
  async (_, binary) => {
    const address = `127.0.0.1:${await startSentinel(binary.server)}`
    for (const args of [
      ['tail', address],
      ['replay', join(FIXTURES, 'demo/ecommerce.rdb'), address],
      ['diff', join(FIXTURES, 'demo/ecommerce.rdb'), address],
    ]) {
      const result = await runCli(args)
      expect(result.err).toContain(`${address} is a Sentinel`)
      expect(result.err).not.toContain('fork')
      expect(result.code).toBe(5)
      expect(result.out).toBe('')
    }
  },
)
