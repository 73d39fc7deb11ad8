/** `rrep backup copy`: a backup into another repository. */
import type { Command } from 'commander'
import { copyBackup } from '../../../verbs/backup/copy.js'
import { addCommonOptions, type CommandContext } from '../../command.js'
import { EXIT } from '../../exit-codes.js'
import { countOf } from '../../units.js'

export function registerCopy(parent: Command, context: CommandContext): void {
  const command = parent
    .command('copy')
    .description('A backup into another repository, compared with its record on the way.')
    .argument('<repo@sel>', 'REPO, REPO@latest, REPO/NAME@~1, …')
    .argument('<repo2>', 'where it goes')
  addCommonOptions(command, ['rrep backup copy /var/backups/redis@latest /mnt/elsewhere'])
  command.action(
    context.action<object>(async ({ args, talk, signal }) => {
      const progress = talk.progress('copying')
      try {
        const { record, from, directory, copied } = await copyBackup(args[0]!, args[1]!, {
          signal,
          onProgress: ({ done, total, unit }) =>
            progress.update({ label: 'copying', done, total, unit }),
        })
        progress.stop()
        if (talk.json) {
          await talk.event({ event: 'copied', from, directory, copied, id: record.id })
        } else if (copied)
          talk.say(`${from} → ${directory}: ${countOf(record.keys, 'key')}, checked`)
        else talk.say(`${directory} is there already`)
        return EXIT.OK
      } finally {
        progress.stop()
      }
    }),
  )
}
