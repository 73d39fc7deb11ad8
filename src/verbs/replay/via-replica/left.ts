/** What a load by replication that was killed has left of its target. */
import { defaultStateDir, forgetRecords } from '../../../target/replica/load-record.js'
import { putRight } from '../../../target/replica/put-right.js'
import type { TargetFacts } from '../../../target/server/target-probe.js'
import type { ReplayCall, ReplayEvent } from '../options.js'

/** What is needed of the run. */
export interface LeftReplicaHost {
  readonly options: ReplayCall
  event(event: ReplayEvent): void
}

export function stateDirOf({ stateDir }: Pick<ReplayCall, 'stateDir'>): string {
  return stateDir ?? defaultStateDir()
}

/** True: something was to be done, and is. Rejects as `putRight` does. */
export async function putLeftRight(
  run: LeftReplicaHost,
  { name, isLeftReplica }: Pick<TargetFacts, 'name' | 'isLeftReplica'>,
): Promise<boolean> {
  const stateDir = stateDirOf(run.options)
  if (!isLeftReplica) {
    forgetRecords(stateDir, name)
    return false
  }
  const { target, signal } = run.options
  const found = await putRight(target, { stateDir, signal })
  if (found === undefined) return false
  run.event({ event: 'put-right', why: 'an earlier load broke off', ...found })
  return true
}
