/** Options that say what becomes of keys: `--map-db`, `--rewrite-key`, `--transform`, `--scrub`. */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { FileError, UsageError } from '../../../errors.js'
import { parseScrubRules, type ScrubOptions } from '../../../verbs/export/run.js'
import type { Io } from '../../io.js'
import { cannotRead, readPassword } from '../../password.js'
import type { Talk } from '../../talk.js'
import {
  parseDbMapping,
  parseRewriteRule,
  transformOf,
  type KeyRewriteRule,
  type Transform,
} from '../../../verbs/replay/run.js'

export function collectDb(
  text: string,
  before: [number, number][] | undefined,
): [number, number][] {
  return [...(before ?? []), parseDbMapping(text)]
}

export function collectRule(text: string, before: KeyRewriteRule[] | undefined): KeyRewriteRule[] {
  return [...(before ?? []), parseRewriteRule(text)]
}

export async function loadTransform(file: string): Promise<Transform> {
  try {
    return transformOf(await import(pathToFileURL(resolve(file)).href), file)
  } catch (error) {
    if (error instanceof UsageError) throw error
    throw new FileError('ERR_CANNOT_READ', `cannot load ${file}: ${String(error)}`, {
      cause: error,
    })
  }
}

export interface ScrubValues {
  scrub?: string
  scrubSecretFile?: string
}

/** The rules of the file, and the secret, which never stands in it. */
export async function loadScrub(
  { scrub: file, scrubSecretFile }: ScrubValues,
  io: Io,
  talk: Talk,
): Promise<ScrubOptions | undefined> {
  if (file === undefined) {
    if (scrubSecretFile === undefined) return undefined
    throw new UsageError('--scrub-secret-file is for --scrub')
  }
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw cannotRead(`the rules ${file}`, error)
  }
  const rules = parseScrubRules(text, file)
  const secret = await readPassword(io, {
    file: scrubSecretFile,
    label: 'secret',
    variable: 'RREP_SCRUB_SECRET',
    onWarning: (message) => talk.warn(message),
  })
  if (secret === undefined) {
    throw new UsageError('--scrub needs a secret of at least 16 bytes', {
      hint: 'make one (openssl rand -hex 32) and give it by --scrub-secret-file or RREP_SCRUB_SECRET',
    })
  }
  return { rules, secret }
}
