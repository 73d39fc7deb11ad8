/** A node of a cluster was taken for the whole: one shard of three, saved with status 0 and not a word. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { interrupt, runCli } from '../helpers/cli.js'
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
        ['tail', address],
        ['tail', address, '-o', join(dir, `archive-${name}`), '--json'],
      ]) {
        // What goes on is stopped once it has said so.
        const goesOn = args[0] === 'tail'
        const stop = new AbortController()
        const look = (chunk: Buffer): void => {
          if (goesOn && chunk.toString().includes(told)) interrupt(stop)
        }
        const options = { signal: stop.signal, onStdout: look, onStderr: look }
        const { code, out, err } = await runCli(args, options)
        const ended = [goesOn ? 130 : 0, expect.stringContaining(told)]
        expect([code, `${out}${err}`], args.join(' ')).toEqual(ended)
      }
    } finally {
      await node.stop()
      await target.stop()
    }
  })
}
