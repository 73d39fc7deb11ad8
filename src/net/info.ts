/** What INFO and MODULE LIST say, read. */
import type { ServerFamily } from '../servers/version.js'

export type InfoFields = ReadonlyMap<string, string>

/** `# Section` lines and `name:value` lines → map. */
export function parseInfo(text: string): InfoFields {
  const fields = new Map<string, string>()
  for (const line of text.split(/\r?\n/)) {
    const colon = line.indexOf(':')
    if (colon > 0 && !line.startsWith('#')) fields.set(line.slice(0, colon), line.slice(colon + 1))
  }
  return fields
}

/** Whose server it is, and its version as it says it; undefined where it says none. */
export function kindOfServer(
  info: InfoFields,
): { family: ServerFamily; version: string } | undefined {
  const isValkey = info.has('valkey_version') || info.get('server_name') === 'valkey'
  const version = (isValkey ? info.get('valkey_version') : undefined) ?? info.get('redis_version')
  if (version === undefined) return undefined
  return { family: isValkey ? 'valkey' : 'redis', version }
}

/** `db0:keys=3,expires=0,…`: keys by database; those without keys are not in it. */
export function keyspaceOf(info: InfoFields): ReadonlyMap<number, number> {
  const found = new Map<number, number>()
  for (const [name, value] of info) {
    const db = /^db(\d+)$/.exec(name)?.[1]
    const keys = /^keys=(\d+)/.exec(value)?.[1]
    if (db !== undefined && keys !== undefined) found.set(Number(db), Number(keys))
  }
  return found
}

/** Of the reply to MODULE LIST. */
export function moduleNames(reply: unknown): readonly string[] | undefined {
  if (!Array.isArray(reply)) return undefined
  return (reply as unknown[]).flatMap((row) =>
    Array.isArray(row) && typeof row[1] === 'string' ? [row[1]] : [],
  )
}
