/** A load that cannot be told from what was there before it. */
import { TargetError } from '../../errors.js'

export function interruptedLoad(): TargetError {
  return new TargetError(
    'ERR_LOAD_INTERRUPTED',
    'an earlier load into this target was interrupted, and its keys cannot be told from others',
    { hint: "run again with `onConflict: 'replace'`, or with `emptyTarget`" },
  )
}
