/** What a target that is a cluster is told apart by, and what cannot go into one. */
import { ProtocolError } from '../../errors.js'

/** Nothing was written yet: the replay goes another way. */
export class ClusterTarget extends ProtocolError {
  readonly server: string

  constructor(name: string) {
    super('ERR_TARGET_CLUSTER', `${name} is a node of a cluster, with the slots of its shard alone`)
    this.server = name
  }
}

export function noStream(source: string): ProtocolError {
  return new ProtocolError(
    'ERR_TARGET_CLUSTER',
    `${source} brings a stream of commands, which cannot go into a cluster yet`,
    { hint: 'a snapshot can: take one with `sync()`, and replay that' },
  )
}
