/** What does not go together in the options of a replay. */
import { MAX_LANES } from '../../target/load/load-marks.js'
import { UsageError } from '../../errors.js'
import { isPipe, isRereadable } from '../../source/stored-pipe.js'
import type { Source } from '../../source/classify.js'
import type { ReplayCall } from './options.js'
import { refuseBesideReplica } from './via-replica/refusals.js'

/** Each has memory for what it sends ahead. */
const MAX_CONNECTIONS = MAX_LANES

/** Before anything is connected to. Throws UsageError. */
export function checkOptions(options: ReplayCall): void {
  const live = options.source.kind === 'server'
  const { until } = options
  const { connections = 1 } = options
  if (!Number.isInteger(connections) || connections < 1 || connections > MAX_CONNECTIONS) {
    throw new UsageError(`not a number of connections from 1 to ${MAX_CONNECTIONS}: ${connections}`)
  }
  if (options.fromMs !== undefined && live) {
    throw new UsageError('`fromMs` is for files: a live source begins with its snapshot')
  }
  if (options.untilSynced === true && !live) {
    throw new UsageError('`untilSynced` is for a live source: a file has an end')
  }
  if (options.untilQuiet === true && (!live || options.untilSynced === true)) {
    throw new UsageError(
      live ? 'either `untilSynced` or `untilQuiet`' : '`untilQuiet` is for a live source',
    )
  }
  if (live) refuseForStream(options)
  if (options.viaReplica === true) refuseBesideReplica(options)
  else if (options.listen !== undefined) throw new UsageError('`listen` is for `viaReplica`')
  if (options.salvage === true) {
    const other = live
      ? 'a live source'
      : until !== undefined
        ? '`until`'
        : options.fromMs !== undefined
          ? '`fromMs`'
          : options.verify === true
            ? '`verify`'
            : undefined
    if (other !== undefined) {
      throw new UsageError(`\`salvage\` is for a damaged dump as it is: not with ${other}`)
    }
  }
  const { source, fromMs, mapDb, rewriteKey, transform } = options
  const isChanged = [fromMs, mapDb, rewriteKey, transform].some((each) => each !== undefined)
  const isKept = source.kind === 'file' && isRereadable(source.path)
  const hasGone = (isReadOnce(source) && !isKept) || (live && until !== undefined)
  if (options.verify === true && (isChanged || hasGone)) {
    throw new UsageError(
      '`verify` compares the source as it is with what was written under the same names',
      {
        hint:
          'not with a pipe, `fromMs`, `mapDb`, `rewriteKey` or `transform`, nor with `until` of a ' +
          'live source; else see `diff()`',
      },
    )
  }
  if (options.verify === true && options.dryRun === true) {
    throw new UsageError('`verify` has nothing to compare after a `dryRun`')
  }
  if (options.verify === true && options.filter?.minSizeBytes !== undefined) {
    throw new UsageError(
      '`verify` cannot choose by `filter.minSizeBytes`: a size depends on the encoding',
    )
  }
  const endMs = until !== undefined && 'unixMs' in until ? until.unixMs : Infinity
  // One that goes on behind an earlier run may end in its past; this one begins.
  if (live && options.emptyTarget === true && endMs <= Date.now()) {
    throw new UsageError('`until` is past, and a live source begins with its state of now')
  }
}

/**
 * Commands change keys bit by bit. One whose beginning was left out for its size, or for the time
 * it had to live then, would be made of the rest alone. (A type stays what it is.) Throws
 * UsageError.
 */
export function refuseForStream({ filter }: Pick<ReplayCall, 'filter'>): void {
  const option =
    filter?.minSizeBytes !== undefined
      ? '`filter.minSizeBytes`'
      : filter?.ttl !== undefined
        ? '`filter.ttl`'
        : filter?.idle !== undefined
          ? '`filter.idle`'
          : undefined
  if (option === undefined) return
  throw new UsageError(`${option} is for a snapshot: commands follow that may change any key`, {
    hint: 'leave it out, or take a snapshot (`sync()`) and replay that',
  })
}

/** It cannot be read again. */
export function isReadOnce(
  source: Source,
): source is Exclude<Source, { kind: 'server' | 'cluster' | 'directory' }> {
  return source.kind === 'stdin' || (source.kind === 'file' && isPipe(source.path))
}
