/** `rrep backup verify`: is a backup what was stored, and can it be restored? */
import type { Command } from 'commander'
import { verifyBackup } from '../../../verbs/backup/verify.js'
import { addCommonOptions, type CommandContext } from '../../command.js'
import { optionsFromEnvironment } from '../../options/environment.js'
import { EXIT } from '../../exit-codes.js'
import { addIdentityOption, type IdentityOptions } from '../../source-argument.js'
import { countOf } from '../../units.js'
import { describeProof } from './tell.js'

interface VerifyCommandOptions extends IdentityOptions {
  prove?: boolean
  withServer?: string
}

export function registerVerify(parent: Command, context: CommandContext): void {
  const command = optionsFromEnvironment(parent.command('verify'))
    .description('Is a backup what was stored? Every byte and every value is read.')
    .argument('<repo@sel>', 'REPO, REPO@latest, REPO/NAME@~1, …')
    .option('--prove', 'load it into a server of our own, and compare every key')
    .option('--with-server <program>', 'the redis-server or valkey-server for that (default: PATH)')
  addIdentityOption(command)
  addCommonOptions(command, ['rrep backup verify /var/backups/redis@latest'])
  command.action(
    context.action<VerifyCommandOptions>(async ({ args, options, talk, signal }) => {
      const progress = talk.progress('checking')
      try {
        const { record, directory, keys, wasContentRead, proof } = await verifyBackup(args[0]!, {
          identity: options.identity,
          prove: options.prove,
          withServer: options.withServer,
          signal,
          onProgress: ({ phase, done, total, unit }) =>
            progress.update({
              label: phase === 'check' ? 'checking' : 'proving',
              done,
              total,
              unit,
            }),
        })
        progress.stop()
        if (talk.json) {
          const { id } = record
          await talk.event({ event: 'verified', directory, keys, id, wasContentRead, proof })
        } else if (wasContentRead) {
          talk.say(`${record.name}/${record.id}: sound, ${countOf(keys, 'key')}, as it was stored`)
        } else {
          talk.say(`${record.name}/${record.id}: every byte is as it was stored`)
          talk.warn('it is encrypted: what the bytes mean was not read; --identity FILE does that')
        }
        if (proof !== undefined) talk.say(describeProof(proof))
        return EXIT.OK
      } finally {
        progress.stop()
      }
    }),
  )
}
