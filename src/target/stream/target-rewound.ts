import { TargetError } from '../../errors.js'
import type { Checkpoint } from '../checkpoint.js'

/** The target has fallen behind its own checkpoint: it lost its last seconds in a crash, or was
 * thrown back further. Who can go on from there does so. */
export class TargetRewound extends TargetError {
  readonly checkpoint: Checkpoint

  constructor(checkpoint: Checkpoint) {
    super('ERR_TARGET_REWOUND', 'the target has gone back to an earlier state', {
      hint:
        checkpoint.phase === 'load'
          ? 'begin anew with `emptyTarget`'
          : 'the same call again goes on from there',
    })
    this.checkpoint = checkpoint
  }
}
