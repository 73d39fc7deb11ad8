/** What a load by replication that was killed has left of its target. */
import { defaultStateDir } from '../../../target/replica/load-record.js'
import { putRight } from '../../../target/replica/put-right.js'
import type { ReplayCall, ReplayEvent } from '../options.js'

/** What is needed of the run. */
export interface LeftReplicaHost {
  readonly options: ReplayCall
  event(event: ReplayEvent): void
}

export function stateDirOf({ stateDir }: Pick<ReplayCall, 'stateDir'>): string {
  return stateDir ?? defaultStateDir()
}

/** Rejects as `putRight` does. */
export async function putLeftRight(run: LeftReplicaHost): Promise<void> {
  const { target, signal } = run.options
  const found = await putRight(target, { stateDir: stateDirOf(run.options), signal })
  if (found !== undefined) {
    run.event({ event: 'put-right', why: 'an earlier load broke off', ...found })
  }
}
