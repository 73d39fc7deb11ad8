/**
 * `rrep demo`: the tool at work without a server. An embedded master plays a fixture over a real
 * socket on loopback, and the commands that a user would type are run against it.
 */
import { join } from 'node:path'
import type { Command } from 'commander'
import { makeTemporaryDir, removeTemporaryDir } from '../../disk/temporary-dir.js'
import { serve, type ServeHandle } from '../../verbs/serve/run.js'
import { addCommonOptions, type CommandContext } from '../command.js'
import { EXIT } from '../exit-codes.js'
import { packageFile } from '../package-file.js'

/** Some 4,600 keys of a web shop, saved by Redis 7.2. */
const FIXTURE = packageFile('fixtures/demo/ecommerce.rdb')

interface DemoOptions {
  keep?: boolean
}

export function registerDemo(program: Command, context: CommandContext): void {
  const command = program
    .command('demo')
    .summary('sync and inspect, without a server')
    .description(
      'Starts a master of its own on loopback that plays a small web shop, takes its\n' +
        'snapshot over the socket as from any server, and shows what came.',
    )
    .option('--keep', 'leave the dump where it is, and say where')
  addCommonOptions(command, ['rrep demo', 'rrep demo --keep'])
  command.action(
    context.action<DemoOptions>(async ({ options, talk, signal }) => {
      const directory = makeTemporaryDir('rrep-demo-')
      const dump = join(directory, 'dump.rdb')
      const ended = new AbortController()
      const stop = (): void => ended.abort()
      signal.addEventListener('abort', stop, { once: true })
      let ready: (handle: ServeHandle) => void = () => undefined
      const listening = new Promise<ServeHandle>((resolve) => (ready = resolve))
      const master = serve(
        { kind: 'file', path: FIXTURE },
        {
          listen: { host: '127.0.0.1', port: 0 },
          signal: ended.signal,
          onReady: (handle) => ready(handle),
        },
      )
      try {
        // If the master cannot start, its error is the one to show.
        const handle = await Promise.race([listening, master.then(() => undefined)])
        if (handle === undefined) return EXIT.FAILED
        const address = `${handle.host}:${handle.port}`
        talk.say(`A master of this demo plays a small web shop on ${address}.`)
        const common = [
          ...(talk.quiet ? ['--quiet'] : []),
          ...(talk.json ? ['--json'] : []),
          ...(options.color === false ? ['--no-color'] : []),
        ]
        for (const line of [
          ['sync', address, '-o', dump],
          ['inspect', dump, '--top', '5'],
        ]) {
          talk.show(`\n${talk.err.bold(`$ rrep ${line.join(' ')}`)}`)
          const code = await context.runLine([...line, ...common])
          if (code !== EXIT.OK) return code
        }
        if (options.keep === true) talk.show(`\nThe dump is ${dump}`)
        return EXIT.OK
      } finally {
        stop()
        signal.removeEventListener('abort', stop)
        // The run above has its result; how the master ends does not change it.
        await master.catch(() => undefined)
        if (options.keep !== true) removeTemporaryDir(directory)
      }
    }),
  )
}
