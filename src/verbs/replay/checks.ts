/** What does not go together in the options of a replay. */
import { MAX_LANES } from '../../target/load/load-marks.js'
import { UsageError } from '../../errors.js'
import { isPipe } from '../../source/stored-pipe.js'
import type { ReplayOptions, ReplaySource } from './options.js'

/** Each has memory for what it sends ahead. */
const MAX_CONNECTIONS = MAX_LANES

/** Before anything is connected to. Throws UsageError. */
export function checkOptions(options: ReplayOptions): void {
  const live = options.source.kind === 'server'
  const { until } = options
  const { connections = 1 } = options
  if (!Number.isInteger(connections) || connections < 1 || connections > MAX_CONNECTIONS) {
    throw new UsageError(`not a number of connections from 1 to ${MAX_CONNECTIONS}: ${connections}`)
  }
  if (options.fromMs !== undefined && live) {
    throw new UsageError('--from is for files: a live source begins with its snapshot')
  }
  if (options.untilSynced === true && !live) {
    throw new UsageError('--until-synced is for a live source: a file has an end')
  }
  if (options.untilQuiet === true && (!live || options.untilSynced === true)) {
    throw new UsageError(
      live ? 'either --until-synced or --until-quiet' : '--until-quiet is for a live source',
    )
  }
  if (live) refuseForStream(options)
  if (options.salvage === true) {
    const other = live
      ? 'a live source'
      : until !== undefined
        ? '--until'
        : options.fromMs !== undefined
          ? '--from'
          : options.verify === true
            ? '--verify'
            : undefined
    if (other !== undefined) {
      throw new UsageError(`--salvage is for a damaged dump as it is: not with ${other}`)
    }
  }
  const { source, fromMs, mapDb, rewriteKey, transform } = options
  const isChanged = [fromMs, mapDb, rewriteKey, transform].some((each) => each !== undefined)
  const hasGone = isReadOnce(source) || (live && until !== undefined)
  if (options.verify === true && (isChanged || hasGone)) {
    throw new UsageError(
      '--verify compares the source as it is with what was written under the same names',
      {
        hint:
          'not with a pipe, --from, --map-db, --rewrite-key or --transform, nor with --until of a ' +
          'live source; else see rrep diff',
      },
    )
  }
  if (options.verify === true && options.dryRun === true) {
    throw new UsageError('--verify has nothing to compare after a --dry-run')
  }
  if (options.verify === true && options.filter?.minSizeBytes !== undefined) {
    throw new UsageError('--verify cannot choose by --min-size: a size depends on the encoding')
  }
  const endMs = until !== undefined && 'unixMs' in until ? until.unixMs : Infinity
  // One that goes on behind an earlier run may end in its past; this one begins.
  if (live && options.emptyTarget === true && endMs <= Date.now()) {
    throw new UsageError('--until is past, and a live source begins with its state of now')
  }
}

/**
 * Commands change keys bit by bit. One whose beginning was left out for its size, or for the time
 * it had to live then, would be made of the rest alone. (A type stays what it is.) Throws
 * UsageError.
 */
export function refuseForStream({ filter }: Pick<ReplayOptions, 'filter'>): void {
  const option =
    filter?.minSizeBytes !== undefined
      ? '--min-size'
      : filter?.ttl !== undefined
        ? '--ttl'
        : undefined
  if (option === undefined) return
  throw new UsageError(`${option} is for a snapshot: commands follow that may change any key`, {
    hint: 'leave it out, or take a snapshot (rrep sync) and replay that',
  })
}

/** It cannot be read again. */
export function isReadOnce(
  source: ReplaySource,
): source is Exclude<ReplaySource, { kind: 'server' | 'directory' }> {
  return source.kind === 'stdin' || (source.kind === 'file' && isPipe(source.path))
}
