/** What `rrep replay` tells people: its events, its progress, what it comes to. */
import type { FinishResult } from '../../../verbs/replay/finish.js'
import type { ReplayEvent, ReplayProgress, ReplayResult } from '../../../verbs/replay/run.js'
import { describeLostWrites } from '../../render/tail.js'
import { describeDifferences } from '../../render/differences.js'
import type { Progress } from '../../render/progress.js'
import type { Talk } from '../../talk.js'
import { countOf, formatCount, formatDuration, formatSize } from '../../units.js'

export function showProgress(progress: Progress, state: ReplayProgress): void {
  const lag =
    state.lagBytes === undefined
      ? undefined
      : `lag ${formatSize(state.lagBytes)}, ${formatDuration(state.lagMs ?? 0)}`
  switch (state.phase) {
    case 'receive':
      progress.update({ label: 'receiving', done: state.done, total: undefined, unit: 'bytes' })
      break
    case 'check':
      progress.update({
        label: 'checking',
        done: state.done,
        total: state.total,
        unit: 'bytes',
      })
      break
    case 'load':
      progress.update({
        label: 'loading',
        done: state.done,
        total: state.total,
        unit: 'bytes',
        note: [countOf(state.keys, 'key'), ...(lag === undefined ? [] : [lag])].join(', '),
      })
      break
    case 'stream':
      progress.update({ label: 'stream', done: state.commands, unit: 'commands', note: lag })
      break
    case 'finish':
      progress.update({
        label: 'putting expiries right',
        done: state.done,
        total: state.total,
        unit: 'keys',
      })
  }
}

export function showEvent(event: ReplayEvent, talk: Talk, dryRun = false): void {
  switch (event.event) {
    case 'target':
      talk.say(`target ${event.server}: ${event.version}, ${countOf(event.keys, 'key')}`)
      break
    case 'emptied':
      talk.say('the target was emptied')
      break
    case 'expiry':
      talk.trace(`expiry is held back by ${event.how}`)
      break
    case 'resumed':
      talk.say(
        event.replOffset === undefined
          ? 'going on where an earlier run stopped'
          : `going on behind offset ${event.replOffset - 1}, where an earlier run stopped`,
      )
      break
    case 'snapshot':
      talk.say(`snapshot received: ${formatSize(event.bytes)}, offset ${event.replOffset}`)
      break
    case 'loaded':
      talk.say(
        dryRun
          ? `snapshot read: ${countOf(event.keys, 'key')} would be written`
          : `snapshot loaded: ${countOf(event.keys, 'key')}`,
      )
      break
    case 'replicates':
      talk.say(`the target loads it as a replica of ${event.from}`)
      break
    case 'put-right':
      talk.warn(`${event.why}: ${describePutRight(event)}`)
      break
    case 'advice':
      talk.say(
        `--via-replica would have worked here, and is ${event.timesFrom} to ${event.timesTo} times as ` +
          'fast with such keys (measured): the target then loads the dump itself',
      )
      break
    case 'caught-up':
      talk.say(`caught up with the source${atOffset(event.replOffset)}`)
      break
    case 'synced':
      talk.say(
        event.same
          ? `source and target are the same${atOffset(event.replOffset)}`
          : `everything${event.replOffset === undefined ? '' : ` up to offset ${event.replOffset}`} was sent`,
      )
      break
    case 'writes-lost': {
      const { keys, names } = event
      const listed = names.join(', ') + (keys > names.length ? ', …' : '')
      talk.warn(
        describeLostWrites(event) +
          (keys === 0
            ? ', none of which the target has'
            : `; ${countOf(keys, 'key')} in the target ${keys === 1 ? 'is' : 'are'} put right: ${listed}`),
      )
      break
    }
    case 'repaired':
      talk.say(
        `${countOf(event.keys, 'key')} written anew, as on the new master${atOffset(event.replOffset)}`,
      )
      break
    case 'link-lost': {
      // The error says it.
      if (event.retryInMs === undefined) break
      const next = `next attempt in ${formatDuration(event.retryInMs)}`
      talk.say(`${event.side}: ${event.message}; ${next}`)
      break
    }
    case 'warning':
      talk.warn(event.message)
  }
}

/** What a load by replication left, and what is in it now. */
function describePutRight({
  data,
  keys,
  isIncomplete,
}: NonNullable<FinishResult['replica']>): string {
  const holds =
    data === 'whole'
      ? `it holds all of the load, ${countOf(keys, 'key')}`
      : keys === 0
        ? 'it holds no keys'
        : `it holds ${countOf(keys, 'key')}, which are not known to be all`
  const lacks = isIncomplete
    ? '; its own masterauth and masteruser stand in the state directory of whoever began the load'
    : ''
  return `the target is a master again, with the settings that it had; ${holds}${lacks}`
}

export function describeFinish(result: FinishResult): string[] {
  const { checkpoint, expiries, expired } = result
  const lines: string[] = []
  if (result.replica !== undefined) lines.push(describePutRight(result.replica))
  if (expiries > 0) {
    const past = expired === 0 ? '' : `, ${formatCount(expired)} of them past their time`
    lines.push(`expiries put right: ${formatCount(expiries)} keys${past}`)
  }
  if (result.importModeEnded) lines.push('import-mode turned off')
  if (checkpoint !== undefined) {
    lines.push(
      `checkpoint removed: of ${checkpoint.source}, ` +
        (checkpoint.phase === 'load'
          ? 'in the middle of its load: the target holds a part of the snapshot'
          : `which the target has up to offset ${checkpoint.nextReplOffset - 1}`),
    )
  }
  return lines.length === 0 ? ['nothing to put right'] : lines
}

/** What the comparison found, for people. */
export function describeVerified(verified: NonNullable<ReplayResult['verified']>): string {
  if (verified.same) {
    const counters = verified.differences['stream-counters'] ?? 0
    const but = counters === 0 ? '' : ` (but for the counters of ${countOf(counters, 'stream')})`
    return `verified: source and target are the same, ${countOf(verified.a.keys, 'key')}${but}`
  }
  if (verified.keysDifferent === 0) {
    return 'verified: no difference found, but not all of the source could be replayed to compare'
  }
  const kinds = Object.entries(verified.differences).map(([kind, count]) =>
    describeDifferences(kind, count),
  )
  return `verified: ${countOf(verified.keysDifferent, 'key')} ${verified.keysDifferent === 1 ? 'differs' : 'differ'} (a source, b target): ${kinds.join(', ')}`
}

/** Of several streams there is none. */
function atOffset(replOffset: number | undefined): string {
  return replOffset === undefined ? '' : ` at offset ${replOffset}`
}
