/** A node of a cluster was taken for the whole: one shard of three, saved with status 0 and not a word. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { runCli } from '../helpers/cli.js'
import { serverBinaries, startServer, waitFor } from '../helpers/servers.js'

const dir = mkdtempSync(join(tmpdir(), 'rrep-205-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const binaries = serverBinaries().map((each) => [each.name, each] as const)

for (const [name, binary] of binaries) {
  test(`${name}: what is taken of one node says that it is one shard`, async () => {
    const node = await startServer({ binary, args: ['--cluster-enabled', 'yes'] })
    const target = await startServer({ binary })
    try {
      await node.client.call('CLUSTER', 'ADDSLOTSRANGE', 0, 16383)
      await waitFor(
        async () => String(await node.client.call('CLUSTER', 'INFO')).includes('cluster_state:ok'),
        {
          what: 'the slots',
        },
      )
      await node.client.set('k', 'v')
      const address = `127.0.0.1:${node.port}`
      const told = `${address} is one node of a cluster`
      for (const args of [
        ['sync', address, '-o', join(dir, 'node.rdb')],
        ['inspect', address],
        ['export', address, '-o', join(dir, 'node.jsonl')],
        ['replay', address, `127.0.0.1:${target.port}`, '--until-quiet'],
        ['diff', address, `127.0.0.1:${target.port}`],
        ['tail', address, '--for', '300ms'],
        ['tail', address, '-o', join(dir, `archive-${name}`), '--for', '500ms', '--json'],
      ]) {
        const { code, out, err } = await runCli(args)
        expect([code, `${out}${err}`], args.join(' ')).toEqual([0, expect.stringContaining(told)])
      }
    } finally {
      await node.stop()
      await target.stop()
    }
  })
}
