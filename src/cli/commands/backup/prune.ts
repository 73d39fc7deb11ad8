/** `rrep backup prune`: the rules by hand. */
import type { Command } from 'commander'
import { UsageError } from '../../../errors.js'
import { prune } from '../../../verbs/backup/prune.js'
import { addCommonOptions, type CommandContext } from '../../command.js'
import { optionsFromEnvironment } from '../../options/environment.js'
import { EXIT } from '../../exit-codes.js'
import { lookOf, renderTable, type Column } from '../../render/inspect-table.js'
import { addKeepOptions, policyOf, type KeepOptions } from './keep-options.js'

interface PruneCommandOptions extends KeepOptions {
  name?: string
  yes?: boolean
}

const PRUNED: readonly Column[] = [{ title: 'name' }, { title: 'id' }, { title: 'what' }]

export function registerPrune(parent: Command, context: CommandContext): void {
  const command = optionsFromEnvironment(parent.command('prune'))
    .description('Remove what no rule keeps; without --yes it is only said.')
    .argument('<repo>')
    .option('--name <name>', 'of this name only')
    .option('--yes', 'really remove them')
  addKeepOptions(command)
  addCommonOptions(command, [
    'rrep backup prune /var/backups/redis --keep-daily 7 --keep-weekly 4 --yes',
  ])
  command.action(
    context.action<PruneCommandOptions>(async ({ args, options, talk, signal }) => {
      const keep = policyOf(options)
      if (keep === undefined) {
        throw new UsageError('no rule was given: all would be removed', {
          hint: 'write --keep-daily 7 or the like',
        })
      }
      const dryRun = options.yes !== true
      const result = await prune(args[0]!, { name: options.name, keep, dryRun, signal })
      if (talk.json) await talk.event({ event: 'pruned', dryRun, ...result })
      else {
        const rows = result.backups.map(({ name, id, reasons }) => [
          name,
          id,
          reasons.length > 0 ? `kept: ${reasons.join(', ')}` : dryRun ? 'would go' : 'removed',
        ])
        await talk.write(`${renderTable(PRUNED, rows, lookOf(talk))}\n`)
        if (dryRun) talk.say('nothing was removed: --yes means it')
      }
      return EXIT.OK
    }),
  )
}
