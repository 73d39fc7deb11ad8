/** What a backup was, in words or as one object. */
import type { RrepError } from '../../../errors.js'
import type { Proof } from '../../../repository/proof.js'
import type { BackupResult } from '../../../verbs/backup/run.js'
import type { Talk } from '../../talk.js'
import { countOf, formatCount, formatDuration, formatSize } from '../../units.js'

export async function tellResult(result: BackupResult, dryRun: boolean, talk: Talk): Promise<void> {
  const { record, directory, guarded, proof, proofError, pruned, pruneError } = result
  if (talk.json) {
    await talk.event({
      event: 'backed-up',
      dryRun,
      directory,
      guarded,
      pruned,
      ...(proof === undefined ? {} : { proof }),
      ...told('proofError', proofError),
      ...told('pruneError', pruneError),
      ...record,
    })
    return
  }
  const bytes = record.files.reduce((sum, each) => sum + each.bytes, 0)
  const shards = record.isCluster ? `${countOf(record.files.length, 'shard')}, ` : ''
  const what = `${shards}${countOf(record.keys, 'key')}, ${formatSize(bytes)}`
  talk.say(
    dryRun ? `would be stored: ${what}` : `${record.source} → ${directory}: ${what}, checked`,
  )
  if (proof !== undefined) talk.say(describeProof(proof))
  if (proofError !== undefined) {
    talk.problem(`the backup is stored, nothing was removed: ${proofError.message}`)
  }
  if (pruned.length > 0) talk.say(`removed: ${countOf(pruned.length, 'older backup')}`)
  if (pruneError !== undefined) {
    talk.problem(`the backup is stored, but older ones could not be removed: ${pruneError.message}`)
  }
  if (guarded !== undefined) {
    talk.problem(
      `the backup before had ${formatCount(guarded.before)} keys, this one ` +
        `${formatCount(guarded.now)}: it is stored, and nothing was removed (--guard)`,
    )
  }
}

function told(name: string, error: RrepError | undefined): object {
  return error === undefined ? {} : { [name]: { code: error.code, message: error.message } }
}

export function describeProof({ server, keys, expired, restoreMs }: Proof): string {
  const gone = expired === 0 ? '' : ` (${formatCount(expired)} past their time since)`
  return `proven: ${server} held the same ${countOf(keys, 'key')}${gone}, loaded in ${formatDuration(restoreMs)}`
}

/** Stored, and nothing beside it went wrong. */
export function isWell({ guarded, proofError, pruneError }: BackupResult): boolean {
  return guarded === undefined && proofError === undefined && pruneError === undefined
}
