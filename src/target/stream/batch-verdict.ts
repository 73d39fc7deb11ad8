/** What the target's errors say of a transaction of the stream: executed, to be sent without some commands, or
 * refused as it is. */
import { Buffer } from 'node:buffer'
import { printable } from '../../bytes/printable.js'
import { AuthError, TargetError } from '../../errors.js'
import type { Ledger } from '../ledger.js'
import { errorKind } from '../server/reply-reader.js'
import { isTransient } from '../server/target-connection.js'
import type { BatchError, StreamBatch } from './stream-batch.js'

export type BatchVerdict =
  /** Single commands failed. The rest of a transaction goes on, as on the source. */
  | { readonly kind: 'executed'; readonly failed: readonly BatchError[] }
  /** Nothing was executed; without these it will be. */
  | { readonly kind: 'without'; readonly failed: readonly BatchError[] }
  | {
      readonly kind: 'refused'
      readonly failed: readonly BatchError[]
      readonly reason: string
      readonly passes: boolean
    }

/** Of one with errors. Throws AuthError. */
export function verdictOn({ errors }: StreamBatch): BatchVerdict {
  const denied = errors.find(({ text }) => /^NOAUTH\b/.test(text))
  if (denied !== undefined) {
    const text = printable(Buffer.from(denied.text))
    throw new AuthError('ERR_REFUSED', `the target refuses: ${text}`)
  }
  if (!errors.some(({ queued }) => queued)) return { kind: 'executed', failed: errors }
  const refusals = errors.filter(({ text }) => errorKind(text) !== 'EXECABORT')
  const failed = refusals.filter(({ text, frame }) => !isTransient(text) && frame >= 0)
  if (failed.length > 0) return { kind: 'without', failed }
  const { text: reason } = refusals[0] ?? errors[0]!
  return { kind: 'refused', failed, reason, passes: refusals.some(({ text }) => isTransient(text)) }
}

/** Each command of the source counts once, however many frames it came to. */
export function countFailed(
  batch: StreamBatch,
  errors: readonly BatchError[],
  ledger: Ledger,
): void {
  for (const { frame, text } of errors) {
    const { command, key } = frame < 0 ? { command: 'EXEC', key: '' } : batch.describe(frame)
    const db = frame < 0 ? 0 : batch.dbOfFrame(frame)
    ledger.name({ db, key, type: '', command, reason: printable(Buffer.from(text)) })
  }
  ledger.commands.failed += batch.takeFailed(errors.map(({ frame }) => frame))
}

export function refuses(reason: string): TargetError {
  return new TargetError(
    'ERR_TARGET_REFUSES',
    `the target refuses writes: ${printable(Buffer.from(reason))}`,
    { retriable: true, details: { reply: errorKind(reason) } },
  )
}
