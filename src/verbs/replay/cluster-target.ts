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

/** Its slots have what the others said of them, and no checkpoint of its own. */
export function noNewShard(id: string): ProtocolError {
  return new ProtocolError(
    'ERR_CLUSTER_CHANGES',
    `a shard has come (${id}), and the target is a cluster: its slots cannot be loaded again there`,
    { hint: 'begin anew with `emptyTarget`' },
  )
}

export function noStream(source: string): ProtocolError {
  return new ProtocolError(
    'ERR_TARGET_CLUSTER',
    `${source} brings a stream of commands, and did not show it before: it cannot go into a cluster as it is`,
    { hint: 'unpack it first, or take a snapshot with `sync()`, and replay that' },
  )
}
