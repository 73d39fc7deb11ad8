/** By what names the connections of a replay are known at its target. */
import { createHash } from 'node:crypto'

/** By this name the connection that holds the checkpoint is known at the target. */
export function streamClientName(checkpointKey: Uint8Array): string {
  return `rrep-${shortHash(checkpointKey)}:stream`
}

export function shortHash(bytes: Uint8Array): string {
  return createHash('sha1').update(bytes).digest('hex').slice(0, 12)
}
