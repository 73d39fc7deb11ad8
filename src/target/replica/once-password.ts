/**
 * The password by which a target replicates from us for one load, made so that whoever finds it in the
 * target's `masterauth` knows what it is, and what the target was before:
 *
 *   rrep-once-<flags>-<32 hex digits>
 *
 * The flags are letters: `a` the target had a `masterauth` of its own, `u` it had a `masteruser`, and how
 * it loaded what it replicates (`repl-diskless-load`): d(isabled), e(mpty db), s(wapdb), f(lush before),
 * or n(ot known). None of it is a secret; what was secret stands in the record on disk (load-record.ts).
 */
import { createHash, randomBytes } from 'node:crypto'
import type { ReplicaSettings } from './replica-settings.js'

const FORM = /^rrep-once-(a?)(u?)([desfn])-[0-9a-f]{32}$/

const DISKLESS = new Map([
  ['disabled', 'd'],
  ['on-empty-db', 'e'],
  ['swapdb', 's'],
  ['flush-before-load', 'f'],
])

/** What can be told of the settings from the password alone. */
export interface ToldSettings {
  readonly hadPassword: boolean
  readonly hadUser: boolean
  readonly disklessLoad: string | undefined
}

export function makeOncePassword(before: ReplicaSettings): string {
  const had = before.masterauth === '' ? '' : 'a'
  const user = (before.masteruser ?? '') === '' ? '' : 'u'
  const diskless = DISKLESS.get(before.disklessLoad ?? '') ?? 'n'
  return `rrep-once-${had}${user}${diskless}-${randomBytes(16).toString('hex')}`
}

/** Undefined: it is somebody's own. */
export function readOncePassword(text: string): ToldSettings | undefined {
  const found = FORM.exec(text)
  if (found === null) return undefined
  const [, had, user, letter] = found
  const disklessLoad = [...DISKLESS].find(([, each]) => each === letter)?.[0]
  return { hadPassword: had === 'a', hadUser: user === 'u', disklessLoad }
}

/** The history that is served with it: a target that names it has been given all of the load. */
export function replidOfLoad(password: string): string {
  return createHash('sha1').update(`rrep load\n${password}\n`).digest('hex')
}
