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

/** One key space of several streams has its checkpoint in one place: a cluster has none such. */
export function noShards(): ProtocolError {
  return new ProtocolError(
    'ERR_TARGET_CLUSTER',
    'a live cluster goes into one server, not into another cluster yet',
    { hint: 'a snapshot of it can: take one with `syncCluster()`, and replay that' },
  )
}

export function noStream(source: string): ProtocolError {
  return new ProtocolError(
    'ERR_TARGET_CLUSTER',
    `${source} brings a stream of commands, and did not show it before: it cannot go into a cluster as it is`,
    { hint: 'unpack it first, or take a snapshot with `sync()`, and replay that' },
  )
}
