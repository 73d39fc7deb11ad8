/** `rrep backup verify`: is a backup what was stored, and can it be restored? */
import type { Command } from 'commander'
import { findArchive } from '../../../repository/catalogue.js'
import type { Progress } from '../../../source/progress.js'
import { verifyArchive, type VerifyArchiveResult } from '../../../verbs/backup/verify-archive.js'
import { verifyBackup } from '../../../verbs/backup/verify.js'
import { addCommonOptions, type CommandContext } from '../../command.js'
import { optionsFromEnvironment } from '../../options/environment.js'
import { EXIT } from '../../exit-codes.js'
import { addIdentityOption, type IdentityOptions } from '../../source-argument.js'
import type { Talk } from '../../talk.js'
import { countOf, parseMoment, type Moment } from '../../units.js'
import { describeProof } from './tell.js'

interface VerifyCommandOptions extends IdentityOptions {
  prove?: boolean
  withServer?: string
  until?: Moment
}

export function registerVerify(parent: Command, context: CommandContext): void {
  const command = optionsFromEnvironment(parent.command('verify'))
    .description('Is a backup what was stored? Every byte and every value is read.')
    .argument('<repo@sel>', 'REPO, REPO@latest, REPO/NAME@~1, REPO@archive, …')
    .option('--prove', 'load it into a server of our own, and compare every key')
    .option(
      '--until <when>',
      'of an archive: prove this moment (default: a random one)',
      parseMoment,
    )
    .option('--with-server <program>', 'the redis-server or valkey-server for that (default: PATH)')
  addIdentityOption(command)
  addCommonOptions(command, [
    'rrep backup verify /var/backups/redis@latest',
    'rrep backup verify s3://backups/redis@archive --prove',
  ])
  command.action(
    context.action<VerifyCommandOptions>(async ({ args, options, talk, signal }) => {
      const progress = talk.progress('checking')
      const { identity, prove, withServer, until } = options
      const asked = {
        identity,
        prove,
        withServer,
        signal,
        onProgress: ({ phase, done, total, unit }: Progress) =>
          progress.update({
            label: phase === 'check' ? 'checking' : 'proving',
            done,
            total,
            unit,
          }),
      }
      try {
        if ((await findArchive(args[0]!, { signal, until })) !== undefined) {
          await tellArchive(await verifyArchive(args[0]!, { ...asked, until }), progress, talk)
          return EXIT.OK
        }
        const verified = await verifyBackup(args[0]!, asked)
        const { record, directory, keys, wasContentRead, wasRecordHashed, proof } = verified
        progress.stop()
        if (talk.json) {
          const { id } = record
          const told = { directory, keys, id, wasContentRead, wasRecordHashed, proof }
          await talk.event({ event: 'verified', ...told })
        } else if (wasContentRead) {
          talk.say(`${record.name}/${record.id}: sound, ${countOf(keys, 'key')}, as it was stored`)
        } else {
          talk.say(`${record.name}/${record.id}: every byte is as it was stored`)
          talk.warn('it is encrypted: what the bytes mean was not read; --identity FILE does that')
        }
        if (!wasRecordHashed) talk.warn('its record has no hash: an older version wrote it')
        if (proof !== undefined) talk.say(describeProof(proof))
        return EXIT.OK
      } finally {
        progress.stop()
      }
    }),
  )
}

async function tellArchive(
  result: VerifyArchiveResult,
  progress: { stop: () => void },
  talk: Talk,
): Promise<void> {
  progress.stop()
  const { name, id, bases, increments, commands, unhashed, proof } = result
  if (talk.json) {
    const windows = result.windows.map(({ fromMs, toMs }) => ({
      from: new Date(fromMs).toISOString(),
      to: new Date(toMs).toISOString(),
    }))
    await talk.event({ event: 'verified', ...result, windows })
    return
  }
  talk.say(
    `${name}/${id}: whole, ${countOf(bases, 'base')} and ${countOf(commands, 'command')} in ${countOf(increments, 'file')}`,
  )
  if (unhashed.length > 0) {
    talk.warn(
      `${countOf(unhashed.length, 'file')} of it with no hash, which an older version shipped: ` +
        `a byte that changed inside of a value is not found there (${unhashed.slice(0, 3).join(', ')})`,
    )
  }
  if (proof !== undefined) talk.say(`${proof.moment ?? ''}: ${describeProof(proof)}`)
}
