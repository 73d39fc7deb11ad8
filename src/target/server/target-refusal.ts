/** The error of a run whose target goes on refusing: what it said, and what can be done about it. */
import { Buffer } from 'node:buffer'
import { printable } from '../../bytes/printable.js'
import { TargetError } from '../../errors.js'
import { errorKind } from './reply-reader.js'

/** The target refuses for a reason that did not pass. */
export function refusal(text: string): TargetError {
  const kind = errorKind(text)
  const hints: Readonly<Record<string, string>> = {
    OOM: 'raise maxmemory of the target, or load less (`filter`)',
    READONLY: 'the target is a replica: name its master',
    MISCONF: 'the target cannot save its own snapshots: see its log, free its disk',
  }
  return new TargetError(
    'ERR_TARGET_REFUSES',
    `the target refuses writes: ${printable(Buffer.from(text))}`,
    { retriable: true, hint: hints[kind], details: { reply: kind } },
  )
}
