/** Options that say what becomes of keys: `--map-db`, `--rewrite-key`, `--transform`. */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { FileError, UsageError } from '../../../errors.js'
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
