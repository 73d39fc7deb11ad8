/** What a rule of propagation says of a command, and what rules go by: see stream-rules.ts. */
import type { CommandDecoder } from '../../resp/decoder.js'
import type { CommandEncoder } from '../../resp/encoder.js'
import type { TargetCapabilities } from '../../servers/capabilities.js'

/** What `apply` decided. */
export const VERDICT = {
  /** Send the bytes as they came. */
  SAME: 0,
  /** The encoder holds what to send in its place: `frames` commands. */
  REWRITTEN: 1,
  /** Nothing is sent, and nothing is lost; `reason` says why. */
  LEFT_OUT: 2,
  /** Nothing can be sent: the target cannot hold it; `reason` says what. */
  NOT_HELD: 3,
  /** Nothing is sent: it is no change of data, and the source has no business with it here. */
  REFUSED: 4,
} as const
export type Verdict = (typeof VERDICT)[keyof typeof VERDICT]

export interface StreamRulesOptions {
  target: TargetCapabilities
  /** Whether the target knows a command (upper case). */
  hasCommand: (name: string) => boolean
  /** PUBLISH and SPUBLISH go on to the target's subscribers. */
  publish: boolean
  /** Told of parts that were left away though the command was sent: what. */
  onLoss: (what: string) => void
}

export type Rule = (command: CommandDecoder, out: CommandEncoder) => Verdict

/** Command names, apart by spaces, and the rule for them. */
export type RuleList = readonly (readonly [names: string, rule: Rule])[]

/** A verdict with what belongs to it: read before the next command. */
export class RuleOutcome {
  /** Commands in the encoder after REWRITTEN. */
  frames = 0
  /** After LEFT_OUT, NOT_HELD and REFUSED. */
  reason = ''

  leaveOut(reason: string): Verdict {
    this.reason = reason
    return VERDICT.LEFT_OUT
  }

  notHeld(reason: string): Verdict {
    this.reason = reason
    return VERDICT.NOT_HELD
  }

  refused(reason = 'no command that writes data: not executed'): Verdict {
    this.reason = reason
    return VERDICT.REFUSED
  }

  rewritten(frames = 1): Verdict {
    this.frames = frames
    return VERDICT.REWRITTEN
  }
}
