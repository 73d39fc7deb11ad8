/** Rules of `--scrub`: which keys' values, fields and names become others. The first that matches counts. */
import { Buffer } from 'node:buffer'
import { printable } from '../../bytes/printable.js'
import { UsageError } from '../../errors.js'

export interface ScrubRule {
  /** Redis glob, on the name in the source. */
  match: string
  /**
   * What becomes of values: `hash`: other text of the same length and shape, the same for the same under
   * one secret; `blank`: `0` for digits, `x` for the rest (members of sets, which would fall together,
   * are hashed); `keep` (default).
   */
  do?: ScrubValues | undefined
  /** Of hashes and entries of streams the values of these fields only. Values of other types are changed all
   * the same. */
  fields?: readonly string[] | undefined
  /** `hash`: names of all fields of hashes and streams become others, too. Default `keep`. */
  fieldNames?: 'hash' | 'keep' | undefined
  /**
   * Names of keys, in the parts between `:`, `{` and `}`: `ids`: parts with a digit, an `@`, or a letter
   * outside ASCII become others; `hash`: all behind the first `:` (without one, the whole name); `keep`
   * (default). Equal parts become the same as equal values do.
   */
  keys?: 'hash' | 'ids' | 'keep' | undefined
}

export type ScrubValues = 'hash' | 'blank' | 'keep'

export interface ScrubOptions {
  /** At least 16 bytes, kept by nobody: under the same one everything becomes the same again. */
  secret: string | Uint8Array
  rules: readonly ScrubRule[]
}

const WORDS = {
  do: ['hash', 'blank', 'keep'],
  fieldNames: ['hash', 'keep'],
  keys: ['hash', 'ids', 'keep'],
} as const
const PROPERTIES = ['match', 'do', 'fields', 'fieldNames', 'keys']
const LEAST_SECRET_BYTES = 16
const HINT = 'write {"rules": [{"match": "user:*", "fields": ["email"], "do": "hash"}]}'

/** `{"rules": [{"match": …, "do": …}, …]}`; throws UsageError that says where it is wrong. */
export function parseScrubRules(text: string, file: string): readonly ScrubRule[] {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new UsageError(`${file} is no JSON: ${shown(why)}`, { cause, hint: HINT })
  }
  if (!isObject(json) || !Array.isArray(json['rules'])) wrong(file, 'it has no list "rules"')
  for (const name of Object.keys(json)) {
    if (name !== 'rules') wrong(file, `unknown word ${shown(name)}`)
  }
  checkRules(json['rules'], file)
  return json['rules'] as readonly ScrubRule[]
}

/** Throws UsageError. */
export function checkScrub({ rules, secret }: ScrubOptions): void {
  if (Buffer.byteLength(secret) < LEAST_SECRET_BYTES) {
    throw new UsageError(`a secret of at least ${LEAST_SECRET_BYTES} bytes is needed to scrub`, {
      hint: 'make one: openssl rand -hex 32',
    })
  }
  checkRules(rules, 'scrub')
}

function checkRules(rules: readonly unknown[], file: string): void {
  if (rules.length === 0) wrong(file, '"rules" is empty')
  rules.forEach((rule, index) => checkRule(rule, `${file}: rules[${index}]`))
}

function checkRule(rule: unknown, where: string): void {
  if (!isObject(rule)) wrong(where, 'not an object')
  for (const name of Object.keys(rule)) {
    if (!PROPERTIES.includes(name)) wrong(where, `unknown word ${shown(name)}`)
  }
  if (typeof rule['match'] !== 'string') wrong(where, '"match" is not a pattern of names')
  for (const [name, words] of Object.entries(WORDS)) {
    const word = rule[name]
    if (word === undefined || (words as readonly unknown[]).includes(word)) continue
    wrong(where, `"${name}" is not one of ${words.join(', ')}`)
  }
  const { fields } = rule
  if (fields !== undefined) {
    const areNames = Array.isArray(fields) && fields.every((each) => typeof each === 'string')
    if (!areNames || fields.length === 0) wrong(where, '"fields" is not a list of names')
    if ((rule['do'] ?? 'keep') === 'keep') wrong(where, '"fields" without "do": hash or blank')
  }
  if (rule['do'] === undefined && rule['keys'] === undefined && rule['fieldNames'] === undefined) {
    wrong(where, 'it says nothing to do: "do", "keys" or "fieldNames"')
  }
}

function wrong(where: string, what: string): never {
  throw new UsageError(`${where}: ${what}`, { hint: HINT })
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function shown(text: string): string {
  const bytes = Buffer.from(text)
  return printable(bytes, 0, bytes.length, 200)
}
