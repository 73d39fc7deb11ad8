/** `rrep restore`: a backup into a data directory. */
import { type Command, Option } from 'commander'
import { UsageError } from '../../errors.js'
import { classifySource } from '../../source/classify.js'
import { restoreTo, type RestoreOptions } from '../../verbs/restore/run.js'
import { addCommonOptions, type CommandContext } from '../command.js'
import { EXIT } from '../exit-codes.js'
import { countOf } from '../units.js'

interface RestoreCommandOptions {
  form?: RestoreOptions['form']
}

const DETAILS = `
DIR is made, or must be empty. It gets dump.rdb and appendonlydir/ with the same content: a server with
appendonly yes ignores a dump.rdb without a word, one with appendonly no the other. Start it with
redis-server --dir DIR. Into a running server: rrep replay REPO@latest HOST:PORT --empty-target.
`

export function registerRestore(program: Command, context: CommandContext): void {
  const command = program
    .command('restore')
    .summary('a backup into a data directory')
    .description('Lay a backup out as a data directory that redis-server starts on.')
    .argument('<repo@sel>', 'REPO, REPO@latest, REPO/NAME@~1, REPO@2026-11-25T10:00Z, …')
    .argument('<dir>', 'absent or empty')
    .addOption(new Option('--form <form>', 'both, rdb or aof').choices(['both', 'rdb', 'aof']))
    .addHelpText('after', DETAILS)
  addCommonOptions(command, [
    'rrep restore /var/backups/redis@latest /var/lib/redis',
    'rrep restore /var/backups/redis/prod@~1 data --form rdb',
  ])
  command.action(
    context.action<RestoreCommandOptions>(async ({ args, options, talk, signal }) => {
      const [selector, target] = args as [string, string]
      await refuseServer(selector, target)
      const result = await restoreTo(selector, target, { form: options.form, signal })
      const { record, from, directory, files } = result
      if (talk.json)
        await talk.event({ event: 'restored', from, directory, written: files, ...record })
      else {
        talk.say(`${from} → ${directory}: ${countOf(record.keys, 'key')}, ${files.join(' and ')}`)
        talk.say(`start it with: redis-server --dir ${directory}`)
      }
      return EXIT.OK
    }),
  )
}

/** What looks like a server is not made as a directory of that name. */
async function refuseServer(selector: string, target: string): Promise<void> {
  if (!/^[^/]+:\d+$|:\/\//.test(target)) return
  if ((await classifySource(target)).kind !== 'server') return
  throw new UsageError('a backup is restored into a directory', {
    hint: `into a server: rrep replay ${selector} ${target} --empty-target`,
  })
}
