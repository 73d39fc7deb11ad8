/**
 * Small JSON files that know their own hash: it stands in their last field, over all of the text as it
 * is with that field empty. So one changed byte anywhere in them is found, also in blanks.
 */
import { createHash } from 'node:crypto'

const FIELD = 'sha256'
/** By its place, not by its name: that may be what has changed. */
const LAST_FIELD = /:\s*"([^"]{64})"\s*\}\s*$/

export type Seal = 'whole' | 'broken' | 'absent'

/** `value` has no field of that name. */
export function sealJson(value: object): string {
  const open = textOf({ ...value, [FIELD]: '' })
  return textOf({ ...value, [FIELD]: hashOf(open) })
}

/** Of a text that is JSON. `absent`: older versions wrote none. */
export function sealOf(text: string): Seal {
  const found = LAST_FIELD.exec(text)
  if (found === null) return 'absent'
  const sha256 = found[1]!
  const at = text.indexOf(`"${sha256}"`, found.index) + 1
  const open = text.slice(0, at) + text.slice(at + sha256.length)
  return hashOf(open) === sha256 ? 'whole' : 'broken'
}

function textOf(value: object): string {
  return `${JSON.stringify(value, undefined, 2)}\n`
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
