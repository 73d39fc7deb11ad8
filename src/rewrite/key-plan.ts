/**
 * How one key is to be written: made by `KeyRewriter` from the key's header, and open to changes
 * by the caller's hook (another name, another db, another connection). ONE object, reused.
 */
import type { KeyHeader, Slice } from '../rdb/visitor.js'
import type { CommandWriter } from './command-writer.js'

export const METHOD = {
  SKIP: 'skip',
  RESTORE: 'restore',
  COMMANDS: 'commands',
} as const
export type Method = (typeof METHOD)[keyof typeof METHOD]

/**
 * What the commands do about a key that stands there already. `replace`: it goes. `refuse`: RESTORE
 * answers BUSYKEY, SET (… NX) nil; other commands would mix with what is there, so the caller sees
 * to it that the name is free. `ignore`: the name is taken to be free.
 */
export type Conflict = 'replace' | 'refuse' | 'ignore'

export interface KeyPlan {
  /** The name to write; at first the key's own. */
  key: Slice
  dbnum: number
  method: Method
  /** Where the commands go. Each writer remembers the db that its connection has selected. */
  writer: CommandWriter
  /** Unix ms, or -1 for none. */
  expireAtMs: number
  conflict: Conflict
}

/** How a key was written. ONE object, reused. */
export interface KeyOutcome {
  readonly plan: KeyPlan
  /** As planned, or COMMANDS where a payload turned out too big or unfit; SKIP: it is lost. */
  readonly method: Method
  /** Commands written for it: replies to expect on the plan's writer. */
  readonly commands: number
}

export interface RewriteHooks {
  /**
   * Called for every key. May change the plan; returning false leaves the key out.
   */
  key?(header: KeyHeader, plan: KeyPlan): boolean
}
